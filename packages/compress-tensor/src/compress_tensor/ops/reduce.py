"""Reductions over dimensions: ``axis`` is one, several, or None for all; ``keepdims`` keeps them.

Sums and products of integers and bool are int64, means and variances float32.  float16 and
bfloat16 are accumulated in float32.  A float sum has a fixed order, so its bits do not depend on
threads or strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from math import prod as _product
from typing import Any

from ..dtype import DType
from ..eager import run
from ..errors import InputError
from ..promotion import INTEGERS
from ..tensor import Tensor
from . import arithmetic as _two
from . import unary
from .operands import arithmetic, as_tensor, float_tensor, known

Axis = int | Sequence[int] | None
_NARROW = INTEGERS - {DType.INT64, DType.UINT64} | {DType.BOOL}


def _reduce(op: str, x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    axes = x.axes(axis)
    if not axes and op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"):
        return x.clone()
    if not x.ndim:
        return _reduce(op, x.reshape(1), 0, False)
    return run(op, (x, known(axes)), (("keepdims", int(keepdims)), ("noop_with_empty_axes", 1)))


def _added(x: Any, dtype: Any) -> Tensor:
    """Return the operand of a sum in the type of its result."""
    found = arithmetic(as_tensor(x))
    if dtype is not None:
        return found.astype(dtype)
    return found.astype(DType.INT64) if found._dtype in _NARROW else found


def _nonempty(name: str, x: Tensor, axis: Axis) -> None:
    if not _product(x.shape[a] for a in x.axes(axis)):
        raise InputError(f"{name} of no elements (shape {list(x.shape)}) is not defined")


def sum(  # noqa: A001 - as in numpy
    x: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None
) -> Tensor:
    """Return sums."""
    return _reduce("ReduceSum", _added(x, dtype), axis, keepdims)


def prod(x: Any, axis: Axis = None, *, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Return products."""
    return _reduce("ReduceProd", _added(x, dtype), axis, keepdims)


def mean(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Return means; NaN for those of no elements."""
    return _reduce("ReduceMean", float_tensor(x), axis, keepdims)


def _extreme(op: str, x: Any, axis: Axis, keepdims: bool) -> Tensor:
    found = arithmetic(as_tensor(x))
    _nonempty(op.removeprefix("Reduce").lower(), found, axis)
    if found._dtype is DType.BOOL:
        return _reduce(op, found.bits_as(DType.UINT8), axis, keepdims).bits_as(DType.BOOL)
    return _reduce(op, found, axis, keepdims)


def max(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Tensor:  # noqa: A001
    """Return the largest elements; NaN wins."""
    return _extreme("ReduceMax", x, axis, keepdims)


def min(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Tensor:  # noqa: A001
    """Return the smallest elements; NaN wins."""
    return _extreme("ReduceMin", x, axis, keepdims)


def any(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Tensor:  # noqa: A001
    """Return whether one element is not 0."""
    bits = _two.truth(x).bits_as(DType.UINT8)
    return _truths("ReduceMax", bits, axis, keepdims, 0)


def all(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Tensor:  # noqa: A001
    """Return whether every element is not 0."""
    bits = _two.truth(x).bits_as(DType.UINT8)
    return _truths("ReduceMin", bits, axis, keepdims, 1)


def _truths(op: str, bits: Tensor, axis: Axis, keepdims: bool, empty: int) -> Tensor:
    if bits.size:
        return _reduce(op, bits, axis, keepdims).bits_as(DType.BOOL)
    axes = bits.axes(axis)
    shape = [1 if a in axes else n for a, n in enumerate(bits.shape) if keepdims or a not in axes]
    return Tensor(empty, DType.BOOL).broadcast_to(shape).clone()


def _position(op: str, x: Any, axis: int | None, keepdims: bool) -> Tensor:
    found = arithmetic(as_tensor(x))
    _nonempty(op.lower(), found, axis)
    if found._dtype is DType.BOOL:
        found = found.bits_as(DType.UINT8)
    shape = (1,) * found.ndim if keepdims else ()
    if axis is None or not found.ndim:
        found.axes(axis)
        flat = found.reshape(-1)
        return run(op, (flat,), (("axis", 0), ("keepdims", 0))).reshape(shape)
    attributes = (("axis", found.axis(axis)), ("keepdims", int(keepdims)))
    return run(op, (found,), attributes)


def argmax(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """Return the positions (int64) of the largest elements, the first of equals; NaN wins."""
    return _position("ArgMax", x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
    """Return the positions (int64) of the smallest elements, the first of equals; NaN wins."""
    return _position("ArgMin", x, axis, keepdims)


def cumsum(x: Any, axis: int | None = None) -> Tensor:
    """Return running sums along a dimension, or over all elements."""
    found = _added(x, None)
    if axis is None:
        found, axis = found.reshape(found.size), 0
    return run("CumSum", (found, known([found.axis(axis)]).reshape(())))


def var(x: Any, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """Return the mean squared distance from the mean, divided by n - ddof instead of n."""
    found = float_tensor(x)
    count = _product(found.shape[a] for a in found.axes(axis))
    distance = _two.subtract(found, mean(found, axis, keepdims=True))
    total = _squares(distance, axis, keepdims)
    return _two.divide(total, float(count - ddof if count > ddof else 0))


def _squares(x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    if not x.axes(axis):
        return unary.square(x)
    return _reduce("ReduceSumSquare", x, axis, keepdims)


def std(x: Any, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """Return the square root of ``var``."""
    return unary.sqrt(var(x, axis, ddof=ddof, keepdims=keepdims))


def norm(x: Any, ord: float = 2, axis: Axis = None, *, keepdims: bool = False) -> Tensor:  # noqa: A002
    """Return the vector norm (sum of abs(x) ** ord) ** (1 / ord) over dimensions.

    ``inf`` is the largest magnitude, ``-inf`` the smallest, 0 the number of elements that are
    not 0.
    """
    found = float_tensor(x)
    if not found.axes(axis):
        return unary.absolute(found) if ord else _two.truth(found).astype(found.dtype)
    if ord in (1, 2):
        return _reduce("ReduceL1" if ord == 1 else "ReduceL2", found, axis, keepdims)
    if ord == 0:
        return sum(_two.truth(found), axis, keepdims=keepdims, dtype=found.dtype)
    size = unary.absolute(found)
    if ord in (inf, -inf):
        return (max if ord > 0 else min)(size, axis, keepdims=keepdims)
    powers = sum(_two.power(size, float(ord)), axis, keepdims=keepdims)
    return _two.power(powers, 1 / ord)


def logsumexp(x: Any, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
    """Return log(sum(exp(x))) without overflow; -inf for no elements."""
    found = float_tensor(x)
    if not found.axes(axis):
        return found.clone()
    return _reduce("ReduceLogSumExp", found, axis, keepdims)


__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "cumsum",
    "logsumexp",
    "max",
    "mean",
    "min",
    "norm",
    "prod",
    "std",
    "sum",
    "var",
]
