"""Elementwise kernels of libcore: functions, arithmetic, casts, copies."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from compress_tensor.native.call import call
from compress_tensor.native.library import ISAS, core

UNARY = [
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "celu",
    "sigmoid",
    "hard_sigmoid",
    "hard_swish",
    "swish",
    "gelu",
    "gelu_tanh",
    "mish",
    "softplus",
    "softsign",
    "tanh",
    "erf",
    "exp",
    "log",
    "sqrt",
    "reciprocal",
    "abs",
    "neg",
    "sign",
    "floor",
    "ceil",
    "round",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "asinh",
    "acosh",
    "atanh",
    "clip",
    "thresholded_relu",
    "shrink",
    "affine",
    "scaled_tanh",
]
BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "pow",
    "min",
    "max",
    "mod",
    "fmod",
    "prelu",
    "equal",
    "less",
    "less_or_equal",
    "greater",
    "greater_or_equal",
    "and",
    "or",
    "xor",
    "shift_left",
    "shift_right",
]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 3.4e38, -3.4e38, 1, -1, 2, 0.5, -3]


@pytest.fixture
def rng():
    """One seeded generator per test."""
    return np.random.default_rng(21)


def _sigmoid(x):
    e = np.exp(-abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


# What each is in float64, and how many ulp of float32 the kernel may be off.
EXACT = {
    "sigmoid": (_sigmoid, 4),
    "softplus": (lambda x: np.maximum(x, 0) + np.log1p(np.exp(-abs(x))), 1),
    "softsign": (lambda x: x / (1 + abs(x)), 2),
    "tanh": (np.tanh, 3),
    "erf": (np.vectorize(math.erf), 4),
    "exp": (np.exp, 2),
    "log": (np.log, 1),
    "sqrt": (np.sqrt, 1),
    "reciprocal": (lambda x: 1 / x, 1),
    "abs": (abs, 0),
    "floor": (np.floor, 0),
    "ceil": (np.ceil, 0),
    "round": (np.rint, 0),
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "tan": (np.tan, 1),
    "asin": (np.arcsin, 1),
    "acos": (np.arccos, 1),
    "atan": (np.arctan, 1),
    "sinh": (np.sinh, 1),
    "cosh": (np.cosh, 1),
    "asinh": (np.arcsinh, 1),
    "acosh": (np.arccosh, 1),
    "atanh": (np.arctanh, 1),
}


def unary(name, x, alpha=0.0, beta=0.0):
    """Run one function."""
    y = np.empty_like(x)
    call("unary_f32", [x, y], [UNARY.index(name), float(alpha), float(beta)])
    return y


def binary(name, a, b):
    """Run one function; the output is bool for comparisons."""
    is_bool = 10 <= BINARY.index(name) <= 14
    out = np.empty(np.broadcast_shapes(a.shape, b.shape), np.bool_ if is_bool else a.dtype)
    a, b = np.broadcast_arrays(a, b)
    call("binary", [a, b, out], [BINARY.index(name)])
    return out


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.filterwarnings("ignore")
def test_function_is_within_its_bound(name, rng):
    """Over ordinary values, all bit patterns, and the special ones."""
    bits = rng.integers(0, 2**32, 20000, dtype=np.uint32).view(np.float32)
    x = np.concatenate([rng.normal(size=20000) * 3, rng.normal(size=9000) * 40, bits, SPECIAL])
    x = x.astype(np.float32)
    function, bound = EXACT[name]
    wide = function(x.astype(np.float64))
    expected = wide.astype(np.float32)

    y = unary(name, x)

    finite = np.isfinite(expected) & np.isfinite(y)
    assert ((expected == y) | (np.isnan(expected) & np.isnan(y)) | finite).all()
    ulp = np.spacing(abs(expected[finite]))
    assert (abs(y[finite] - wide[finite]) <= (bound + 0.51) * ulp).all()


def test_gelu_keeps_its_tail():
    """The left tail has few ulp, where 1 + erf would have cancelled."""
    x = np.linspace(-12, 12, 4001).astype(np.float32)
    expected = [0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x.astype(float)]

    np.testing.assert_allclose(unary("gelu", x), expected, rtol=6e-7)


def test_activations_by_their_definitions(rng):
    """The piecewise ones, against numpy in float32."""
    x = rng.normal(size=999).astype(np.float32) * 3
    a, b = np.float32(0.3), np.float32(0.6)
    e = np.expm1(np.minimum(x, 0), dtype=np.float64)
    pairs = {
        "relu": np.maximum(x, 0),
        "leaky_relu": np.where(x < 0, x * a, x),
        "elu": np.where(x < 0, a * e, x),
        "selu": b * np.where(x > 0, x, a * e),
        "celu": np.where(x < 0, a * np.expm1(np.minimum(x, 0) / np.float64(a)), x),
        "hard_sigmoid": np.clip(a * x + b, 0, 1),
        "hard_swish": x * np.clip(x * np.float32(1 / 6) + np.float32(0.5), 0, 1),
        "swish": x * _sigmoid(np.float64(a) * x),
        "gelu_tanh": 0.5
        * x
        * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x.astype(float) ** 3))),
        "mish": x * np.tanh(np.log1p(np.exp(x.astype(float)))),
        "neg": -x,
        "sign": np.sign(x),
        "clip": np.clip(x, a, b),
        "thresholded_relu": np.where(x > a, x, 0),
        "shrink": np.where(x < -a, x + b, np.where(x > a, x - b, 0)),
        "affine": a * x + b,
        "scaled_tanh": a * np.tanh(np.float64(b) * x),
    }
    for name, expected in pairs.items():
        np.testing.assert_allclose(
            unary(name, x, a, b), expected, rtol=3e-6, atol=1e-6, err_msg=name
        )


@pytest.mark.parametrize("name", UNARY)
def test_function_gives_the_same_bytes_everywhere(name, rng):
    """On each instruction set, in each layout, in place."""
    x = np.concatenate([rng.normal(size=1005) * 9, [1e12, -3e30], SPECIAL]).astype(np.float32)
    seen = []
    for isa in (0, 1, 2):
        core().cpr_limit_isa(isa)
        seen.append(unary(name, x, 0.3, 0.6))
    core().cpr_limit_isa(len(ISAS) - 1)
    strided = np.empty((x.size, 3), np.float32)[:, 1]
    strided[:] = x
    seen.append(unary(name, strided[::-1], 0.3, 0.6)[::-1])
    call("unary_f32", [strided, strided], [UNARY.index(name), 0.3, 0.6])
    seen.append(strided)

    for other in seen[1:]:
        assert np.array_equal(seen[0], other, equal_nan=True)


@pytest.mark.filterwarnings("ignore")
def test_binary_f32_by_numpy(rng):
    """Every function, scalars and broadcast on either side."""
    values = np.concatenate([rng.normal(size=30) * 3, rng.integers(-4, 5, 20), SPECIAL])
    a = values.astype(np.float32)[:, None]
    b = values.astype(np.float32)[None]
    functions = [
        np.add, np.subtract, np.multiply, np.divide, None, np.minimum, np.maximum, np.mod, np.fmod,
        lambda a, b: np.where(a < 0, a * b, a),
        np.equal, np.less, np.less_equal, np.greater, np.greater_equal,
    ]  # fmt: skip
    for name, function in zip(BINARY, functions, strict=False):
        if function:
            assert np.array_equal(function(a, b), binary(name, a, b), equal_nan=True), name
            assert np.array_equal(function(b, a), binary(name, b, a), equal_nan=True), name


@pytest.mark.filterwarnings("ignore")
def test_pow_is_that_of_ieee(rng):
    """Special cases exactly, the rest within one ulp."""
    values = np.concatenate(
        [abs(rng.normal(size=60)) * 3, rng.normal(size=20), SPECIAL, np.arange(-5, 6)]
    )
    a = values.astype(np.float32)[:, None]
    b = values.astype(np.float32)[None]
    wide = np.power(a.astype(np.float64), b.astype(np.float64))
    expected = wide.astype(np.float32)

    out = binary("pow", a, b)

    finite = np.isfinite(expected) & np.isfinite(out)
    assert (np.isnan(expected) == np.isnan(out)).all()
    assert (finite | np.isnan(out) | (expected == out)).all()
    assert (np.signbit(expected) == np.signbit(out))[~np.isnan(out)].all()
    assert (abs(out - wide)[finite] <= 1.1 * np.spacing(abs(expected))[finite]).all()


def _truncated(p, q):
    """Return p / q toward zero, 0 for q = 0, in whole numbers of any size."""
    return 0 if q == 0 else abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
@pytest.mark.filterwarnings("ignore")
def test_binary_of_integers_wraps_and_never_traps(dtype, rng):
    """Extremes, division by 0 and -1, long shifts."""
    info = np.iinfo(dtype)
    values = np.array(
        [info.min, info.min + 1, 0, 1, 2, 3, 7, info.max, info.max - 1, info.min // 2]
    )
    values = (
        np.concatenate([values, values - 1]).astype(dtype) if info.min else values.astype(dtype)
    )
    a, b = values[:, None], values[None]
    zero = np.zeros((), dtype)
    with_zero = np.where(b == 0, np.ones((), dtype), b)
    quotient = np.array(
        [[_truncated(p, q) for q in b[0].tolist()] for p in a[:, 0].tolist()], object
    )
    pairs = {
        "add": a + b,
        "sub": a - b,
        "mul": a * b,
        "div": (quotient % (1 << info.bits)).astype(np.uint64).astype(dtype),
        "min": np.minimum(a, b),
        "max": np.maximum(a, b),
        "mod": np.where(b == 0, zero, np.mod(a, with_zero)),
        "fmod": np.where(b == 0, zero, np.fmod(a, with_zero)),
        "equal": a == b,
        "less": a < b,
        "greater_or_equal": a >= b,
        "and": a & b,
        "or": a | b,
        "xor": a ^ b,
    }
    for name, expected in pairs.items():
        assert np.array_equal(expected, binary(name, a, b)), name
    shifts = np.arange(info.bits + 3).astype(dtype)[None]
    left = [[(int(p) << int(s)) % (1 << info.bits) for s in shifts[0]] for p in a[:, 0]]
    expected = np.array(left, dtype=np.uint64).astype(dtype)
    assert np.array_equal(expected, binary("shift_left", a, shifts))
    right = [[int(p) >> int(s) for s in shifts[0]] for p in a[:, 0]]
    assert np.array_equal(np.array(right, object).astype(dtype), binary("shift_right", a, shifts))
    if info.min:
        by = np.array([-1, -2, info.min], dtype)[None]
        signs = np.repeat(np.where(a < 0, -1, 0), 3, axis=1)
        assert np.array_equal(signs, binary("shift_right", a, by))
        assert not binary("shift_left", a, by).any()
    small = np.array([0, 1, 2, 3, 5], dtype)
    powers = [[(int(p) ** int(s)) % (1 << info.bits) for s in small] for p in a[:, 0]]
    expected = np.array(powers, dtype=np.uint64).astype(dtype)
    assert np.array_equal(expected, binary("pow", a, small[None]))


def test_where_and_scale_shift(rng):
    """Chosen bits; one rounding per element, then the clip."""
    c = rng.random((4, 33)) < 0.5
    for dtype in ("u1", "i2", "f4", "i8"):
        x, y = (rng.integers(0, 99, (4, 33)).astype(dtype) for _ in "xy")
        for xs, ys in itertools.product((x, np.broadcast_to(x[0, :1], x.shape)), (y, y[:1, :1])):
            ys = np.broadcast_to(ys, x.shape)
            out = np.empty_like(x)
            call("where", [c, xs, ys, out])
            assert np.array_equal(np.where(c, xs, ys), out)
    x = rng.normal(size=(2, 5, 7)).astype(np.float32)
    s, b = (np.broadcast_to(rng.normal(size=(5, 1)).astype(np.float32), x.shape) for _ in "sb")
    out = np.empty_like(x)
    call("scale_shift", [x, s, b, out], [-0.5, 0.5])
    expected = (x.astype(np.float64) * s + b).astype(np.float32)
    assert np.array_equal(np.clip(expected, -0.5, 0.5), out)


TYPES = ["f4", "f2", "bf16", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]
BF16 = np.dtype([("bfloat16", "<u2")])


def _from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _to_bf16(x):
    u = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = (u + 0x7FFF + ((u >> 16) & 1)) >> 16
    return np.where(np.isnan(x), 0x7FC0, rounded).astype(np.uint16)


@pytest.mark.parametrize(("source", "target"), list(itertools.product(TYPES, TYPES)))
@pytest.mark.filterwarnings("ignore")
def test_cast(source, target, rng):
    """Every pair, for values that the target can hold."""
    is_float = source in ("f4", "f2", "f8", "bf16")
    values = rng.integers(0 if "u" in target or "u" in source else -100, 100, 203).astype(float)
    if is_float:
        values += rng.random(203) * 0.99 * np.where(values < 0, -1, 1)
    if source == "?":
        values = (values > 3).astype(float)
    if source == "bf16":
        bits = _to_bf16(values)
        x, plain = bits.view(BF16), _from_bf16(bits)
    else:
        x = plain = values.astype(source)
    out = np.empty(203, BF16 if target == "bf16" else target)

    call("cast", [x, out])

    if target == "bf16":
        assert np.array_equal(_to_bf16(plain.astype(np.float32)), out.view(np.uint16))
    else:
        assert np.array_equal(plain.astype(target), out)


@pytest.mark.filterwarnings("ignore")
def test_cast_between_floats_rounds_half_to_even(rng):
    """All halves; random bits to half and bfloat16, infinities and denormals among them."""
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    out = np.empty(65536, np.float32)
    call("cast", [halves, out])
    assert np.array_equal(halves.astype(np.float32), out, equal_nan=True)
    ties = halves[:-1].astype(np.float32)
    ties = np.concatenate([ties, (ties + halves[1:].astype(np.float32)) / 2])
    bits = rng.integers(0, 2**32, 50000, dtype=np.uint32).view(np.float32)
    for x in (ties, bits, np.array(SPECIAL, np.float32)):
        for wide in (x, x.astype(np.float64), np.nextafter(x.astype(np.float64), 0)):
            out = np.empty(x.shape, np.float16)
            call("cast", [wide, out])
            assert np.array_equal(wide.astype(np.float16), out, equal_nan=True)
        out = np.empty(x.shape, BF16)
        call("cast", [x, out])
        assert np.array_equal(
            _from_bf16(_to_bf16(x)), _from_bf16(out.view(np.uint16)), equal_nan=True
        )


def test_cast_of_what_does_not_fit():
    """Truncation to bool keeps every nonzero value; NaN and overflow give the smallest integer."""
    x = np.array([np.nan, np.inf, 1e30, 0.0, -0.0, 1e-45, 0.4], np.float32)
    flags, words = np.empty(7, np.bool_), np.empty(7, np.int32)

    call("cast", [x, flags])
    call("cast", [x, words])

    assert np.array_equal([1, 1, 1, 0, 0, 1, 1], flags)
    assert np.array_equal([-(2**31)] * 3 + [0] * 4, words)


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(3, 5, 7), (2, 70, 131), (1, 3, 64), (65, 16), (1,), (2, 0, 3)])
def test_copy_between_all_layouts(dtype, shape, rng):
    """Any order of dims to any other; reversed; repeated."""
    x = rng.integers(0, 99, shape).astype(dtype)
    orders = list(itertools.permutations(range(len(shape))))
    for source, target in itertools.product(orders, orders):
        view = np.ascontiguousarray(x.transpose(source)).transpose(np.argsort(source))
        out = np.empty([shape[i] for i in target], dtype).transpose(np.argsort(target))
        call("copy", [view, out])
        assert np.array_equal(x, out)
    out = np.empty_like(x)
    call("copy", [x[::-1], out])
    assert np.array_equal(x[::-1], out)
    call("copy", [np.broadcast_to(x[:1], shape), out])
    assert np.array_equal(np.broadcast_to(x[:1], shape), out)


def test_fill_and_bool_tests(rng):
    """Any dtype, any stride."""
    out = np.zeros((5, 6), np.int16)
    call("fill", [out[::2, 1:4]], [7])
    assert out.sum() == 7 * 9
    x = np.array(SPECIAL, np.float32)
    flags = np.empty(x.shape, np.bool_)
    call("is_nan", [x, flags])
    assert np.array_equal(np.isnan(x), flags)
    for negative, positive in itertools.product((0, 1), repeat=2):
        call("is_inf", [x.astype(np.float64), flags], [negative, positive])
        assert np.array_equal(((x == -np.inf) & negative) | ((x == np.inf) & positive), flags)
    call("not_bool", [flags, flags])
    assert flags.sum() == x.size - 2


@pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "i8"])
def test_unary_int(dtype):
    """The smallest value is its own negative."""
    info = np.iinfo(dtype)
    x = np.array([info.min, info.max, 0, 1, 5], dtype)
    out = np.empty_like(x)
    with np.errstate(over="ignore"):
        pairs = [np.abs(x), (0 - x).astype(dtype), np.sign(x), ~x]
    for code, expected in enumerate(pairs):
        call("unary_int", [x, out], [code])
        assert np.array_equal(expected, out)
