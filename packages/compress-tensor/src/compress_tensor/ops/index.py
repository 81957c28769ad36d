"""Reading and writing at computed positions, and sorting.  Negative indices count from the end."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import DType
from ..eager import run, run_many
from ..errors import InputError, ShapeError
from ..promotion import check_fits
from ..tensor import Tensor, as_dtype
from .operands import arithmetic, as_tensor, integer_tensor, is_scalar, known, scalar

_REDUCTIONS = {
    "none": "none",
    "add": "add",
    "sum": "add",
    "mul": "mul",
    "multiply": "mul",
    "prod": "mul",
    "max": "max",
    "amax": "max",
    "min": "min",
    "amin": "min",
}


def take(x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Return slices of x along a dimension (elements of the flattened tensor, if None).

    Returns:
        ``x.shape[:axis] + indices.shape + x.shape[axis + 1:]``.

    Raises:
        InputError: if an index is out of range.
    """
    found = as_tensor(x)
    if axis is None:
        found, axis = found.reshape(found.size), 0
    return run("Gather", (found, integer_tensor(indices)), (("axis", found.axis(axis)),))


def embedding(indices: Any, weight: Any) -> Tensor:
    """Return the rows of a table that indices name."""
    return take(weight, indices, 0)


def take_along_axis(x: Any, indices: Any, axis: int = -1) -> Tensor:
    """Return the elements at ``indices`` along a dimension; the others broadcast as in numpy."""
    found, places = as_tensor(x), integer_tensor(indices)
    at = found.axis(axis)
    if found.ndim != places.ndim:
        raise ShapeError(f"indices have {places.ndim} dimensions, the tensor has {found.ndim}")
    pairs = zip(found.shape, places.shape, strict=True)
    both = [max(n, m) if n and m else 0 for n, m in pairs]
    data = found.broadcast_to([n if i == at else both[i] for i, n in enumerate(found.shape)])
    wide = places.broadcast_to([n if i == at else both[i] for i, n in enumerate(places.shape)])
    return gather(data, at, wide)


def gather(x: Any, axis: int, index: Any) -> Tensor:
    """Return the elements at ``index`` along a dimension; result and index have one shape.

    Raises:
        InputError: if an index is out of range.
    """
    found = as_tensor(x)
    attributes = (("axis", found.axis(axis)),)
    return run("GatherElements", (found, integer_tensor(index)), attributes)


def scatter(x: Any, axis: int, index: Any, source: Any, reduce: str = "none") -> Tensor:
    """Return x with the elements at ``index`` along a dimension replaced by ``source``.

    Args:
        x: a tensor.
        axis: the dimension.
        index: integers, of the shape of ``source``.
        source: a tensor of the type of x, or a number.
        reduce: none, add (sum), mul (prod), max (amax) or min (amin): how to combine what was
            there with what comes, in row-major order.

    Raises:
        InputError: if an index is out of range.
    """
    found, places = as_tensor(x), integer_tensor(index)
    if reduce not in _REDUCTIONS:
        raise InputError(f"scatter: reduce {reduce!r} is not one of {', '.join(_REDUCTIONS)}")
    if is_scalar(source):
        check_fits(source, found.dtype)
        updates = scalar(source, found.dtype).broadcast_to(places.shape)
    else:
        updates = as_tensor(source).astype(found.dtype)
    attributes = (("axis", found.axis(axis)), ("reduction", _REDUCTIONS[reduce]))
    return run("ScatterElements", (found, places, updates), attributes)


def one_hot(indices: Any, num_classes: int, axis: int = -1, dtype: Any = DType.INT64) -> Tensor:
    """Return 1 at each index along a new dimension, else 0; all 0 for an index out of range."""
    places, kind = integer_tensor(indices), as_dtype(dtype)
    if num_classes < 0:
        raise InputError(f"one_hot: the number of classes {num_classes} is negative")
    at = places.axis(axis, extra=1)
    values = Tensor([0, 1], DType.INT64).astype(kind).numpy()
    return run("OneHot", (places, known([num_classes]), values), (("axis", at),))


def nonzero(x: Any) -> Tensor:
    """Return the positions of elements that are not 0, (count, dimensions), in row-major order."""
    return run("NonZero", (arithmetic(as_tensor(x)),)).T.contiguous()


def topk(x: Any, k: int, axis: int = -1, *, largest: bool = True) -> tuple[Tensor, Tensor]:
    """Return the k largest (or smallest) elements in order, and their positions (int64).

    Of equal elements the first comes first; NaN counts as largest.
    """
    found = arithmetic(as_tensor(x))
    if not found.ndim:
        values, places = topk(found.reshape(1), k, 0, largest=largest)
        return values.reshape(()), places.reshape(())
    at = found.axis(axis)
    if not 0 <= k <= found.shape[at]:
        raise InputError(f"topk: {k} elements of a dimension of size {found.shape[at]}")
    flags = found.dtype is DType.BOOL
    data = found.bits_as(DType.UINT8) if flags else found
    attributes = (("axis", at), ("largest", int(largest)))
    values, places = run_many("TopK", (data, known([k])), attributes, 2)
    return (values.bits_as(DType.BOOL) if flags else values), places


def sort(x: Any, axis: int = -1, *, descending: bool = False) -> Tensor:
    """Return the elements in ascending (or descending) order; NaN counts as largest."""
    found = as_tensor(x)
    size = found.shape[found.axis(axis)] if found.ndim else 1
    return topk(found, size, axis, largest=descending)[0]


def argsort(x: Any, axis: int = -1, *, descending: bool = False) -> Tensor:
    """Return the positions (int64) that sort; equal elements keep their order."""
    found = as_tensor(x)
    size = found.shape[found.axis(axis)] if found.ndim else 1
    return topk(found, size, axis, largest=descending)[1]


def tril(x: Any, k: int = 0) -> Tensor:
    """Return the matrices with what is above diagonal ``k`` set to 0."""
    return run("Trilu", (as_tensor(x), np.array(k, np.int64)), (("upper", 0),))


def triu(x: Any, k: int = 0) -> Tensor:
    """Return the matrices with what is below diagonal ``k`` set to 0."""
    return run("Trilu", (as_tensor(x), np.array(k, np.int64)), (("upper", 1),))


__all__ = [
    "argsort",
    "embedding",
    "gather",
    "nonzero",
    "one_hot",
    "scatter",
    "sort",
    "take",
    "take_along_axis",
    "topk",
    "tril",
    "triu",
]
