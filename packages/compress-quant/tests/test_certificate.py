"""The parity certificate: what it finds, and what it says of onnxruntime's optimizations."""

from __future__ import annotations

import numpy as np
import pytest

from compress_quant import certify
from compress_tensor import DType, Graph, Node, Value

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def sum_of_codes(zero: int) -> Graph:
    """Return a + b on codes, the result on a grid half as fine: every odd sum is a tie."""
    constants = {
        "s": np.array(0.5, np.float32),
        "wide": np.array(1.0, np.float32),
        "z": np.array(0, np.uint8),
        "zero": np.array(zero, np.uint8),
    }
    nodes = []
    for name in "ab":
        nodes += [
            Node("QuantizeLinear", [name, "s", "z"], [f"{name}q"]),
            Node("DequantizeLinear", [f"{name}q", "s", "z"], [f"{name}d"]),
        ]
    nodes += [
        Node("Add", ["ad", "bd"], ["sum"], name="the_sum"),
        Node("QuantizeLinear", ["sum", "wide", "zero"], ["q"]),
        Node("DequantizeLinear", ["q", "wide", "zero"], ["y"]),
    ]
    inputs = [Value(name, DType.FLOAT32, (1, 64)) for name in "ab"]
    return Graph(nodes=nodes, inputs=inputs, outputs=[Value("y")], constants=constants)


@pytest.mark.parametrize(("zero", "differ"), [(4, 0), (3, 32)])
def test_the_optimization_that_differs_is_named(zero, differ):
    """An odd zero point is added by onnxruntime before it rounds: ties go to the other side.

    QuantizeLinear is rint(x / scale) + zero_point: our engine and the simulation agree.
    """
    feeds = {"a": np.arange(64, dtype=np.float32)[None] / 2, "b": np.zeros((1, 64), np.float32)}

    found = certify(sum_of_codes(zero), [feeds])

    by_way = {c.way: c for c in found.comparisons}
    assert by_way["our engine"].differ == 0
    assert by_way["our engine against onnxruntime"].differ == differ
    assert by_way["our engine against onnxruntime"].agrees == (not differ)
    assert found.optimization == (
        f"onnxruntime's optimizations change {differ} of 192 codes, first at Add 'the_sum'; "
        "without QDQSelectorActionTransformer it would be 0"
        if differ
        else ""
    )
