"""Making tensors: filled, counted, or of what other libraries hold."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np

from . import dlpack
from .codec import decode
from .dtype import DType
from .engine.view import row_major
from .errors import InputError
from .graph.rules.common import result
from .ops.operands import as_tensor
from .promotion import Scalar, check_fits, default_type
from .storage import allocate_zeros
from .strided import as_shape
from .tensor import Tensor, as_dtype, empty_like_shape

Shape = int | Sequence[int]


def asarray(value: Any, dtype: Any = None) -> Tensor:
    """Return a tensor that shares memory with what is given, if it can: see `Tensor` to copy."""
    found = as_tensor(value)
    return found if dtype is None else found.astype(dtype)


def from_dlpack(value: Any) -> Tensor:
    """Return a tensor that shares the memory of an object with ``__dlpack__``.

    It is read-only unless the object says by DLPack 1.0 that it may be written to.

    Raises:
        InputError: if it lies on another device, or has a type without counterpart.
    """
    return Tensor.from_numpy(dlpack.take(value))


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """Return a tensor that shares an array's memory."""
    return Tensor.from_numpy(array)


def _dims(shape: Sequence[Any], dtype: DType) -> tuple[int, ...]:
    """Return a shape within bounds.

    Raises:
        ShapeError: if it is negative or absurdly large.
    """
    return result(dtype, as_shape(shape)).dims


def empty(*shape: Shape, dtype: Any = DType.FLOAT32) -> Tensor:
    """Return a tensor with arbitrary contents."""
    kind = as_dtype(dtype)
    return empty_like_shape(_dims(shape, kind), kind)


def zeros(*shape: Shape, dtype: Any = DType.FLOAT32) -> Tensor:
    """Return a tensor of zeros."""
    kind = as_dtype(dtype)
    dims = _dims(shape, kind)
    nbytes = -(-int(np.prod(dims, dtype=np.int64)) * kind.bits // 8)
    return Tensor._make(allocate_zeros(nbytes), kind, dims, row_major(dims))


def ones(*shape: Shape, dtype: Any = DType.FLOAT32) -> Tensor:
    """Return a tensor of ones."""
    return empty(*shape, dtype=dtype).fill_(1)


def full(shape: Shape, value: Scalar, dtype: Any = None) -> Tensor:
    """Return a tensor of one value, by default of the type that the value has."""
    kind = default_type(value) if dtype is None else as_dtype(dtype)
    return empty(shape, dtype=kind).fill_(value)


def empty_like(x: Any, dtype: Any = None) -> Tensor:
    """Return a tensor of the same shape (and type) with arbitrary contents."""
    found = as_tensor(x)
    return empty(found.shape, dtype=dtype or found.dtype)


def zeros_like(x: Any, dtype: Any = None) -> Tensor:
    """Return zeros of the same shape (and type)."""
    found = as_tensor(x)
    return zeros(found.shape, dtype=dtype or found.dtype)


def ones_like(x: Any, dtype: Any = None) -> Tensor:
    """Return ones of the same shape (and type)."""
    found = as_tensor(x)
    return ones(found.shape, dtype=dtype or found.dtype)


def full_like(x: Any, value: Scalar, dtype: Any = None) -> Tensor:
    """Return one value in the same shape (and type)."""
    found = as_tensor(x)
    return full(found.shape, value, dtype or found.dtype)


def arange(
    start: Scalar, stop: Scalar | None = None, step: Scalar = 1, dtype: Any = None
) -> Tensor:
    """Return start, start + step, ... up to but without stop; ``arange(n)`` counts from 0.

    Floats are computed as start + i * step in double precision; by default they become float32.

    Raises:
        InputError: if the step is 0, or the numbers do not fit the type.
    """
    first, last = (0, start) if stop is None else (start, stop)
    if step == 0:
        raise InputError("arange: the step must not be 0")
    whole = all(isinstance(n, int) for n in (first, last, step))
    kind = (DType.INT64 if whole else DType.FLOAT32) if dtype is None else as_dtype(dtype)
    try:
        count = (
            max(len(range(int(first), int(last), int(step))), 0)
            if whole
            else (max(ceil((last - first) / step), 0))
        )
    except (OverflowError, ValueError) as error:
        raise InputError(f"arange: from {first} to {last} by {step}: {error}") from error
    result(kind, (count,))
    index = np.arange(count, dtype=np.int64)
    if whole:
        for end in (first, first + max(count - 1, 0) * step):
            check_fits(int(end), kind if kind.is_int else DType.INT64)
        return Tensor(index * int(step) + int(first), kind)
    return Tensor(index * float(step) + float(first), kind)


def linspace(
    start: float, stop: float, num: int = 50, *, endpoint: bool = True, dtype: Any = DType.FLOAT32
) -> Tensor:
    """Return ``num`` evenly spaced numbers from start to stop.

    Raises:
        InputError: if ``num`` is negative.
    """
    if num < 0:
        raise InputError(f"linspace: the number of elements {num} is negative")
    return Tensor(np.linspace(start, stop, num, endpoint=endpoint), dtype)


def eye(n: int, m: int | None = None, k: int = 0, dtype: Any = DType.FLOAT32) -> Tensor:
    """Return an n by m matrix with ones on diagonal ``k``."""
    rows, columns = _dims((n, n if m is None else m), as_dtype(dtype))
    return Tensor(np.eye(rows, columns, k, dtype=np.int8), dtype)


def to_numbers(x: Any) -> np.ndarray[Any, Any]:
    """Return a tensor as plain numpy numbers: bfloat16 and smaller as float32, int4 as int8."""
    return decode(as_tensor(x).numpy())


__all__ = [
    "arange",
    "asarray",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "ones",
    "ones_like",
    "to_numbers",
    "zeros",
    "zeros_like",
]
