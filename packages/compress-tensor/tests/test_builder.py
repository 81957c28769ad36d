"""The builder: operators as methods, inferred shapes, mistakes reported where they are made."""

from __future__ import annotations

import numpy as np
import pytest

from compress_tensor import Builder, DType, GraphError, ShapeError, compile  # noqa: A004


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(5)


def test_a_network_is_what_was_written(rng):
    """The graph computes the formula, its output has the inferred shape."""
    w = rng.standard_normal((6, 4)).astype(np.float32)
    bias = rng.standard_normal(4).astype(np.float32)
    b = Builder("net")
    x = b.input("x", DType.FLOAT32, ("N", 6))
    h = b.relu(x @ w + bias) * 2.0 - 1
    b.output("y", b.softmax(-h, axis=1))
    graph = b.graph()
    data = rng.standard_normal((3, 6)).astype(np.float32)
    h = np.maximum(data @ w + bias, 0) * 2 - 1
    e = np.exp(-h)

    found = compile(graph).run({"x": data})["y"]
    np.testing.assert_allclose(found, e / e.sum(1, keepdims=True), rtol=1e-5)
    assert graph.outputs[0].shape == ("N", 4)


def test_images_and_several_outputs(rng):
    """Convolutions with symbolic size, names of operators in both spellings, split."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 3, "H", "H"))
    c = b.conv(x, rng.standard_normal((8, 3, 3, 3)).astype(np.float32), pads=[1, 1, 1, 1])
    assert c.shape == ("N", 8, "H", "H")
    pooled = b.maxpool(c, kernel_shape=[2, 2], strides=[2, 2])
    assert pooled.shape == ("N", 8, None, None)
    left, right = b.split(b.global_average_pool(c), n_outputs=2, axis=1, num_outputs=2)
    assert left.shape == right.shape == ("N", 4, 1, 1)
    b.output("y", left + right)

    assert compile(b.graph()).run({"x": np.zeros((1, 3, 8, 8), np.float32)})["y"].shape == (
        1,
        4,
        1,
        1,
    )


def test_mistakes_are_reported_where_they_are_made():
    """Shapes that do not fit, unknown operators and attributes, names used twice."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 6))
    with pytest.raises(ShapeError):
        b.matmul(x, np.zeros((5, 4), np.float32))
    with pytest.raises(ShapeError, match="unknown attribute"):
        b.relu(x, slope=1)
    with pytest.raises(AttributeError, match="snake_case"):
        b.rleu(x)
    with pytest.raises(GraphError, match="twice"):
        b.input("x", DType.FLOAT32, (1,))
    with pytest.raises(GraphError, match="no outputs"):
        b.graph()
    with pytest.raises(GraphError, match="another builder"):
        Builder().relu(x)
