"""Functions of one tensor, element by element.

Functions of real numbers make float32 of integers and bool; rounding leaves integers as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import DType
from ..eager import run
from ..errors import InputError
from ..promotion import FLOATS, INTEGERS, Scalar
from ..tensor import Tensor
from . import arithmetic as _two
from .operands import arithmetic, as_tensor, float_tensor, is_scalar


def exp(x: Any) -> Tensor:
    """Return e to the power x."""
    return run("Exp", (float_tensor(x),))


def log(x: Any) -> Tensor:
    """Return the natural logarithm."""
    return run("Log", (float_tensor(x),))


def sqrt(x: Any) -> Tensor:
    """Return the square root."""
    return run("Sqrt", (float_tensor(x),))


def reciprocal(x: Any) -> Tensor:
    """Return 1 / x."""
    return run("Reciprocal", (float_tensor(x),))


def sin(x: Any) -> Tensor:
    """Return the sine."""
    return run("Sin", (float_tensor(x),))


def cos(x: Any) -> Tensor:
    """Return the cosine."""
    return run("Cos", (float_tensor(x),))


def tan(x: Any) -> Tensor:
    """Return the tangent."""
    return run("Tan", (float_tensor(x),))


def asin(x: Any) -> Tensor:
    """Return the inverse of sine."""
    return run("Asin", (float_tensor(x),))


def acos(x: Any) -> Tensor:
    """Return the inverse of cosine."""
    return run("Acos", (float_tensor(x),))


def atan(x: Any) -> Tensor:
    """Return the inverse of tangent."""
    return run("Atan", (float_tensor(x),))


def sinh(x: Any) -> Tensor:
    """Return the hyperbolic sine."""
    return run("Sinh", (float_tensor(x),))


def cosh(x: Any) -> Tensor:
    """Return the hyperbolic cosine."""
    return run("Cosh", (float_tensor(x),))


def tanh(x: Any) -> Tensor:
    """Return the hyperbolic tangent."""
    return run("Tanh", (float_tensor(x),))


def asinh(x: Any) -> Tensor:
    """Return the inverse of the hyperbolic sine."""
    return run("Asinh", (float_tensor(x),))


def acosh(x: Any) -> Tensor:
    """Return the inverse of the hyperbolic cosine."""
    return run("Acosh", (float_tensor(x),))


def atanh(x: Any) -> Tensor:
    """Return the inverse of the hyperbolic tangent."""
    return run("Atanh", (float_tensor(x),))


def erf(x: Any) -> Tensor:
    """Return the error function."""
    return run("Erf", (float_tensor(x),))


def square(x: Any) -> Tensor:
    """Return x * x."""
    found = as_tensor(x)
    return _two.multiply(found, found)


def rsqrt(x: Any) -> Tensor:
    """Return 1 / sqrt(x)."""
    return reciprocal(sqrt(x))


def _whole(op: str, x: Any) -> Tensor:
    found = arithmetic(as_tensor(x))
    return run(op, (found,)) if found._dtype in FLOATS else found.clone()


def floor(x: Any) -> Tensor:
    """Return the largest integer that is not above x."""
    return _whole("Floor", x)


def ceil(x: Any) -> Tensor:
    """Return the smallest integer that is not below x."""
    return _whole("Ceil", x)


def round(x: Any) -> Tensor:  # noqa: A001 - as in numpy
    """Return the nearest integer, halves to even."""
    return _whole("Round", x)


def trunc(x: Any) -> Tensor:
    """Return x without its fraction."""
    found = arithmetic(as_tensor(x))
    if found._dtype not in FLOATS:
        return found.clone()
    return _two.where(_two.less(found, 0), ceil(found), floor(found))


def absolute(x: Any) -> Tensor:
    """Return the magnitude; the smallest integer of a signed type stays as it is."""
    found = arithmetic(as_tensor(x))
    return found.clone() if found._dtype is DType.BOOL else run("Abs", (found,))


def negative(x: Any) -> Tensor:
    """Return -x; unsigned integers wrap.

    Raises:
        InputError: for bool.
    """
    found = arithmetic(as_tensor(x))
    if found._dtype is DType.BOOL:
        raise InputError("bool has no negative; use ~ or logical_not")
    if found._dtype in INTEGERS and not found._dtype.integer_range[0]:
        return _two.subtract(0, found)
    return run("Neg", (found,))


def positive(x: Any) -> Tensor:
    """Return a copy of x."""
    return arithmetic(as_tensor(x)).clone()


def sign(x: Any) -> Tensor:
    """Return -1, 0 or 1; NaN for NaN.

    Raises:
        InputError: for bool.
    """
    found = arithmetic(as_tensor(x))
    if found._dtype is DType.BOOL:
        raise InputError("bool has no sign")
    return run("Sign", (found,))


def bitwise_not(x: Any) -> Tensor:
    """Return ~x of integers or bool."""
    found = arithmetic(as_tensor(x))
    if found._dtype in FLOATS:
        raise InputError(f"bits of {found._dtype.label} are not inverted; integers and bool are")
    return run("Not" if found._dtype is DType.BOOL else "BitwiseNot", (found,))


def isnan(x: Any) -> Tensor:
    """Return which elements are NaN."""
    found = arithmetic(as_tensor(x))
    return run("IsNaN", (found,)) if found._dtype in FLOATS else _two.not_equal(found, found)


def isinf(x: Any) -> Tensor:
    """Return which elements are infinite."""
    found = arithmetic(as_tensor(x))
    return run("IsInf", (found,)) if found._dtype in FLOATS else _two.not_equal(found, found)


def isfinite(x: Any) -> Tensor:
    """Return which elements are neither NaN nor infinite."""
    found = arithmetic(as_tensor(x))
    if found._dtype not in FLOATS:
        return _two.equal(found, found)
    return _two.less(absolute(found), float("inf"))


def clip(x: Any, low: Any = None, high: Any = None) -> Tensor:
    """Return x with what is below ``low`` raised and what is above ``high`` lowered to it.

    Bounds are numbers (weak), tensors that broadcast, or None.  NaN stays NaN; if ``low`` is
    above ``high``, the result is ``high``.
    """
    found = arithmetic(as_tensor(x))
    if found._dtype is DType.FLOAT32 and all(b is None or is_scalar(b) for b in (low, high)):
        return run("Clip", (found, _bound(low), _bound(high)))
    if low is None and high is None:
        return found.clone()
    if low is not None:
        found = _two.maximum(found, low)
    return found if high is None else _two.minimum(found, high)


def _bound(value: Scalar | None) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    if value is None:
        return None
    with np.errstate(over="ignore"):  # beyond float32: no bound
        return np.array(value, np.float64).astype(np.float32)


abs = absolute  # noqa: A001 - as in numpy
neg = negative
clamp = clip

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bitwise_not",
    "ceil",
    "clamp",
    "clip",
    "cos",
    "cosh",
    "erf",
    "exp",
    "floor",
    "isfinite",
    "isinf",
    "isnan",
    "log",
    "neg",
    "negative",
    "positive",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "trunc",
]
