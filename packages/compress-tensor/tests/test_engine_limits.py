"""Odd and absurd graphs: a result like the definition's, or one sentence beforehand."""

from __future__ import annotations

import time

import numpy as np
import pytest
from every_way import LEVELS

import compress_tensor
from compress_tensor import DType, Graph, Node, ShapeError, Value
from compress_tensor.engine import memory
from compress_tensor.engine.lowering import FAILED
from compress_tensor.graph.interpret import interpret
from compress_tensor.native import library

F = np.float32


def graph_of(node: Node, constants: dict[str, np.ndarray], dtype: DType = DType.FLOAT32) -> Graph:
    """Return a graph of one node that reads ``x``."""
    outputs = [Value(name) for name in node.outputs if name]
    return Graph([node], [Value("x", dtype)], outputs, constants)


def agrees(graph: Graph, x: np.ndarray) -> None:
    """Assert that the engine gives what the definition gives, by a lowering or as planned."""
    session = compress_tensor.compile(graph, threads=1)
    expected, found = interpret(graph, {"x": x}), session.run({"x": x})

    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-6)
    assert not [line for line in session.report({"x": x}) if FAILED in line.how]


@pytest.mark.parametrize("outputs", [["q"], ["q", "s"], ["q", "", "z"]])
def test_outputs_of_dynamic_quantization_may_be_omitted(outputs: list[str]) -> None:
    """Codes alone, or with one of the other two."""
    agrees(graph_of(Node("DynamicQuantizeLinear", ["x"], outputs), {}), np.arange(6, dtype=F))


def test_bounds_may_have_two_dimensions() -> None:
    """Starts, axes and pads of shape [1, n] mean what a row means."""
    axes = {"s": np.array([[1]]), "e": np.array([[3]]), "a": np.array([[1]])}
    pads = {"p": np.array([[0, 1, 0, 2]])}
    x = np.arange(12, dtype=F).reshape(3, 4)
    agrees(graph_of(Node("Slice", ["x", "s", "e", "a"], ["y"]), axes), x)
    agrees(graph_of(Node("Pad", ["x", "p"], ["y"]), pads), x)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("antialias", [0, 1])
def test_resizing_long_axes_takes_little_memory(mode: str, antialias: int) -> None:
    """A second of sound from 48,000 to 16,000 samples: no matrix of 48,000 x 16,000."""
    scales = np.array([1, 1, 1 / 3], F)
    given = {"mode": mode, "antialias": antialias}
    graph = graph_of(Node("Resize", ["x", "", "s"], ["y"], given), {"s": scales})
    x = np.sin(np.arange(48_000) / 50).astype(F).reshape(1, 1, -1)
    found = compress_tensor.compile(graph, threads=1).run({"x": x})["y"]

    assert found.shape == (1, 1, 16_000)
    assert np.abs(found[0, 0, 10:-10] - x[0, 0, 31:-29:3]).max() < 0.01


def test_values_that_no_memory_holds_are_refused() -> None:
    """A petabyte is refused by name before it is allocated; so is too much in sum."""
    graph = graph_of(Node("Expand", ["x", "s"], ["y"]), {"s": np.array([1 << 20, 1 << 19])})
    start = time.monotonic()
    with pytest.raises(ShapeError, match=r"Expand -> 'y'.*needs 2,199\.0 GB of memory"):
        compress_tensor.compile(graph).run({"x": np.ones((1, 1), F)})

    assert time.monotonic() - start < 5
    with pytest.raises(ShapeError, match="this machine has"):
        memory.require_memory(memory.physical_bytes() + 1, "this")


def test_memory_that_the_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A MemoryError inside a definition names the node."""
    graph = graph_of(Node("Einsum", ["x", "x"], ["y"], {"equation": "i,j->ij"}), {})

    def no_memory(*given: object, **more: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "einsum", no_memory)
    with pytest.raises(ShapeError, match=r"Einsum.*not enough memory"):
        compress_tensor.compile(graph).run({"x": np.ones(3, F)})


@pytest.mark.parametrize(("counts", "refused"), [([0, 2], False), ([0, 1 << 60], True)])
def test_skips_of_n_grams_take_no_longer_than_the_text(counts: list[int], refused: bool) -> None:
    """An absurd number of skips costs nothing; absurd counts are refused."""
    given = {
        "max_gram_length": 2,
        "max_skip_count": 1 << 60,
        "min_gram_length": 1,
        "mode": "TF",
        "ngram_counts": counts,
        "ngram_indexes": [0, 1, 2],
        "pool_int64s": [1, 2, 1, 3],
    }
    graph = graph_of(Node("TfIdfVectorizer", ["x"], ["y"], given), {}, DType.INT64)
    session, x = compress_tensor.compile(graph), np.array([1, 2, 3, 1, 3])
    if refused:
        with pytest.raises(ShapeError, match="ngram_counts"):
            session.run({"x": x})
    else:
        assert session.run({"x": x})["y"].tolist() == [2, 1, 3]


def test_branches_must_fit() -> None:
    """A branch with too few values is refused with the name of its If."""
    branch = Graph([Node("Relu", ["x"], ["o"])], [], [Value("o")], {})
    node = Node(
        "If", ["c"], ["y", "z"], {"then_branch": branch, "else_branch": branch}, name="choice"
    )
    with pytest.raises(ShapeError, match="If 'choice'"):
        compress_tensor.compile(graph_of(node, {"c": np.array(True)})).run({"x": np.ones(3, F)})


@pytest.mark.usefixtures("best_isa")
@pytest.mark.parametrize("weight", [np.inf, -np.inf, np.nan, 3e38, 1.0])
@pytest.mark.parametrize("size", [3, 7, 8, 14, 15])
def test_padding_times_weights_that_are_not_finite(weight: float, size: int) -> None:
    """Zeros of padding count where zero times a weight is NaN, and the bytes are the same."""
    rng = np.random.default_rng(size)
    kernel = rng.standard_normal((33, 16, 3, 3)).astype(F)
    kernel[5, 2, 0, 1] = kernel[6, 2, 2, 1] = weight
    constants = {"w": kernel, "b": np.full(33, -0.0, F)}
    node = Node("Conv", ["x", "w", "b"], ["y"], {"pads": [1, 1, 1, 1]})
    graph = graph_of(node, constants)
    x = rng.standard_normal((3, 16, size, size)).astype(F)
    x[1] = np.where(x[1] > 0, 1e-45, -0.0)
    with np.errstate(invalid="ignore"):
        expected = interpret(graph, {"x": x})["y"]
    found = compress_tensor.compile(graph, threads=1).run({"x": x})["y"]

    assert np.array_equal(np.isfinite(expected), np.isfinite(found))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    for level in LEVELS:
        library.limit_isa(level)
        again = compress_tensor.compile(graph, threads=2).run({"x": x})["y"]

        assert again.tobytes() == found.tobytes()
