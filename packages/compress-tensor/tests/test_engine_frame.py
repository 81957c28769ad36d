"""Convolutions of images of few channels: laid into a frame, converted or quantized on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from every_way import LEVELS, assert_same_bytes

from compress_tensor import DType, Graph, Node, Value, compile  # noqa: A004
from compress_tensor.graph.interpret import interpret
from compress_tensor.native import library

CASES = 40


def network(
    rng: np.random.Generator, *, codes: Any = None, last: bool = False
) -> tuple[Graph, np.ndarray]:
    """Return one convolution of random geometry, on codes of type ``codes`` if given, and x.

    ``last``: the image comes with its channels last.
    """
    c, height, width = (int(rng.integers(1, most)) for most in (9, 20, 40))
    kernel = [int(k) for k in rng.integers(1, 6, 2)]
    pads = [int(p) for p in rng.integers(0, 3, 4)]
    height, width = max(height, kernel[0]), max(width, kernel[1])
    attributes = {"pads": pads, "strides": [int(s) for s in rng.integers(1, 3, 2)]}
    shape = (3, height, width, c) if last else (3, c, height, width)
    x = rng.standard_normal(shape, np.float32)
    weights = rng.standard_normal((int(rng.integers(1, 40)), c, *kernel), np.float32)
    graph = Graph(inputs=[Value("x", DType.FLOAT32, ("n", *shape[1:]))], outputs=[Value("y")])
    read = "x"
    if last:
        graph.nodes.append(Node("Transpose", ["x"], ["moved"], {"perm": [0, 3, 1, 2]}))
        read = "moved"
    if codes is None:
        graph.constants["w"] = weights
        graph.nodes.append(Node("Conv", [read, "w"], ["y"], attributes))
        return graph, x
    low, high = (0, 255) if codes is np.uint8 else (-128, 127)
    graph.constants |= {
        "xs": np.array(0.02, np.float32),
        "xz": np.array(int(rng.integers(low, high + 1)), codes),
        "w": np.clip(np.rint(weights * 40), -127, 127).astype(np.int8),
        "ws": np.array(1 / 40, np.float32),
        "wz": np.array(0, np.int8),
        "ys": np.array(0.05, np.float32),
        "yz": np.array(128, np.uint8),
    }
    graph.nodes += [
        Node("QuantizeLinear", [read, "xs", "xz"], ["xq"]),
        Node("DequantizeLinear", ["xq", "xs", "xz"], ["xf"]),
        Node("DequantizeLinear", ["w", "ws", "wz"], ["wf"]),
        Node("Conv", ["xf", "wf"], ["c"], attributes),
        Node("QuantizeLinear", ["c", "ys", "yz"], ["y"]),
    ]
    return graph, x


def kernels(graph: Graph, x: np.ndarray) -> list[str]:
    return [record.kernel for record, _ in compile(graph, threads=1).profile({"x": x})]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.usefixtures("below_amx")
def test_floats_are_those_of_the_definition(precision: str, last: bool) -> None:
    framed = 0
    for seed in range(CASES):
        graph, x = network(np.random.default_rng(seed), last=last)
        wanted = interpret(graph, {"x": x})["y"]
        found = compile(graph, threads=1, precision=precision).run({"x": x})["y"]
        error = 2e-6 if precision == "float32" else 2e-2
        np.testing.assert_allclose(found, wanted, rtol=0, atol=error * abs(wanted).max())
        framed += "frame" in kernels(graph, x)
        if seed % 8 == 0:
            for level in (*LEVELS, library.isa()):
                library.limit_isa(level)
                assert_same_bytes(found, graph, x, threads=(1, 3), precision=precision)
    assert framed > CASES / 2


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("codes", [np.uint8, np.int8])
@pytest.mark.usefixtures("best_isa")
def test_codes_are_those_of_separate_records(codes: Any, last: bool) -> None:
    """Quantized on the way or before it: the same bytes, within a step of the definition."""
    for seed in range(CASES):
        graph, x = network(np.random.default_rng(seed), codes=codes, last=last)
        found = compile(graph, threads=1).run({"x": x})["y"]
        watched = graph.copy()
        watched.outputs = [Value("y"), Value("xq")]
        apart = compile(watched, threads=1).run({"x": x})
        assert np.array_equal(apart["y"], found)
        wanted = interpret(graph, {"x": x})["y"]
        assert abs(wanted.astype(int) - found).max() <= 1
        if seed % 8 == 0:
            for level in (*LEVELS, library.isa()):
                library.limit_isa(level)
                assert_same_bytes(found, graph, x, threads=(1, 3))


def first_layer(**changes: Any) -> tuple[Graph, np.ndarray]:
    """Return what an image network begins with."""
    rng = np.random.default_rng(0)
    graph, _ = network(rng, codes=np.uint8)
    x = rng.standard_normal((1, 3, 12, 12), np.float32)
    graph.inputs = [Value("x", DType.FLOAT32, x.shape)]
    graph.constants["w"] = rng.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8)
    graph.nodes[3].attributes = {"pads": [1, 1, 1, 1], **changes}
    return graph, x


def test_an_image_is_quantized_where_it_is_laid() -> None:
    graph, x = first_layer()
    plain = Graph(outputs=[Value("c")], inputs=graph.inputs)
    plain.nodes = [Node("Conv", ["x", "w"], ["c"], graph.nodes[3].attributes)]
    plain.constants["w"] = graph.constants["w"].astype(np.float32)
    assert kernels(graph, x) == ["frame", "conv_s8", "copy"]
    assert kernels(plain, x) == ["frame", "conv_f32", "copy"]


@pytest.mark.parametrize("other", ["Relu", "Conv", "output", "grid", "many channels", "computed"])
def test_what_somebody_else_reads_is_quantized_before(other: str) -> None:
    graph, x = first_layer()
    if other == "Relu":
        graph.nodes.append(Node("Relu", ["xf"], ["z"]))
        graph.outputs.append(Value("z"))
    elif other == "Conv":
        graph.nodes.append(Node("Conv", ["xf", "wf"], ["z"]))
        graph.outputs.append(Value("z"))
    elif other == "output":
        graph.outputs.append(Value("xf"))
    elif other == "grid":
        graph.constants["other"] = np.array(0.03, np.float32)
        graph.nodes[1].inputs[1] = "other"
    elif other == "many channels":
        graph.constants["w"] = np.ones((8, 12, 3, 3), np.int8)
        x = np.tile(x, (1, 4, 1, 1))
        graph.inputs = [Value("x", DType.FLOAT32, x.shape)]
    else:
        graph.nodes.insert(0, Node("Sigmoid", ["x"], ["moved"]))
        graph.nodes[1].inputs[0] = "moved"
    before = "chain_f32" if other == "computed" else "quantize_linear"
    assert before in kernels(graph, x)
    found, wanted = compile(graph, threads=1).run({"x": x}), interpret(graph, {"x": x})
    assert abs(wanted["y"].astype(int) - found["y"]).max() <= 1
    for value in graph.outputs[1:]:
        np.testing.assert_allclose(found[value.name], wanted[value.name], rtol=0, atol=1e-4)


def test_negative_padding_crops() -> None:
    graph, x = first_layer(pads=[-1, 0, 1, -2])
    wanted = interpret(graph, {"x": x})["y"]
    assert abs(wanted.astype(int) - compile(graph, threads=1).run({"x": x})["y"]).max() <= 1


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("kernel", [(7, 7), (1, 5), (5, 6)])
def test_a_pixel_reaches_only_windows_that_read_it(precision: str, kernel: tuple[int, int]) -> None:
    """Nothing beside a window is read, not even to be multiplied by zero: it may be infinite."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 3, 21, 21), np.float32)
    weights = rng.uniform(0.1, 1, (8, 3, *kernel)).astype(np.float32)
    graph = Graph(inputs=[Value("x", DType.FLOAT32, x.shape)], outputs=[Value("y")])
    graph.nodes = [Node("Conv", ["x", "w"], ["y"], {"strides": [2, 2], "pads": [1, 2, 1, 2]})]
    graph.constants["w"] = weights
    session = compile(graph, threads=1, precision=precision, winograd=0)
    for column in range(21):
        given = x.copy()
        given[0, 0, 10, column] = np.inf
        wanted = interpret(graph, {"x": given})["y"]
        assert np.array_equal(np.isfinite(session.run({"x": given})["y"]), np.isfinite(wanted))
