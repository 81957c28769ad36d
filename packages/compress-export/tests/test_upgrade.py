"""Networks of old operator sets compute, once read, what onnxruntime computes from the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper

from compress_export import read_onnx
from compress_tensor import Graph, UnsupportedError
from compress_tensor.graph.interpret import interpret

X = np.random.default_rng(0).standard_normal((2, 4, 6, 8)).astype(np.float32)


def model(opset: int, nodes: list[Any], feeds: dict[str, Any], constants: Any = None) -> bytes:
    """Return a model whose output is ``y``; its shapes are left open."""

    def value(name: str, array: np.ndarray) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        return helper.make_tensor_value_info(name, kind, [None] * array.ndim)

    tensors = [onnx.numpy_helper.from_array(a, n) for n, a in (constants or {}).items()]
    outputs = [onnx.ValueInfoProto(name="y")]
    inputs = [value(name, array) for name, array in feeds.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    return made.SerializeToString()


def peer(data: bytes, feeds: dict[str, Any]) -> np.ndarray:
    """Run the bytes in onnxruntime as they are."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(["y"], feeds)[0]


def node(op: str, *inputs: str, **attributes: Any) -> Any:
    """Return a node that makes ``y``."""
    return helper.make_node(op, list(inputs), ["y"], **attributes)


CASES: dict[str, tuple[int, Any, dict[str, Any], dict[str, Any]]] = {
    "squeeze": (11, node("Squeeze", "x", axes=[0, -1]), {"x": X[:1, ..., :1]}, {}),
    "unsqueeze": (7, node("Unsqueeze", "x", axes=[0, 3]), {"x": X[0]}, {}),
    "reduce_sum": (11, node("ReduceSum", "x", axes=[1, 3], keepdims=0), {"x": X}, {}),
    "reduce_mean": (13, node("ReduceMean", "x", axes=[-1]), {"x": X}, {}),
    "reduce_max_all": (7, node("ReduceMax", "x", keepdims=0), {"x": X}, {}),
    "slice": (9, node("Slice", "x", starts=[1, -3], ends=[99, 5], axes=[1, 3]), {"x": X}, {}),
    "slice_no_axes": (7, node("Slice", "x", starts=[0, 1], ends=[1, 3]), {"x": X}, {}),
    "split": (11, helper.make_node("Split", ["x"], ["z", "y"], axis=3, split=[3, 5]), {"x": X}, {}),
    "split_even": (13, helper.make_node("Split", ["x"], ["z", "y"], axis=3), {"x": X}, {}),
    "pad": (10, node("Pad", "x", pads=[0, 0, 1, 2, 0, 0, 3, 0], value=1.5), {"x": X}, {}),
    "pad_reflect": (
        7,
        node("Pad", "x", pads=[0, 0, 1, 2, 0, 0, 3, 0], mode="reflect"),
        {"x": X},
        {},
    ),
    "top_k": (9, helper.make_node("TopK", ["x"], ["y", "i"], k=3), {"x": X}, {}),
    "clip": (10, node("Clip", "x", min=-0.5, max=0.5), {"x": X}, {}),
    "clip_low": (7, node("Clip", "x", min=0.0), {"x": X}, {}),
    "softmax_default": (7, node("Softmax", "x"), {"x": X}, {}),
    "softmax_axis_2": (11, node("Softmax", "x", axis=2), {"x": X}, {}),
    "softmax_negative": (11, node("Softmax", "x", axis=-2), {"x": X}, {}),
    "softmax_last": (11, node("Softmax", "x", axis=3), {"x": X}, {}),
    "log_softmax": (7, node("LogSoftmax", "x", axis=1), {"x": X}, {}),
    "hardmax": (11, node("Hardmax", "x", axis=1), {"x": X}, {}),
    "batch_norm": (
        7,
        node("BatchNormalization", "x", "s", "b", "m", "v", epsilon=1e-3),
        {"x": X},
        {n: np.abs(X[0, :, 0, i]) for i, n in enumerate("sbmv")},
    ),
    "batch_norm_per_element": (
        7,
        node("BatchNormalization", "x", "s", "b", "m", "v", spatial=0),
        {"x": X},
        {n: np.abs(X[1] + i) for i, n in enumerate("sbmv")},
    ),
    "dropout": (7, node("Dropout", "x", ratio=0.3), {"x": X}, {}),
    "upsample_7": (7, node("Upsample", "x", scales=[1.0, 1.0, 2.0, 3.0]), {"x": X}, {}),
    "upsample_9": (
        9,
        node("Upsample", "x", "s", mode="linear"),
        {"x": X},
        {"s": np.array([1, 1, 2, 2], np.float32)},
    ),
    "resize_10_grow": (
        10,
        node("Resize", "x", "s", mode="nearest"),
        {"x": X},
        {"s": np.array([1, 1, 1.5, 2.5], np.float32)},
    ),
    "resize_10_shrink": (
        10,
        node("Resize", "x", "s", mode="nearest"),
        {"x": X},
        {"s": np.array([1, 1, 0.6, 0.4], np.float32)},
    ),
    "resize_10_both": (
        10,
        node("Resize", "x", "s", mode="nearest"),
        {"x": X},
        {"s": np.array([1, 1, 0.6, 1.7], np.float32)},
    ),
    "resize_10_unknown": (
        10,
        node("Resize", "x", "s", mode="nearest"),
        {"x": X, "s": np.array([1, 1, 0.6, 1.7], np.float32)},
        {},
    ),
    "resize_10_linear": (
        10,
        node("Resize", "x", "s", mode="linear"),
        {"x": X},
        {"s": np.array([1, 1, 0.6, 1.7], np.float32)},
    ),
    "resize_11_sizes": (
        11,
        node("Resize", "x", "e", "e", "n", mode="nearest"),
        {"x": X},
        {"e": np.zeros(0, np.float32), "n": np.array([2, 4, 9, 5], np.int64)},
    ),
    "resize_11_tf": (
        11,
        node(
            "Resize",
            *("x", "e", "s"),
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="tf_half_pixel_for_nn",
        ),
        {"x": X},
        {"e": np.zeros(0, np.float32), "s": np.array([1, 1, 2, 2], np.float32)},
    ),
    "scatter": (
        9,
        node("Scatter", "x", "i", "u", axis=1),
        {"x": X[0, 0], "i": np.array([[1, 3], [0, 2]], np.int64), "u": X[0, 1, :2, :2]},
        {},
    ),
    "grid_sample": (
        16,
        node("GridSample", "x", "g", mode="bicubic"),
        {"x": X, "g": np.clip(X[:, :3, :5, :2], -1, 1)},
        {},
    ),
    "roi_align": (
        10,
        node("RoiAlign", "x", "r", "i", output_height=2, output_width=2),
        {"x": X},
        {"r": np.array([[0, 0, 4, 4], [1, 1, 5, 3]], np.float32), "i": np.array([0, 1], np.int64)},
    ),
    "dft": (17, node("DFT", "x", axis=2), {"x": X[..., :1]}, {}),
    "max_pool": (7, node("MaxPool", "x", kernel_shape=[2, 2], auto_pad="SAME_UPPER"), {"x": X}, {}),
    "average_pool": (
        7,
        node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        {"x": X},
        {},
    ),
    "gemm": (
        7,
        node("Gemm", "x", "w", "c", transB=1),
        {"x": X[0, 0]},
        {"w": X[0, 1, :3], "c": X[0, 2, 0, :1]},
    ),
    "one_output_of_lstm": (
        7,
        helper.make_node("LSTM", ["x", "w", "r"], ["", "y"], hidden_size=4),
        {"x": X[0]},
        {"w": X.reshape(-1)[:128].reshape(1, 16, 8), "r": X.reshape(-1)[:64].reshape(1, 16, 4)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_rule_agrees_with_onnxruntime(name: str) -> None:
    """An operator of an old opset, rewritten, gives what the file says."""
    opset, made, feeds, constants = CASES[name]
    data = model(opset, [made], feeds, constants)
    got = interpret(read_onnx(data), feeds)["y"]

    # sums of at most 8 float32 terms of size 4
    np.testing.assert_allclose(got, peer(data, feeds), rtol=1e-5, atol=1e-5)


def nodes_of(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


def test_float16_bounds_have_the_data_s_type() -> None:
    """A bound of Clip becomes a constant in the type of the data, so that nothing is cast."""
    half = X.astype(np.float16)
    nodes = [helper.make_node("Relu", ["x"], ["h"]), node("Clip", "h", min=0.0, max=6.0)]
    graph = read_onnx(model(10, nodes, {"x": half}))

    assert nodes_of(graph) == ["Relu", "Clip"]
    assert {a.dtype for a in graph.constants.values()} == {np.dtype(np.float16)}


def test_groups_are_repeated_for_channels() -> None:
    """GroupNormalization 18 scales per group, 21 per channel."""
    made = node("GroupNormalization", "x", "s", "b", num_groups=2, epsilon=1e-5)
    scale, bias = np.array([2, 3], np.float32), np.array([0.5, -1], np.float32)
    data = model(18, [made], {"x": X}, {"s": scale, "b": bias})
    groups = X.reshape(2, 2, -1)
    centred = groups - groups.mean(-1, keepdims=True)
    unit = centred / np.sqrt(groups.var(-1, keepdims=True) + 1e-5)
    expected = (unit * scale[:, None] + bias[:, None]).reshape(X.shape)

    np.testing.assert_allclose(
        interpret(read_onnx(data), {"x": X})["y"], expected, rtol=1e-5, atol=1e-5
    )


def test_axis_of_old_broadcasting() -> None:
    """Before opset 7, ``axis`` says where the second operand's dimensions start."""
    b = X[0, :, :, 0]
    data = model(6, [node("Add", "x", "b", axis=1, broadcast=1)], {"x": X, "b": b})

    np.testing.assert_array_equal(
        interpret(read_onnx(data), {"x": X, "b": b})["y"], X + b[:, :, None]
    )


def test_negative_axis_of_old_broadcasting() -> None:
    """A negative axis counts from the end."""
    b = X[0, 0, :, 0]
    data = model(6, [node("Mul", "x", "b", axis=-2, broadcast=1)], {"x": X, "b": b})

    np.testing.assert_array_equal(interpret(read_onnx(data), {"x": X, "b": b})["y"], X * b[:, None])


def test_reshape_with_an_attribute() -> None:
    """Reshape 1 has its shape as an attribute."""
    data = model(1, [node("Reshape", "x", shape=[0, -1])], {"x": X})

    np.testing.assert_array_equal(interpret(read_onnx(data), {"x": X})["y"], X.reshape(2, -1))


def test_tile_along_one_axis() -> None:
    """Tile 1 repeats along one axis."""
    feeds = {"x": X, "n": np.array([3], np.float32), "a": np.array([2], np.float32)}
    data = model(1, [node("Tile", "x", "n", "a")], feeds)

    np.testing.assert_array_equal(interpret(read_onnx(data), feeds)["y"], np.tile(X, (1, 1, 3, 1)))


def test_cast_by_name() -> None:
    """Cast 1 names the type."""
    data = model(1, [node("Cast", "x", to="DOUBLE")], {"x": X})

    assert interpret(read_onnx(data), {"x": X})["y"].dtype == np.float64


def test_mask_of_dropout_keeps_its_type() -> None:
    """The mask of Dropout 7 is of the data's type."""
    nodes = [
        helper.make_node("Dropout", ["x"], ["d", "m"]),
        helper.make_node("Mul", ["d", "m"], ["y"]),
    ]

    np.testing.assert_array_equal(interpret(read_onnx(model(7, nodes, {"x": X})), {"x": X})["y"], X)


@pytest.mark.parametrize(
    ("opset", "made"),
    [
        (
            11,
            helper.make_node(
                "Resize",
                ["x", "", "x"],
                ["y"],
                coordinate_transformation_mode="tf_half_pixel_for_nn",
                mode="linear",
            ),
        ),
        (8, helper.make_node("Scan", ["", "x"], ["y"], num_scan_inputs=1)),
        (1, helper.make_node("LpPool", ["x"], ["y"], p=2.5)),
    ],
    ids=["resize", "scan", "lp_pool"],
)
def test_what_cannot_be_said_is_refused(opset: int, made: Any) -> None:
    """A form that opset 21 lost, and that has no equal, is one sentence."""
    with pytest.raises(UnsupportedError, match=r"Resize|Scan|LpPool"):
        read_onnx(model(opset, [made], {"x": X}))


def test_functions_are_inlined() -> None:
    """Calls of model-local functions become the body, attribute references resolved."""
    body = [
        helper.make_node("Constant", [], ["half"], value_float=0.5),
        helper.make_node("LeakyRelu", ["a"], ["t"]),
        helper.make_node("Mul", ["t", "half"], ["b"]),
    ]
    reference = onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=TensorProto.FLOAT)
    body[1].attribute.append(reference)
    inner = helper.make_function(
        "own", "Scaled", ["a"], ["b"], body, [helper.make_opsetid("", 13)], ["slope"]
    )
    outer_body = [
        helper.make_node("Scaled", ["p"], ["q"], domain="own", slope=0.25),
        helper.make_node("Scaled", ["q"], ["r"], domain="own"),
    ]
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    outer = helper.make_function("own", "Twice", ["p"], ["r", "p"], outer_body, imports)
    graph = helper.make_graph(
        [
            helper.make_node("Twice", ["x"], ["u", "v"], domain="own", name="first"),
            helper.make_node("Add", ["u", "v"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None] * 4)],
        [onnx.ValueInfoProto(name="y")],
    )
    made = helper.make_model(graph, functions=[inner, outer], opset_imports=imports, ir_version=8)
    got = interpret(read_onnx(made.SerializeToString()), {"x": X})["y"]
    once = np.where(X < 0, X * np.float32(0.25), X) * np.float32(0.5)
    twice = np.where(once < 0, once * np.float32(0.01), once) * np.float32(0.5)

    np.testing.assert_array_equal(got, twice + X)
