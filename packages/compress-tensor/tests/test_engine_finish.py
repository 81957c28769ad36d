"""Functions of a product's results, computed by its kernel: the bytes of separate records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from every_way import LEVELS, assert_same_bytes

from compress_tensor import DType, Graph, Node, Value, compile  # noqa: A004
from compress_tensor.graph.interpret import interpret
from compress_tensor.native import library

FUNCTIONS: dict[str, dict[str, Any]] = {
    **{op: {} for op in ("Sigmoid", "Tanh", "Gelu", "HardSwish", "Softplus", "Exp", "Abs")},
    "LeakyRelu": {"alpha": 0.3},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
}
PRODUCTS = {
    "MatMul": "gemm_f32",
    "Conv": "conv_f32",
    "pixels": "gemm_f32",
    "channels": "depthwise_f32",
}


def network(
    product: str, function: str, seed: int = 0, *, width: int = 40
) -> tuple[Graph, np.ndarray]:
    """Return function(product(x)) and x."""
    rng = np.random.default_rng(seed)
    if product == "MatMul":
        x = rng.standard_normal((3, 21, 30), np.float32)
        w = rng.standard_normal((30, width), np.float32) / 4
        node = Node("MatMul", ["x", "w"], ["p"])
    else:
        x = rng.standard_normal((3, 12, 9, 11), np.float32)
        size = (1, 1) if product == "pixels" else (3, 3)
        groups = 12 if product == "channels" else 1
        w = rng.standard_normal((12 if groups > 1 else width, 12 // groups, *size), np.float32) / 4
        pads = [0 if product == "pixels" else 1] * 4
        node = Node("Conv", ["x", "w"], ["p"], {"pads": pads, "group": groups})
    graph = Graph(inputs=[Value("x", DType.FLOAT32, ("n", *x.shape[1:]))], outputs=[Value("y")])
    graph.constants["w"] = w
    graph.nodes = [node, Node(function, ["p"], ["y"], FUNCTIONS.get(function, {}))]
    return graph, x


def kernels(graph: Graph, x: np.ndarray) -> list[str]:
    """Return what runs, but how images are laid."""
    session = compile(graph, threads=1, any_strides=True)
    return [r.kernel for r, _ in session.profile({"x": x}) if r.kernel not in ("copy", "frame")]


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.usefixtures("best_isa")
def test_one_record_and_the_same_bytes(product: str, function: str) -> None:
    for width in (5, 40, 200):
        graph, x = network(product, function, width=width)
        assert kernels(graph, x) == [PRODUCTS[product]]
        watched = graph.copy()
        watched.outputs = [Value("y"), Value("p")]
        assert kernels(watched, x) == [PRODUCTS[product], "unary_f32"]
        apart = compile(watched, threads=1).run({"x": x})
        found = compile(graph, threads=1).run({"x": x})["y"]
        assert found.tobytes() == apart["y"].tobytes()
        wanted = interpret(graph, {"x": x})["y"]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    for level in (*LEVELS, library.isa()):
        library.limit_isa(level)
        assert_same_bytes(found, graph, x, threads=(1, 3))


def test_after_bias_residual_and_clip() -> None:
    graph, x = network("pixels", "Sigmoid", width=12)
    graph.constants["b"] = np.linspace(-1, 1, 12, dtype=np.float32).reshape(12, 1, 1)
    graph.nodes[1:] = [
        Node("Add", ["p", "b"], ["q"]),
        Node("Add", ["q", "x"], ["r"]),
        Node("Relu", ["r"], ["s"]),
        Node("Sigmoid", ["s"], ["y"]),
    ]
    assert kernels(graph, x) == ["gemm_f32"]
    found = compile(graph, threads=1).run({"x": x})["y"]
    np.testing.assert_allclose(found, interpret(graph, {"x": x})["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("other", ["reader", "output", "part", "twice"])
def test_what_cannot_be_taken_over_stays(other: str) -> None:
    graph, x = network("Conv", "Sigmoid")
    if other == "reader":  # x * sigmoid'(x), for instance, needs both
        graph.nodes.append(Node("MaxPool", ["p"], ["z"], {"kernel_shape": [2, 2]}))
        graph.outputs.append(Value("z"))
    elif other == "output":
        graph.outputs.append(Value("p"))
    elif other == "part":  # the product's place is inside the concatenation
        graph.nodes[1:] = [
            Node("Concat", ["p", "x"], ["c"], {"axis": 1}),
            Node("Sigmoid", ["c"], ["y"]),
        ]
    else:
        graph.nodes[1:] = [Node("Sigmoid", ["p"], ["q"]), Node("Tanh", ["q"], ["y"])]
    session = compile(graph, threads=1, any_strides=True)
    assert any(r.kernel in ("unary_f32", "chain_f32") for r, _ in session.profile({"x": x}))
    found, wanted = session.run({"x": x}), interpret(graph, {"x": x})
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.usefixtures("best_isa")
def test_a_table_of_codes_too(product: str) -> None:
    """A gate on codes is a table, that the product's kernel looks its results up in."""
    graph, x = network(product, "Sigmoid")
    node = graph.nodes[0]
    w = graph.constants["w"]
    graph.constants = {
        "w": np.clip(np.rint(w * 100), -127, 127).astype(np.int8),
        "ws": np.array(0.01, np.float32),
        "wz": np.array(0, np.int8),
    }
    for name, scale, zero in (
        ("x", 0.03, 120),
        ("p", 0.04, 128),
        ("g", 1 / 255, 0),
        ("y", 0.03, 90),
    ):
        graph.constants[f"{name}s"] = np.array(scale, np.float32)
        graph.constants[f"{name}z"] = np.array(zero, np.uint8)

    def quantized(name: str) -> list[Node]:
        grid = [f"{name}s", f"{name}z"]
        quantize = Node("QuantizeLinear", [name, *grid], [f"{name}q"])
        return [quantize, Node("DequantizeLinear", [f"{name}q", *grid], [f"{name}f"])]

    graph.nodes = [
        *quantized("x"),
        Node("DequantizeLinear", ["w", "ws", "wz"], ["wf"]),
        Node(node.op, ["xf", "wf"], ["p"], node.attributes),
        *quantized("p"),
        Node("Sigmoid", ["pf"], ["g"]),
        *quantized("g"),
        Node("Mul", ["pf", "gf"], ["y"]),
        *quantized("y")[:1],
    ]
    graph.outputs = [Value("yq")]
    session = compile(graph, threads=1, any_strides=True)
    assert "lut_u8" not in kernels(graph, x)
    watched = graph.copy()
    watched.outputs = [Value("yq"), Value("pq")]
    assert "lut_u8" in kernels(watched, x)
    found = session.run({"x": x})["yq"]
    assert np.array_equal(found, compile(watched, threads=1).run({"x": x})["yq"])
    assert len(np.unique(found)) > 50
    for level in (*LEVELS, library.isa()):
        library.limit_isa(level)
        assert_same_bytes(compile(graph).run({"x": x})["yq"], graph, x, threads=(1, 3))
        assert np.array_equal(compile(graph).run({"x": x})["yq"], found)
