"""What every operation does first: operands become tensors, of one type where they must meet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .. import dlpack
from ..dtype import DType
from ..errors import InputError
from ..promotion import (
    ARITHMETIC,
    FLOATS,
    INTEGERS,
    Scalar,
    check_fits,
    default_type,
    floating,
    promote,
    scalar_type,
)
from ..tensor import Tensor, _number

INDICES = (DType.INT32, DType.INT64)


def is_scalar(value: Any) -> bool:
    """Return whether a value is a weak Python number (numpy's float64 is a Python float)."""
    return isinstance(value, (bool, int, float))


@lru_cache(maxsize=512, typed=True)
def _constant(value: Scalar, dtype: DType) -> Tensor:
    found = _number(value, dtype)
    found._storage.writable = False
    return found


def scalar(value: Scalar, dtype: DType) -> Tensor:
    """Return a number as a 0-d tensor that nobody writes to."""
    if value == 0 and isinstance(value, float):  # -0.0 and 0.0 would be one key
        return _number(float(value), dtype)
    return _constant(value, dtype)


def as_tensor(value: Any) -> Tensor:
    """Return a tensor that shares the memory of what is given, where it can.

    Raises:
        InputError: if it is neither a tensor, an array, a number, nor nested lists of numbers.
    """
    if type(value) is Tensor:
        return value
    if is_scalar(value):
        return scalar(value, default_type(value))
    if isinstance(value, np.ndarray):
        return Tensor.from_numpy(value)
    if hasattr(value, "__dlpack__") and not isinstance(value, np.generic):
        return Tensor.from_numpy(dlpack.take(value))
    return Tensor(value)


def float_tensor(value: Any) -> Tensor:
    """Return the operand of a function of real numbers: integers and bool become float32.

    Raises:
        InputError: for types that only store.
    """
    found = as_tensor(value)
    return found if found._dtype in FLOATS else arithmetic(found).astype(floating(found._dtype))


def arithmetic(value: Tensor) -> Tensor:
    """Return a tensor whose type is computed with.

    Raises:
        InputError: for types that only store.
    """
    if value._dtype not in ARITHMETIC:
        raise InputError(
            f"nothing is computed in {value._dtype.label}; convert it with astype or "
            "dequantize_linear first"
        )
    return value


def integer_tensor(value: Any, what: str = "indices") -> Tensor:
    """Return indices as int32 or int64.

    Raises:
        InputError: if they are no integers.
    """
    found = as_tensor(value)
    if found._dtype in INDICES:
        return found
    if found._dtype not in INTEGERS:
        if not found.size:  # [] is a list of no indices
            return found.astype(DType.INT64)
        raise InputError(f"{what} must be integers, not {found._dtype.label}")
    return found.astype(DType.INT64)


def meet(*values: Any) -> list[Tensor]:
    """Return operands as tensors of the type in which all of them meet; numbers are weak.

    Raises:
        InputError: if types have no common one, or a number does not fit.
    """
    tensors = [None if is_scalar(v) else as_tensor(v) for v in values]
    strong = [t._dtype for t in tensors if t is not None]
    weak = [v for v, t in zip(values, tensors, strict=True) if t is None]
    dtype = strong[0] if strong else default_type(weak[0])
    for other in strong[1:]:
        dtype = promote(dtype, other)
    for number in weak:
        alone = scalar_type(number, dtype)
        dtype = alone if strong or alone in FLOATS or dtype is DType.BOOL else dtype
    found: list[Tensor] = []
    for value, each in zip(values, tensors, strict=True):
        if each is None:
            check_fits(value, dtype)
            found.append(scalar(value, dtype))
        else:
            found.append(each.astype(dtype))
    return found


def known(values: Sequence[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return sizes or axes as an array whose contents become part of the plan."""
    return np.array(values, np.int64)
