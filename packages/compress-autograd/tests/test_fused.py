"""What `Trainable` runs as one operator: found where it is spelled out, with the same gradients."""

from __future__ import annotations

import numpy as np
import pytest

import compress_tensor as ct
from compress_autograd import Trainable
from compress_tensor import Builder, DType, Graph, Node, Tensor
from compress_tensor.eager import run


def _real(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def _perceptron(dtype, form="erf"):
    """Return linear, GELU spelled out, linear on (N, 3, 8)."""
    b = Builder("perceptron")
    kind = {np.float32: DType.FLOAT32, np.float64: DType.FLOAT64}[dtype]
    x = b.input("x", kind, ("N", 3, 8))
    y = b.add(b.matmul(x, _real(0, 8, 12).astype(dtype)), _real(1, 12).astype(dtype))
    number = lambda value: np.asarray(value, dtype)  # noqa: E731
    if form == "erf":
        inner = b.erf(b.div(y, number(2**0.5)))
    else:
        cube = b.mul(number(0.044715), b.pow(y, number(3.0)))
        inner = b.tanh(b.mul(number((2 / np.pi) ** 0.5), b.add(y, cube)))
    y = b.mul(b.mul(y, b.add(inner, number(1.0))), number(0.5))
    b.output("output", b.add(_real(2, 5).astype(dtype), b.matmul(y, _real(3, 12, 5).astype(dtype))))
    return b.graph()


def _gradients(model, x):
    out = model({"x": x})["output"]
    ct.sum(out * Tensor(_real(9, *out.shape).astype(x.dtype))).backward()
    return {name: p.grad.numpy() for name, p in model.parameters.items()}


@pytest.mark.parametrize("form", ["erf", "tanh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_gradients(dtype, form):
    """Fused and as it is written; the definition of an operator by the user turns fusion off."""
    graph, x = _perceptron(dtype, form), _real(4, 2, 3, 8).astype(dtype)
    model = Trainable(graph)
    plain = Trainable(graph, operators={"Gemm": lambda node, *given: run("Gemm", given)})

    assert [step.node.op for step in model.steps] == ["Linear", "Gelu", "Linear", "Identity"]
    assert len(plain.steps) == len(graph.nodes)
    found, expected = _gradients(model, x), _gradients(plain, x)
    for name, array in expected.items():
        limit = 64 * np.finfo(dtype).eps * np.abs(array).max()
        np.testing.assert_allclose(found[name], array, rtol=0, atol=limit)
    assert [node.op for node in model.graph().nodes] == [node.op for node in graph.nodes]


def _layer(bias, outputs=("output",)):
    nodes = [Node("MatMul", ["x", "w"], ["p"]), Node("Add", ["p", "b"], ["output"])]
    graph = Graph(nodes=nodes, constants={"w": _real(0, 4, 6).astype(np.float32), "b": bias})
    b = Builder("one")
    x = b.input("x", DType.FLOAT32, ("N", 4))
    b.output("output", b.identity(x))
    shell = b.graph()
    graph.inputs, kind = shell.inputs, shell.outputs[0]
    graph.outputs = [type(kind)(name, DType.FLOAT32, None) for name in outputs]
    return graph


@pytest.mark.parametrize(
    ("graph", "fused"),
    [
        (_layer(_real(1, 6).astype(np.float32)), True),
        (_layer(_real(1, 6).astype(np.float32), outputs=("output", "p")), False),
        (_layer(_real(1, 1).astype(np.float32)), False),
        (_layer(_real(1, 2, 6).astype(np.float32)), False),
    ],
    ids=["a bias", "the product is wanted", "one number", "a matrix"],
)
def test_only_linear_layers(graph, fused):
    """A product that somebody else reads, or a sum that is no bias, stays as it is."""
    model = Trainable(graph)
    x = _real(3, 2, 4).astype(np.float32)
    expected = x @ graph.constants["w"] + graph.constants["b"]

    assert [step.node.op for step in model.steps] == (["Linear"] if fused else ["MatMul", "Add"])
    found = model({"x": x})["output"].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
