"""Shape rules of operators that work element by element."""

from __future__ import annotations

from ...dtype import DType
from ...errors import ShapeError
from ..graph import Attribute
from .common import (
    FLOATS,
    INTEGERS,
    NUMBERS,
    broadcast,
    broadcast_shapes,
    require,
    require_type,
    result,
    same_type,
)
from .registry import Info, rule

_BOOL = frozenset({DType.BOOL})


@rule("Abs", "Sign", "Neg", "Relu")
def number(X: Info) -> Info:
    """A number gives a number of its type."""
    require_type(X, NUMBERS, "the input")
    return result(X.dtype, X.dims)


@rule(
    *("Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Cosh", "Erf", "Exp"),
    *("Floor", "Log", "Round", "Sin", "Sinh", "Sqrt", "Tan", "Tanh", "Reciprocal", "LeakyRelu"),
    *("Elu", "Celu", "Selu", "ThresholdedRelu", "HardSigmoid", "HardSwish", "Sigmoid"),
    *("Softplus", "Softsign", "Gelu", "Mish", "Swish"),
)
def real(X: Info, **_: Attribute) -> Info:
    """A real number gives a real number of its type."""
    require_type(X, FLOATS | INTEGERS, "the input")
    return result(X.dtype, X.dims)


@rule("Shrink")
def shrink(input: Info, **_: Attribute) -> Info:
    """Shrink keeps type and shape."""
    require_type(input, NUMBERS, "the input")
    return result(input.dtype, input.dims)


@rule("Softmax", "LogSoftmax", "Hardmax")
def softmax(input: Info, *, axis: int) -> Info:
    """An operator along one axis keeps type and shape."""
    require_type(input, FLOATS, "the input")
    if not -input.rank <= axis < max(input.rank, 1):
        raise ShapeError(f"axis {axis} is outside of a tensor of rank {input.rank}")
    return result(input.dtype, input.dims)


@rule("Identity")
def identity(input: Info) -> Info:
    """Identity keeps everything."""
    return Info(input.dtype, input.shape, input.value)


@rule("Not")
def logical_not(X: Info) -> Info:
    """A truth value gives one."""
    require_type(X, _BOOL, "the input")
    return result(X.dtype, X.dims)


@rule("BitwiseNot")
def bitwise_not(X: Info) -> Info:
    """An integer gives one of its type."""
    require_type(X, INTEGERS, "the input")
    return result(X.dtype, X.dims)


@rule("IsNaN", "IsInf")
def is_special(X: Info, **_: Attribute) -> Info:
    """A float gives a truth value."""
    require(X.dtype.is_float, f"the input must be a float, not {X.dtype.label}")
    return result(DType.BOOL, X.dims)


@rule("Add", "Sub", "Mul", "Div", "Mod")
def arithmetic(A: Info, B: Info, **_: Attribute) -> Info:
    """Two numbers of a type give a third."""
    kind = same_type(A, B)
    require_type(A, NUMBERS, "the inputs")
    return result(kind, broadcast(A, B))


@rule("SwiGLU")
def swiglu(A: Info, B: Info, *, alpha: float) -> Info:
    """Two floats of a type give a third."""
    require_type(A, FLOATS, "the inputs")
    return result(same_type(A, B), broadcast(A, B))


@rule("And", "Or", "Xor")
def logical(A: Info, B: Info) -> Info:
    """Two truth values give a third."""
    require_type(A, _BOOL, "the inputs")
    return result(same_type(A, B), broadcast(A, B))


@rule("BitwiseAnd", "BitwiseOr", "BitwiseXor")
def bitwise(A: Info, B: Info) -> Info:
    """Two integers of a type give a third."""
    require_type(A, INTEGERS, "the inputs")
    return result(same_type(A, B), broadcast(A, B))


@rule("BitShift")
def bit_shift(X: Info, Y: Info, *, direction: str) -> Info:
    """Two integers of a type give a third."""
    require_type(X, INTEGERS, "the inputs")
    require(direction in ("LEFT", "RIGHT"), f"direction {direction!r} is unknown")
    return result(same_type(X, Y), broadcast(X, Y))


@rule("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
def compare(A: Info, B: Info) -> Info:
    """Two values of a type give a truth value."""
    same_type(A, B)
    return result(DType.BOOL, broadcast(A, B))


@rule("Pow")
def power(X: Info, Y: Info) -> Info:
    """The type is that of the base."""
    require_type(X, NUMBERS, "the base")
    require_type(Y, NUMBERS, "the exponent")
    return result(X.dtype, broadcast(X, Y))


@rule("Max", "Min", "Sum", "Mean")
def many(*data_0: Info) -> Info:
    """Numbers of a type give another."""
    require(bool(data_0), "at least one input is needed")
    kind = same_type(*data_0)
    require_type(data_0[0], NUMBERS, "the inputs")
    return result(kind, broadcast(*data_0))


@rule("Where")
def where(condition: Info, X: Info, Y: Info) -> Info:
    """The condition chooses between two values of a type."""
    require_type(condition, _BOOL, "the condition")
    return result(same_type(X, Y), broadcast(condition, X, Y))


@rule("Clip")
def clip(input: Info, min: Info | None = None, max: Info | None = None) -> Info:
    """Bounds are scalars of the input's type."""
    kind = same_type(input, min, max)
    require_type(input, NUMBERS, "the input")
    for bound in (min, max):
        require(bound is None or bound.dims in ((), (1,)), "bounds of Clip must be scalars")
    return result(kind, input.dims)


@rule("PRelu")
def prelu(X: Info, slope: Info) -> Info:
    """The slope broadcasts to the input."""
    kind = same_type(X, slope)
    fits = broadcast_shapes(X.dims, slope.dims) == X.dims
    require(fits, f"slope {list(slope.dims)} does not broadcast to {list(X.dims)}")
    return result(kind, X.dims)


@rule("Cast")
def cast(input: Info, *, to: int, **_: Attribute) -> Info:
    """The type is the wanted one."""
    return result(_dtype(to), input.dims)


def _dtype(number: int) -> DType:
    try:
        return DType(number)
    except ValueError:
        raise ShapeError(f"element type {number} is unknown") from None


@rule("CastLike")
def cast_like(input: Info, target_type: Info, **_: Attribute) -> Info:
    """The type is that of the second input."""
    return result(target_type.dtype, input.dims)


@rule("BitCast")
def bit_cast(input: Info, *, to: int) -> Info:
    """The type is the wanted one, of the same width."""
    require(
        _dtype(to).bits == input.dtype.bits and bool(input.dtype.bits),
        f"the bits of {input.dtype.label} are not those of {_dtype(to).label}",
    )
    return result(_dtype(to), input.dims)
