"""Elementwise operations: type rules, broadcasting and values against numpy."""

from __future__ import annotations

import math
import operator

import numpy as np
import pytest

import compress_tensor as ct
from compress_tensor import DType, InputError, Tensor
from compress_tensor.promotion import ARITHMETIC, FLOATS, INTEGERS, promote

INTS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
SHARED = ["?", *INTS, "f2", "f4", "f8"]


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(21)


def pairs(rng, n):
    """Yield shapes that broadcast."""
    for _ in range(n):
        full = rng.integers(0 if rng.random() < 0.1 else 1, 5, size=int(rng.integers(0, 4)))
        shapes = []
        for _ in "ab":
            shape = np.where(rng.random(len(full)) < 0.25, 1, full).tolist()
            shapes.append(
                shape[int(rng.integers(0, len(shape) + 1)) if rng.random() < 0.3 else 0 :]
            )
        yield shapes


def numbers(rng, shape, dtype):
    """Return random elements at random strides."""
    wide = [2 * n for n in shape]
    a = np.asarray(
        rng.integers(-100, 100, size=wide) if dtype in INTS else rng.standard_normal(wide) * 5
    )
    key = tuple(slice(None, None, 2) if rng.random() < 0.5 else slice(n) for n in shape)
    return np.asarray(np.asarray(a).astype(dtype)[key])


def close(expected, tensor, ulps=0):
    """Assert equality within units in the last place of the result."""
    found = tensor.numpy()
    assert expected.shape == found.shape
    assert expected.dtype == found.dtype
    if not ulps:
        assert np.array_equal(expected, found, equal_nan=expected.dtype.kind == "f")
        return
    finite = np.isfinite(expected)
    assert np.array_equal(expected[~finite], found[~finite], equal_nan=True)
    gap = np.abs(expected[finite].astype("f8") - found[finite].astype("f8"))
    assert (gap <= ulps * np.spacing(np.abs(expected[finite])).astype("f8")).all()


def test_types_meet_as_numpy_says():
    """Exhaustive: within a kind numpy's rule; a float and an integer meet in the float."""
    for a in SHARED:
        for b in SHARED:
            found = promote(DType.of(a), DType.of(b))
            kinds = {np.dtype(a).kind in "f", np.dtype(b).kind in "f"}
            expected = DType.of(np.promote_types(a, b))
            if kinds == {True, False}:
                expected = DType.of(a if np.dtype(a).kind == "f" else b)
            elif kinds == {False} and expected is DType.FLOAT64:
                expected = DType.INT64  # uint64 and a signed type stay integers
            assert found is expected, (a, b)
            assert (Tensor(np.ones(1, a)) + Tensor(np.ones(1, b))).dtype is expected
    for other in ARITHMETIC:
        found = promote(DType.BFLOAT16, other)
        assert found is promote(other, DType.BFLOAT16)
        assert found is (
            {DType.FLOAT16: DType.FLOAT32}.get(other, other) if other in FLOATS else DType.BFLOAT16
        )


def test_promotion_is_a_lattice():
    """Commutative, associative within a kind, idempotent; what only stores meets nothing."""
    for a in ARITHMETIC:
        assert promote(a, a) is a
        for b in ARITHMETIC:
            assert promote(a, b) is promote(b, a)
            for c in ARITHMETIC - {DType.UINT64}:
                if b is not DType.UINT64 and a is not DType.UINT64:
                    assert promote(promote(a, b), c) is promote(a, promote(b, c)), (a, b, c)
    with pytest.raises(InputError, match="no common type"):
        promote(DType.INT4, DType.INT8)
    with pytest.raises(InputError, match="nothing is computed in int4"):
        Tensor([1], "int4") + Tensor([1], "int4")


def test_python_numbers_are_weak():
    """They take the tensor's type; a float beside integers gives float32."""
    for dtype in sorted(ARITHMETIC):
        t = ct.ones(2, dtype=dtype)
        floating = dtype if dtype in FLOATS else DType.FLOAT32
        assert (t + True).dtype is dtype
        assert (t + 1).dtype is (DType.INT64 if dtype is DType.BOOL else dtype)
        assert (1.5 + t).dtype is floating
        assert (t / 2).dtype is floating
        assert (t * np.float64(2)).dtype is floating
    assert (ct.ones(1, dtype="float16") * np.float32(2)).dtype is DType.FLOAT32
    assert (ct.zeros(1) * -0.0).numpy().view(np.uint32)[0] == 1 << 31
    assert (ct.ones(1) + 0.0).item() == 1


@pytest.mark.parametrize("dtype", SHARED)
@pytest.mark.filterwarnings("ignore")
def test_binary_operators_against_numpy(dtype, rng):
    """Every operator, broadcasting, strides, equal types."""
    both = {
        "+": operator.add,
        "*": operator.mul,
        "-": operator.sub,
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
    }
    if np.dtype(dtype).kind in "iu?":
        both |= {"&": operator.and_, "|": operator.or_, "^": operator.xor}
    if np.dtype(dtype).kind in "iu":
        both |= {"<<": operator.lshift, ">>": operator.rshift}
    if dtype not in ("?", "f2"):
        both |= {"//": operator.floordiv, "%": operator.mod}
    if dtype == "?":
        del both["-"]
    functions = {ct.maximum: np.maximum, ct.minimum: np.minimum, ct.fmod: np.fmod}
    if dtype in ("?", "f2"):
        del functions[ct.fmod]
    for shapes in pairs(rng, 60):
        a, b = (numbers(rng, shape, dtype) for shape in shapes)
        x, y = Tensor.from_numpy(a), Tensor.from_numpy(b)
        for name, function in both.items():
            if name in ("<<", ">>"):
                b = np.asarray(np.abs(b.astype("i2") % (a.itemsize * 8))).astype(dtype)
                y = Tensor.from_numpy(b)
            close(np.asarray(function(a, b)), function(x, y))
        for ours, theirs in functions.items():
            close(np.asarray(theirs(a, b)), ours(x, y))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", *INTS])
@pytest.mark.filterwarnings("ignore")
def test_division_and_powers(dtype, rng):
    """True division makes floats; powers keep the type."""
    for shapes in pairs(rng, 60):
        a, b = (numbers(rng, shape, dtype) for shape in shapes)
        x, y = Tensor.from_numpy(a), Tensor.from_numpy(b)
        floating = a.dtype if a.dtype.kind == "f" else np.float32
        close(np.asarray(a.astype(floating) / b.astype(floating)), x / y)
        c = np.asarray(np.abs(b.astype("i8") % 5)).astype(dtype)
        if a.dtype.kind == "f":
            close(np.asarray(np.abs(a).astype("f8") ** c).astype(dtype), abs(x) ** Tensor(c), 4)
        else:
            close(np.asarray(a**c), x ** Tensor(c))


@pytest.mark.filterwarnings("ignore")
def test_floor_division_and_remainder_of_floats():
    """As Python's: a == a // b * b + a % b with the sign of b; zeros and infinities as numpy."""
    values = np.array(
        [0.0, -0.0, 1, -1, 0.1, 0.3, 7.5, -7.5, 2.0**30, np.inf, -np.inf, np.nan], "f4"
    )
    a, b = (np.ascontiguousarray(v) for v in np.broadcast_arrays(values[:, None], values))
    close(np.remainder(a, b), Tensor(a) % Tensor(b))
    expected = np.floor_divide(a, b)
    usual = np.isfinite(a) & (np.abs(a) < 1e6)
    assert np.array_equal(expected[usual], (Tensor(a) // Tensor(b)).numpy()[usual], equal_nan=True)
    assert (
        (Tensor([1.0]) // 0.1).item(),
        (Tensor([7]) // -2).item(),
        (Tensor([7]) % -2).item(),
    ) == (9, -4, -1)


REAL = [
    "exp",
    "log",
    "sqrt",
    "reciprocal",
    "sin",
    "cos",
    "tan",
    "sinh",
    "cosh",
    "tanh",
    "abs",
    "sign",
    "floor",
]
REAL += [
    "ceil",
    "round",
    "trunc",
    "square",
    "negative",
    "isnan",
    "isinf",
    "isfinite",
    "absolute",
    "positive",
]


@pytest.mark.parametrize("name", REAL)
@pytest.mark.filterwarnings("ignore")
def test_functions_against_numpy(name, rng):
    """Floats of every width within a few units in the last place; integers by their rule."""
    special = [0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, np.inf, -np.inf, np.nan, 1e-8, 88, -88]
    values = np.concatenate([special, rng.standard_normal(500) * 4]).astype("f4")
    theirs = getattr(np, name)
    for dtype in ("f2", "f4", "f8"):
        a = values.astype(dtype).reshape(2, -1)
        expected = np.asarray(theirs(a.astype("f8")))
        expected = expected if expected.dtype == bool else expected.astype(dtype)
        ulps = 0 if expected.dtype == bool else 4
        close(expected, getattr(ct, name)(Tensor.from_numpy(a)), ulps)
        close(expected.T, getattr(ct, name)(Tensor.from_numpy(a).T), ulps)
        bf = Tensor(values).astype("bfloat16")
        assert getattr(ct, name)(bf).dtype in (DType.BFLOAT16, DType.BOOL)
    for dtype in INTS:
        a = rng.integers(0, 20, size=(3, 4)).astype(dtype)
        found = getattr(ct, name)(Tensor(a))
        if name in REAL[:10]:
            close(np.asarray(theirs(a.astype("f8"))).astype("f4"), found, 4)
        else:
            close(np.asarray(theirs(a)).astype(bool if name.startswith("is") else dtype), found)


def test_inverse_functions_and_erf(rng):
    """Asin to atanh, erf, rsqrt against the standard library."""
    a = rng.uniform(-0.99, 0.99, 300).astype("f4")
    for name in ("asin", "acos", "atan", "asinh", "atanh", "erf"):
        expected = np.array([getattr(math, name)(v) for v in a.astype("f8")]).astype("f4")
        close(expected, getattr(ct, name)(Tensor(a)), 4)
    b = rng.uniform(1, 9, 300).astype("f4")
    close(np.arccosh(b.astype("f8")).astype("f4"), ct.acosh(b), 8)
    close((1 / np.sqrt(b.astype("f8"))).astype("f4"), ct.rsqrt(b), 2)


@pytest.mark.filterwarnings("ignore")
def test_in_place(rng):
    """The same memory, the same tensor; refused where the type cannot hold the result."""
    for dtype in ("f4", "f2", "i4", "u1", "i8"):
        a = rng.integers(1, 20, size=(4, 5)).astype(dtype)
        t = Tensor(a)
        kept, address = t, t._storage.address
        for name in ("iadd", "imul", "isub", "ifloordiv", "imod"):
            function = getattr(operator, name)
            a, t = function(a, 3), function(t, 3)
            a, t = function(a, a[:1].copy() + 1), function(t, t[:1] + 1)
            a[:, 1:3] = function(a[:, 1:3], 2)
            t[:, 1:3] = function(t[:, 1:3], 2)
            close(a, t)
            assert t is kept
            assert t._storage.address == address
    t = ct.arange(4)
    for change in (operator.itruediv, operator.iadd):
        with pytest.raises(InputError, match="does not go into"):
            change(t, 1.5)
    t = ct.arange(4.0)
    t += t
    t /= 2
    t -= t[::-1]  # overlaps
    assert t.tolist() == [-3, -1, 1, 3]
    t @= ct.eye(4)
    assert t.tolist() == [-3, -1, 1, 3]
    u = ct.ones(3, dtype="bool")
    u &= [True, False, True]
    u |= False
    u ^= True
    assert u.tolist() == [False, True, False]
    with pytest.raises(ct.ShapeError, match="does not fit into"):
        t += ct.zeros(2, 4)
    assert ct.add(1, t, out=t) is t


def test_logic_choice_and_bounds(rng):
    """logical_*, where, clip, bitwise on bool and integers."""
    a, b = (rng.integers(-2, 3, size=(5, 6)) for _ in "ab")
    for name in ("logical_and", "logical_or", "logical_xor"):
        close(getattr(np, name)(a, b), getattr(ct, name)(Tensor(a), Tensor(b)))
    close(~(a > 0), ~Tensor(a > 0))
    close(~a, ~Tensor(a))
    close(-a, -Tensor(a))
    close(abs(a), abs(Tensor(a)))
    close(+a, +Tensor(a))
    close(np.where(a > 0, a, b), ct.where(Tensor(a) > 0, Tensor(a), Tensor(b)))
    assert ct.where(Tensor(a) > 0, 1.5, 0).dtype is DType.FLOAT32
    for dtype in ("f4", "f2", "i4", "u1", "i8"):
        c = np.abs(a).astype(dtype)
        close(np.clip(c, 1, 2).astype(dtype), ct.clip(Tensor(c), 1, 2))
        close(np.minimum(c, 1).astype(dtype), ct.clamp(Tensor(c), None, 1))
        close(np.maximum(c, c.T[0, 0]), ct.clip(Tensor(c), Tensor(c[0, 0])))
        close(c, ct.clip(Tensor(c)))
    assert ct.clip(ct.arange(3), 0.5, None).dtype is DType.FLOAT32
    for wrong in (lambda: -Tensor([True]), lambda: Tensor([True]) - True, lambda: ~ct.ones(1)):
        with pytest.raises(InputError):
            wrong()
    with pytest.raises(InputError, match="bits of float32"):
        ct.ones(1) & 1
    with pytest.raises(InputError, match="bits of float32"):
        ct.ones(1) << 1


def test_integers_wrap():
    """Overflow wraps and division by zero gives zero, in silence."""
    for dtype in sorted(INTEGERS):
        low, high = dtype.integer_range
        t = Tensor([high], dtype)
        assert (t + 1).item() == low
        assert (t // 0).item() == 0
        assert (t % 0).item() == 0


def test_reflected_and_mixed_operands():
    """Numbers, arrays and lists on the left; everything that numpy understands."""
    t = Tensor([1.0, 2.0])
    assert (1 - t).tolist() == [0, -1]
    assert (2 / t).tolist() == [2, 1]
    assert (2**t).tolist() == [2, 4]
    assert (7 // t).tolist() == [7, 3]
    assert (7 % t).tolist() == [0, 1]
    assert ct.add([1, 2], t).tolist() == [2, 4]
    assert ct.add(1, 2).item() == 3
    assert (np.array([1.0], "f4") @ t[:1]).item() == 1
    assert (t == "x") is False
    with pytest.raises(TypeError):
        t < "x"  # noqa: B015
