"""What the reference definitions share: widening of exotic types, axes, permissive broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from math import prod
from typing import Any, TypeVar, cast

import numpy as np

from ...codec import decode, encode
from ...dtype import DType
from ...errors import ShapeError
from ...graph.graph import Array

F = TypeVar("F", bound=Callable[..., Any])


def widened(function: F) -> F:
    """Compute bfloat16 (and smaller floats) in float32, and round float32 results back."""

    @wraps(function)
    def call(*inputs: Array | None, **keywords: Any) -> Any:
        held = _exotic(inputs)
        if held is None:
            return function(*inputs, **keywords)
        result = function(*(None if a is None else decode(a) for a in inputs), **keywords)
        return _back(result, held)

    return cast(F, call)


def accumulated(function: F) -> F:
    """As ``widened``, for float16 too: for definitions that add up many products."""

    @wraps(function)
    def call(*inputs: Array | None, **keywords: Any) -> Any:
        held = _exotic(inputs)
        half = np.dtype(np.float16)
        if held is None and any(a is not None and a.dtype == half for a in inputs):
            held = DType.FLOAT16
        if held is None:
            return function(*inputs, **keywords)
        return _back(
            function(*(None if a is None else single(a) for a in inputs), **keywords), held
        )

    return cast(F, call)


def _exotic(inputs: Sequence[Array | None]) -> DType | None:
    return next((DType.of(a.dtype) for a in inputs if a is not None and a.dtype.names), None)


def single(array: Array) -> Array:
    """Return floats in at least single precision."""
    return array.astype(np.float32) if array.dtype == np.float16 else decode(array)


def _back(result: Any, held: DType) -> Any:
    if isinstance(result, tuple):
        return tuple(None if r is None else _back(r, held) for r in result)
    if np.asarray(result).dtype != np.float32:
        return result
    return result.astype(np.float16) if held is DType.FLOAT16 else encode(result, held)


def to_dtype(values: Array, dtype: DType) -> Array:
    """Return numbers in any numeric type, exotic ones included."""
    held = dtype.numpy
    return encode(values, dtype) if held.names else np.asarray(values).astype(held)


def axis_of(axis: int, rank: int, what: str = "axis") -> int:
    """Return an axis counted from the front.

    Raises:
        ShapeError: if it is out of range.
    """
    if not -rank <= axis < rank:
        raise ShapeError(f"{what} {axis} is outside of a tensor of rank {rank}")
    return axis % rank if rank else 0


def axes_of(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return axes counted from the front, in the given order.

    Raises:
        ShapeError: if one is out of range or twice there.
    """
    found = tuple(axis_of(int(a), rank) for a in axes)
    if len(set(found)) != len(found):
        raise ShapeError(f"axes {list(axes)} name a dimension twice")
    return found


def ints(array: Array) -> list[int]:
    """Return a small integer tensor as Python ints."""
    return [int(v) for v in np.asarray(array).reshape(-1)]


def scalar(array: Array, what: str) -> Any:
    """Return the only element of a tensor.

    Raises:
        ShapeError: if it has another number of elements.
    """
    if array.size != 1:
        raise ShapeError(f"{what} must have one element, not shape {array.shape}")
    return decode(array).reshape(-1)[0].item() if array.dtype.names else array.reshape(-1)[0].item()


def places(*inner: Any, whole: int | None = None) -> tuple[Any, ...]:
    """Return an index of the last axes, after all others, or after the first ``whole`` ones."""
    return (..., *inner) if whole is None else (*[slice(None)] * whole, *inner)


def mean(values: Array, axes: Sequence[int], *, keepdims: bool = True) -> Array:
    """Return the mean over axes in the type of the values; of nothing it is NaN."""
    over = tuple(axes)
    count = prod(values.shape[a] for a in over)
    total = values.sum(axis=over, keepdims=keepdims)
    if values.dtype.kind in "fc":
        return np.asarray(total / values.dtype.type(count))
    return np.asarray(total / count)
