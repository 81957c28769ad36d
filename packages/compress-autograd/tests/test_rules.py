"""Every derivative rule against differences of the operator's definition, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compress_autograd.gradcheck import gradcheck
from compress_autograd.rules import RULES
from compress_tensor import Tensor
from compress_tensor.eager import run_many

Array = np.ndarray[Any, np.dtype[Any]]
SHAPES = [(3, 4), (), (1,), (2, 0, 3), (2, 1, 3)]


def real(shape: tuple[int, ...], seed: int = 0, away: float = 0.0) -> Array:
    """Normal numbers, moved away from 0 by so much."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return x + np.sign(x) * away


def positive(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(0.3, 2.0, shape)


def inside(shape: tuple[int, ...], seed: int = 0) -> Array:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, shape)


def ints(*values: int) -> Array:
    """What decides shapes: a plan depends on its contents."""
    return np.array(values, np.int64)


def indices(values: Any) -> Tensor:
    """Data like any other."""
    return Tensor(np.array(values, np.int64))


def check(op: str, inputs: list[Any], outputs: int = 1, order: int = 2, **attributes: Any) -> None:
    """Check one operator; float arrays are operands, integer arrays decide shapes."""
    given = [
        Tensor(x) if isinstance(x, np.ndarray) and x.dtype == np.float64 else x for x in inputs
    ]
    pairs = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in attributes.items())
    gradcheck(lambda *x: run_many(op, x, pairs, outputs), given, order=order)


UNARY = {
    **dict.fromkeys(["Identity", "Neg", "Exp", "Erf", "Sin", "Cos", "Atan", "Sinh", "Cosh"], real),
    **dict.fromkeys(["Tanh", "Asinh", "Sigmoid", "Swish", "Softplus", "Gelu", "Mish"], real),
    **dict.fromkeys(["Softmax", "LogSoftmax"], real),
    **dict.fromkeys(["Log", "Sqrt", "Reciprocal"], positive),
    **dict.fromkeys(["Asin", "Acos", "Atanh", "Tan"], inside),
    "Acosh": lambda shape: positive(shape) + 1,
}
KINKED = ["Abs", "Relu", "LeakyRelu", "Elu", "Celu", "Selu", "Softsign"]
BENT = ["ThresholdedRelu", "Shrink", "HardSigmoid", "HardSwish"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("op", sorted(UNARY))
def test_smooth_functions(op: str, shape: tuple[int, ...]) -> None:
    if "Soft" in op and op != "Softplus" and not shape:
        pytest.skip("it needs a dimension")
    check(op, [UNARY[op](shape)])


@pytest.mark.parametrize("op", KINKED)
def test_functions_with_a_kink_at_0(op: str) -> None:
    check(op, [real((3, 4), away=0.1)])


@pytest.mark.parametrize("op", BENT)
def test_functions_with_kinks_elsewhere(op: str) -> None:
    x = np.array([-5.0, -2.7, -1.4, -0.3, 0.3, 0.8, 1.4, 2.2, 3.7])
    check(op, [x])


def test_attributes_of_functions() -> None:
    x = real((3, 4), away=0.1)
    check("Gelu", [x], approximate="tanh")
    check("Swish", [x], alpha=1.7)
    check("LeakyRelu", [x], alpha=0.3)
    check("Elu", [x], alpha=0.7)
    check("Celu", [x], alpha=0.7)
    check("Softmax", [x], axis=0)
    check("Cast", [x], to=11)
    check("CastLike", [x, Tensor(x)])
    check("Dropout", [x])


BROADCAST = [((3, 4), (3, 4)), ((3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (3,)), ((2, 0), (1, 1))]


@pytest.mark.parametrize("shapes", BROADCAST, ids=str)
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean"])
def test_two_operands(op: str, shapes: Any) -> None:
    check(op, [positive(shapes[0], 1), positive(shapes[1], 2)])


def test_other_elementwise_operators() -> None:
    a, b = real((3, 4), 1, 0.1), real((4,), 2, 0.1)
    check("PRelu", [a, b])
    check("Mod", [a * 3, np.abs(b)], fmod=1)
    check("SwiGLU", [a, real((3, 4), 3)])
    check("Where", [Tensor(a > 0), a, b])
    check("Max", [a, b, real((3, 1), 5)])
    check("Clip", [a, np.array(-0.5), np.array(0.5)], order=1)
    check("Clip", [a, np.array(-0.5)], order=1)
    check("Clip", [a, None, np.array(0.5)], order=1)


REDUCTIONS = ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions(name: str) -> None:
    x = positive((3, 4, 1, 2))
    check(f"Reduce{name}", [x, ints(1)])
    check(f"Reduce{name}", [x, ints(-1, 0)], keepdims=0)
    check(f"Reduce{name}", [x], keepdims=0)
    check(f"Reduce{name}", [x, ints()], noop_with_empty_axes=1)


def test_products_with_zeros_have_gradients() -> None:
    x = np.array([[0.0, 2.0, 3.0], [0.0, 0.0, 5.0], [1.0, 2.0, 4.0]])
    check("ReduceProd", [x, ints(1)], order=1)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_running_sums_and_products(exclusive: int, reverse: int) -> None:
    x = positive((3, 4))
    check("CumSum", [x, np.array(1)], exclusive=exclusive, reverse=reverse)
    check("CumProd", [x, np.array(0)], exclusive=exclusive, reverse=reverse)


MATRICES = [
    ((3, 4), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)),
    ((4,), (4, 5)),
    ((2, 3, 4), (4,)),
    ((4,), (4,)),
    ((4,), (2, 4, 3)),
    ((3, 0), (0, 2)),
    ((0, 3), (3, 2)),
    ((1, 1), (1, 1)),
]


@pytest.mark.parametrize("shapes", MATRICES, ids=str)
def test_matmul(shapes: Any) -> None:
    check("MatMul", [real(shapes[0], 1), real(shapes[1], 2)])


@pytest.mark.parametrize("a", [0, 1])
@pytest.mark.parametrize("b", [0, 1])
def test_gemm(a: int, b: int) -> None:
    left, right = real((4, 3) if a else (3, 4), 1), real((5, 4) if b else (4, 5), 2)
    for bias in (real((5,), 3), real((3, 1), 3), None):
        check("Gemm", [left, right, bias], transA=a, transB=b, alpha=0.7, beta=1.3)


@pytest.mark.parametrize("equation", ["ij,jk->ik", "bij,bkj->bik", "ij->j", "i,i->", "ij,kl->il"])
def test_einsum(equation: str) -> None:
    sizes = dict(zip("bijkl", (2, 3, 4, 5, 2), strict=True))
    terms = equation.partition("->")[0].split(",")
    operands = [real(tuple(sizes[c] for c in term), n) for n, term in enumerate(terms)]
    check("Einsum", operands, equation=equation)


CONVS = [
    ((2, 3, 7), (4, 3, 3), {}),
    ((2, 3, 6, 5), (4, 3, 3, 2), {"pads": [1, 0, 1, 1]}),
    ((2, 4, 7, 6), (6, 2, 3, 3), {"group": 2, "strides": [2, 3], "pads": [1, 1, 1, 1]}),
    ((1, 3, 6, 6), (3, 1, 3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
    ((1, 3, 6, 6), (6, 1, 3, 3), {"group": 3, "strides": [2, 2]}),
    ((1, 2, 9, 8), (3, 2, 2, 3), {"dilations": [2, 3], "strides": [1, 2]}),
    ((1, 2, 5, 5), (2, 2, 1, 1), {"strides": [2, 2]}),
    ((1, 2, 5, 5), (2, 2, 1, 1), {"pads": [2, 2, 2, 2]}),
    ((1, 2, 4, 3, 5), (2, 2, 2, 2, 2), {"strides": [1, 1, 2]}),
    ((1, 2, 6, 6), (2, 2, 3, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((0, 2, 6, 6), (2, 2, 3, 3), {}),
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
]


@pytest.mark.parametrize("case", CONVS, ids=str)
def test_convolutions(case: Any) -> None:
    x, w, attributes = case
    check("Conv", [real(x, 1), real(w, 2), real((w[0],), 3)], **attributes)


def test_the_gradient_of_weights_has_gradients() -> None:
    x, g = real((2, 4, 7, 6), 1), real((2, 6, 4, 2), 2)
    window = {"group": 2, "strides": [2, 3], "pads": [1, 1, 1, 1], "kernel_shape": [3, 3]}
    check("compress::ConvWeightGrad", [x, g], **window)


TRANSPOSED = [
    ((2, 3, 5), (3, 4, 3), {}),
    ((2, 4, 3, 4), (4, 3, 3, 2), {"strides": [2, 3], "group": 2, "pads": [1, 0, 0, 1]}),
    (
        (1, 2, 4, 4),
        (2, 2, 3, 3),
        {"strides": [2, 2], "output_padding": [1, 1], "pads": [1, 1, 1, 1]},
    ),
    ((1, 2, 4, 4), (2, 2, 2, 2), {"dilations": [2, 1]}),
]


@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_transposed_convolutions(case: Any) -> None:
    x, w, attributes = case
    bias = real((w[1] * attributes.get("group", 1),), 3)
    check("ConvTranspose", [real(x, 1), real(w, 2), bias], **attributes)


POOLS = [
    ((2, 3, 7), {"kernel_shape": [3], "strides": [2]}),
    ((2, 3, 6, 5), {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [1, 1, 0, 1]}),
    (
        (1, 2, 7, 7),
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "pads": [0, 1, 1, 0]},
    ),
    ((1, 2, 7, 7), {"kernel_shape": [2, 2], "dilations": [2, 3]}),
]


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pools(op: str, case: Any) -> None:
    shape, attributes = case
    check(op, [real(shape, 1, 0.2)], order=1 if op == "LpPool" else 2, **attributes)


def test_pools_of_planes_and_counted_padding() -> None:
    x = real((2, 3, 4, 5), 1, 0.1)
    check("GlobalAveragePool", [x])
    check("GlobalMaxPool", [x])
    check("GlobalLpPool", [x])
    pool = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}
    check("AveragePool", [x], **pool)
    places = indices(np.arange(0, 32, 2).reshape(1, 2, 2, 4) * 2)
    check("MaxUnpool", [real((1, 2, 2, 4)), places], kernel_shape=[2, 2], strides=[2, 2])


def test_movement() -> None:
    x = real((2, 3, 4))
    check("Reshape", [x, ints(4, -1)])
    check("Flatten", [x], axis=2)
    check("Squeeze", [real((2, 1, 3)), ints(1)])
    check("Unsqueeze", [x, ints(0, 2)])
    check("Transpose", [x], perm=[2, 0, 1])
    check("Transpose", [x])
    check("Expand", [real((3, 1)), ints(2, 3, 4)])
    check("Concat", [x, real((2, 0, 4)), real((2, 2, 4), 2)], axis=1)
    check("Split", [x, ints(1, 3)], outputs=2, axis=2)
    check("Slice", [x, ints(-3, 1), ints(-1, 9), ints(2, 1), ints(2, 1)])
    check("Slice", [x, ints(5, -1), ints(-9, -9), ints(2, 1), ints(-2, -1)])
    check("Slice", [x, ints(1, 2), ints(2, 2)])
    check("Tile", [x, ints(2, 1, 3)])
    check("Trilu", [real((2, 3, 4)), np.array(1)])
    check("Trilu", [real((4, 3))], upper=0)
    check("DepthToSpace", [real((1, 8, 2, 3))], blocksize=2)
    check("DepthToSpace", [real((1, 8, 2, 3))], blocksize=2, mode="CRD")
    check("SpaceToDepth", [real((1, 2, 4, 6))], blocksize=2)
    check("ReverseSequence", [real((4, 3)), indices([2, 4, 1])])
    check("Compress", [x, Tensor(np.array([True, False, True]))], axis=1)
    check("Compress", [x, Tensor(np.arange(24) % 3 == 0)])


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pad(mode: str) -> None:
    check("Pad", [real((3, 4)), ints(1, 2, 0, 1)], mode=mode)
    check("Pad", [real((3, 4)), ints(2, 1), None, ints(1)], mode=mode)
    if mode == "constant":
        check("Pad", [real((3, 4)), ints(-1, 2, 0, -1)], mode=mode)


def test_indexing() -> None:
    x = real((4, 3, 5))
    check("Gather", [x, indices([[0, 3], [-1, 0]])])
    check("Gather", [x, indices([2, 2, 0])], axis=-1)
    check("Gather", [x, indices(1)], axis=1)
    check("GatherElements", [x, indices(np.zeros((4, 2, 5)))], axis=1)
    check("GatherND", [x, indices([[0, 1], [3, -1], [0, 1]])])
    check("GatherND", [x, indices([[0], [2], [1], [1]])], batch_dims=1)
    places = indices([[[1, 0, 2, 1, 1]], [[0, 0, 0, 0, 2]]])
    check("ScatterElements", [x, places, real((2, 1, 5), 3)], axis=1)
    check("ScatterElements", [x, places, real((2, 1, 5), 3)], axis=1, reduction="add")
    check("ScatterND", [x, indices([[0, 1], [3, 2]]), real((2, 5), 3)])
    check("ScatterND", [x, indices([[0], [0]]), real((2, 3, 5), 3)], reduction="add")
    check("TopK", [x, ints(2)], outputs=2, axis=1)


RESIZES = [
    {"mode": "nearest"},
    {"mode": "linear"},
    {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    {"mode": "cubic"},
    {"mode": "linear", "antialias": 1},
]


@pytest.mark.parametrize("attributes", RESIZES, ids=str)
def test_resize(attributes: Any) -> None:
    x = real((1, 2, 4, 5))
    check("Resize", [x, None, None, ints(1, 2, 7, 3)], **attributes)
    check("Resize", [x, None, np.array([1, 1, 2, 0.6], np.float32)], **attributes)


def test_normalisations() -> None:
    x, c = real((2, 4, 3, 5)), (positive((4,), 1), real((4,), 2))
    check("InstanceNormalization", [x, *c])
    check("GroupNormalization", [x, *c], num_groups=2, stash_type=11)
    check("LayerNormalization", [x, positive((3, 5), 1), real((3, 5), 2)], axis=2, stash_type=11)
    check("LayerNormalization", [x, positive((5,), 1)], stash_type=11, outputs=3)
    check("RMSNormalization", [x, positive((5,), 1)], stash_type=11)
    check("LpNormalization", [x], axis=1)
    check("LpNormalization", [x], axis=1, p=1)
    check("LRN", [x], size=3, alpha=0.1)
    check("MeanVarianceNormalization", [x])
    stats = (real((4,), 3), positive((4,), 4))
    check("BatchNormalization", [x, *c, *stats])
    check("BatchNormalization", [x, *c, *stats], outputs=3, training_mode=1)


def test_losses() -> None:
    scores, weight = real((3, 4, 2)), positive((4,))
    labels = indices([[0, 3], [1, 1], [2, 0]])
    for reduction in ("mean", "sum", "none"):
        check("NegativeLogLikelihoodLoss", [scores, labels, weight], reduction=reduction)
    check("SoftmaxCrossEntropyLoss", [scores, labels], outputs=2)
    check("SoftmaxCrossEntropyLoss", [scores, labels, weight], ignore_index=1)


def test_attention() -> None:
    q, k, v = real((2, 4, 3, 6), 1), real((2, 2, 5, 6), 2), real((2, 2, 5, 6), 3)
    check("Attention", [q, k, v])
    check("Attention", [q, k, v, real((3, 5), 4)], softcap=3.0)
    flat = [real((2, 3, 12), n) for n in range(3)]
    check("Attention", flat, q_num_heads=2, kv_num_heads=2, is_causal=1)
    check("Attention", [q, k, v, None, real((2, 2, 2, 6), 5), real((2, 2, 2, 6), 6)], outputs=3)


def test_attention_that_was_spelled_out() -> None:
    fused = "compress.fused::Attention"
    q, k, v = real((2, 3, 4, 5), 1), real((2, 3, 5, 6), 2), real((2, 3, 6, 7), 3)
    check(fused, [q, k, v], factor=0.4)
    check(fused, [q, k, v, Tensor(real((2, 1, 1, 6), 4))], divisor=2.2)
    check(fused, [q, k, v, real((4, 6), 4)])
    check(fused, [q[0, 0], k[0, 0], v[0, 0]])


def test_rotary_embedding() -> None:
    cos, sin = inside((2, 3, 3), 1), inside((2, 3, 3), 2)
    check("RotaryEmbedding", [real((2, 2, 3, 6)), cos, sin])
    check("RotaryEmbedding", [real((2, 2, 3, 6)), cos, sin], interleaved=1)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", ["LSTM", "GRU", "RNN"])
def test_recurrent(op: str, direction: str) -> None:
    gates, states = {"LSTM": (4, 2), "GRU": (3, 1), "RNN": (1, 1)}[op]
    sides = 2 if direction == "bidirectional" else 1
    t, b, i, h = 3, 2, 3, 2
    given = [real((t, b, i)), real((sides, gates * h, i), 1), real((sides, gates * h, h), 2)]
    bias = real((sides, 2 * gates * h), 3)
    first = [real((sides, b, h), 4 + n) for n in range(states)]
    more = {"outputs": 1 + states, "hidden_size": h, "direction": direction, "order": 1}
    check(op, [*given, bias, None, *first], **more)
    check(op, [*given, None, indices([3, 2])], **more)
    if op == "GRU":
        check(op, [*given, bias], **more, linear_before_reset=1)
    if op == "LSTM":
        check(op, [*given, bias, None, *first, real((sides, 3 * h), 7)], **more)
        check(op, [*given, bias], **more, input_forget=1, clip=0.7)


def test_every_rule_is_checked_here() -> None:
    text = Path(__file__).read_text()
    missing = [op for op in RULES if f'"{op}"' not in text and not op.startswith("Reduce")]

    assert missing == []
