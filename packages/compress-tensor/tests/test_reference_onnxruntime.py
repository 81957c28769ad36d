"""Definitions and shape rules against ONNX Runtime, where ONNX's own cases are thin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compress_tensor.backend import reference as _definitions  # noqa: F401  fills the table
from compress_tensor.backend.reference.registry import evaluate
from compress_tensor.dtype import DType
from compress_tensor.graph.graph import Node
from compress_tensor.graph.infer import infer_node, info_of

pytestmark = [pytest.mark.onnx, pytest.mark.onnxruntime]

F = np.float32
Call = tuple[str, list[Any], dict[str, Any], int]


def _rng(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(F)


def _bytes(*shape: int, kind: Any = np.uint8) -> Any:
    limits = np.iinfo(kind)
    return np.random.default_rng(1).integers(limits.min, limits.max + 1, shape).astype(kind)


def _recurrent(op: str, gates: int, sides: int, **attributes: Any) -> Call:
    steps, batch, size, hidden = 5, 3, 4, 6
    states = [_rng(sides, batch, hidden, seed=5), _rng(sides, batch, hidden, seed=6)]
    inputs = [
        _rng(steps, batch, size),
        _rng(sides, gates * hidden, size, seed=1),
        _rng(sides, gates * hidden, hidden, seed=2),
        _rng(sides, 2 * gates * hidden, seed=3),
        np.array([5, 2, 4], np.int32),
        *states[: 2 if op == "LSTM" else 1],
    ]
    if op == "LSTM":
        inputs.append(_rng(sides, 3 * hidden, seed=7))
    return op, inputs, {"hidden_size": hidden, **attributes}, 3 if op == "LSTM" else 2


X4, X3, X5 = _rng(2, 6, 9, 8), _rng(2, 6, 11), _rng(1, 2, 5, 6, 7)
Q = [np.array(0.02, F), np.array(120, np.uint8)]
CALLS: list[Call] = [
    ("Conv", [X4, _rng(4, 6, 3, 2, seed=1), _rng(4)], {"strides": [2, 1], "pads": [1, 0, 2, 1]}, 1),
    ("Conv", [X4, _rng(6, 2, 3, 3, seed=1)], {"group": 3, "dilations": [2, 1]}, 1),
    ("Conv", [X4, _rng(12, 1, 3, 3, seed=1)], {"group": 6, "pads": [1, 1, 1, 1]}, 1),
    ("Conv", [X4, _rng(5, 6, 4, 3, seed=1)], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}, 1),
    ("Conv", [X4, _rng(5, 6, 4, 3, seed=1)], {"auto_pad": "SAME_UPPER", "strides": [3, 2]}, 1),
    ("Conv", [X3, _rng(5, 6, 4, seed=1)], {"auto_pad": "VALID"}, 1),
    ("Conv", [X5, _rng(3, 2, 2, 3, 2, seed=1)], {"pads": [0, 1, 0, 1, 0, 1]}, 1),
    ("ConvTranspose", [X4, _rng(6, 2, 3, 2, seed=1)], {"group": 2, "strides": [2, 3]}, 1),
    (
        "ConvTranspose",
        [X4, _rng(6, 3, 3, 3, seed=1), _rng(3)],
        {"strides": [2, 2], "pads": [1, 0, 1, 1], "output_padding": [1, 0], "dilations": [1, 2]},
        1,
    ),
    ("ConvTranspose", [X3, _rng(6, 3, 4, seed=1)], {"output_shape": [25], "strides": [2]}, 1),
    ("ConvInteger", [_bytes(1, 3, 6, 6), _bytes(4, 3, 3, 3), Q[1]], {"pads": [1, 1, 1, 1]}, 1),
    (
        "QLinearConv",
        [
            _bytes(1, 4, 7, 7),
            *Q,
            _bytes(6, 2, 3, 3, kind=np.int8) // 2,  # without VNNI onnxruntime saturates larger ones
            np.linspace(0.001, 0.01, 6, dtype=F),
            np.zeros(6, np.int8),
            np.array(0.1, F),
            np.array(100, np.uint8),
            np.arange(-300, 300, 100, dtype=np.int32),
        ],
        {"group": 2, "strides": [2, 2], "pads": [1, 1, 1, 1]},
        1,
    ),
    (
        "MatMulInteger",
        [_bytes(3, 5), _bytes(5, 4), np.array(3, np.uint8), np.array(7, np.uint8)],
        {},
        1,
    ),
    ("MaxPool", [X4], {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1}, 2),
    ("MaxPool", [X4], {"kernel_shape": [3, 3], "dilations": [2, 2], "pads": [1, 1, 1, 1]}, 2),
    ("MaxPool", [X4], {"kernel_shape": [2, 2], "auto_pad": "SAME_LOWER", "strides": [2, 2]}, 1),
    ("AveragePool", [X4], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}, 1),
    (
        "AveragePool",
        [X4],
        {"kernel_shape": [3, 3], "pads": [1, 0, 1, 0], "count_include_pad": 1, "strides": [2, 2]},
        1,
    ),
    ("LpPool", [X4], {"kernel_shape": [3, 2], "p": 3, "strides": [2, 1]}, 1),
    ("GlobalLpPool", [X4], {"p": 3}, 1),
    ("GlobalAveragePool", [X5], {}, 1),
    (
        "MaxRoiPool",
        [X4, np.array([[0, 0, 0, 5, 6], [1, 2, 1, 7, 8]], F)],
        {"pooled_shape": [2, 3], "spatial_scale": 0.9},
        1,
    ),
    ("LRN", [X4], {"size": 3, "alpha": 0.2, "beta": 0.6, "bias": 1.5}, 1),
    ("LRN", [X4], {"size": 5}, 1),
    ("InstanceNormalization", [X4, _rng(6), _rng(6, seed=1)], {"epsilon": 1e-3}, 1),
    ("LayerNormalization", [X3, _rng(11), _rng(11, seed=1)], {}, 1),
    ("BatchNormalization", [X4, _rng(6), _rng(6, seed=1), _rng(6, seed=2), _rng(6) ** 2], {}, 1),
    _recurrent("LSTM", 4, 2, direction="bidirectional"),
    _recurrent("LSTM", 4, 1, direction="reverse", clip=0.5),
    _recurrent("LSTM", 4, 1, input_forget=1),
    _recurrent("LSTM", 4, 1, activations=["HardSigmoid", "Softsign", "Relu"]),
    _recurrent("GRU", 3, 2, direction="bidirectional", linear_before_reset=1),
    _recurrent("GRU", 3, 1, direction="reverse"),
    _recurrent("RNN", 1, 2, direction="bidirectional", activations=["Relu", "Tanh"]),
    _recurrent("RNN", 1, 1, direction="forward", clip=0.7),
    ("Resize", [X4, None, np.array([1, 1, 1.7, 0.6], F)], {"mode": "linear"}, 1),
    ("Resize", [X4, None, None, np.array([2, 6, 4, 13])], {"mode": "cubic", "antialias": 1}, 1),
    (
        "Resize",
        [X4, None, None, np.array([2, 6, 4, 13])],
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"},
        1,
    ),
    ("Einsum", [_rng(2, 3, 4), _rng(2, 4, 5)], {"equation": "bij,bjk->bki"}, 1),
    ("Einsum", [_rng(2, 3, 3)], {"equation": "...ii->...i"}, 1),
    ("Gemm", [_rng(4, 3), _rng(5, 4), _rng(5)], {"transA": 1, "transB": 1, "alpha": 0.5}, 1),
    ("CumSum", [X3, np.array(-1)], {"reverse": 1, "exclusive": 1}, 1),
    ("TopK", [np.round(X3), np.array([4])], {"axis": 1, "largest": 0}, 2),
    ("Pad", [X3, np.array([0, 2, 3, 1, 0, 4])], {"mode": "reflect"}, 1),
    ("Pad", [X3, np.array([0, -2, 3, 1, 0, -4]), np.array(2, F)], {}, 1),
    (
        "Slice",
        [X3, np.array([9, -1]), np.array([0, -100]), np.array([2, 1]), np.array([-2, -3])],
        {},
        1,
    ),
    ("QuantizeLinear", [X3, np.array(0.05, F), np.array(3, np.int8)], {}, 1),
    ("DequantizeLinear", [_bytes(3, 4), np.array([0.1, 0.2, 0.3], F)], {"axis": 0}, 1),
    ("Gelu", [X3], {}, 1),
    ("Mod", [np.array([-7, 7, -7], np.int32), np.array([3, -3, -3], np.int32)], {}, 1),
    ("Div", [np.array([-7, 7, -7], np.int32), np.array([3, -3, -3], np.int32)], {}, 1),
]


def _onnxruntime(call: Call) -> list[Any]:
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    op, inputs, attributes, n_outputs = call
    names = [f"i{n}" if array is not None else "" for n, array in enumerate(inputs)]
    feeds = {n: a for n, a in zip(names, inputs, strict=True) if n}
    outputs = [f"o{n}" for n in range(n_outputs)]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op, names, outputs, **attributes)],
        "one node",
        [
            onnx.helper.make_tensor_value_info(n, int(DType.of(a.dtype)), a.shape)
            for n, a in feeds.items()
        ],
        [onnx.helper.make_value_info(n, onnx.TypeProto()) for n in outputs],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10
    )
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, feeds))


def _version() -> tuple[int, ...]:
    runtime = pytest.importorskip("onnxruntime")
    return tuple(int(part) for part in runtime.__version__.split(".")[:2])


def tolerance(dtype: Any, products: int) -> float:
    """Return the bound on a sum of ``products`` rounded terms of size 1: gamma_k = k * eps."""
    return float(np.finfo(dtype).eps) * products if dtype.kind == "f" else 0.0


@pytest.mark.parametrize("call", CALLS, ids=[f"{c[0]}-{i}" for i, c in enumerate(CALLS)])
def test_definition_and_rule_agree_with_onnxruntime(call: Call) -> None:
    """The same numbers up to rounding; and the rule says their types and shapes."""
    op, inputs, attributes, n_outputs = call
    if attributes.get("count_include_pad") and _version() < (1, 24):
        pytest.skip("onnxruntime before 1.24 leaves padding out of some of the means")
    expected = _onnxruntime(call)
    got = evaluate(op, inputs, attributes, n_outputs)[:n_outputs]
    node = Node(op, [""] * len(inputs), [f"o{n}" for n in range(n_outputs)], attributes)
    infos = [None if array is None else info_of(array) for array in inputs]
    rules = infer_node(node, infos, n_outputs)

    for want, array, info in zip(expected, got, rules, strict=False):
        assert (want.dtype, want.shape) == (array.dtype, array.shape)
        assert (DType.of(array.dtype), array.shape) == (info.dtype, info.shape)
        if want.dtype.kind == "f":
            bound = tolerance(want.dtype, 512)
            np.testing.assert_allclose(array, want, rtol=bound, atol=bound)
        else:
            np.testing.assert_array_equal(array, want)
