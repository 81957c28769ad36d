"""Type rules: which element type an operation on several types computes in.

* Types of one kind (bool, integers, floats) meet as numpy says: ``uint8`` and ``int8`` in
  ``int16``, ``float16`` and ``float32`` in ``float32``.  ``float16`` and ``bfloat16``, of which
  neither holds the other, meet in ``float32``.
* bool is below every integer; ``uint64`` and a signed type meet in ``int64`` (numpy would leave
  the integers).
* A float and an integer meet in the float, whatever their widths: ``int64`` and ``float16`` in
  ``float16`` (numpy would widen to ``float64``; here a network stays in its own type).
* Types of 8 bits or fewer that only store (``int4``, ``float8e4m3fn``) meet nothing but
  themselves; convert them first.
* Python's ``bool``, ``int`` and ``float`` are weak: they take the type of the tensor beside them.
  Only a float beside integers gives ``float32``, and an int beside bool ``int64``.
* What is inherently a float (``/``, ``exp``, ``mean`` ...) makes integers and bool ``float32``.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from .dtype import DType
from .errors import InputError

#: what is computed with; the other types store
INTEGERS = frozenset(
    {
        *(DType.INT8, DType.INT16, DType.INT32, DType.INT64),
        *(DType.UINT8, DType.UINT16, DType.UINT32, DType.UINT64),
    }
)
HALVES = frozenset({DType.FLOAT16, DType.BFLOAT16})
FLOATS = HALVES | {DType.FLOAT32, DType.FLOAT64}
ARITHMETIC = INTEGERS | FLOATS | {DType.BOOL}
Scalar = bool | int | float


@cache
def promote(a: DType, b: DType) -> DType:
    """Return the type in which two types meet.

    Raises:
        InputError: if they do not.
    """
    if a is b:
        return a
    if a not in ARITHMETIC or b not in ARITHMETIC:
        raise InputError(
            f"{a.label} and {b.label} have no common type; convert one with astype first"
        )
    if (a in FLOATS) != (b in FLOATS):
        return a if a in FLOATS else b
    if DType.BFLOAT16 in (a, b):
        other = b if a is DType.BFLOAT16 else a
        return DType.FLOAT32 if other is DType.FLOAT16 else other
    found = DType.of(np.promote_types(a.numpy, b.numpy))
    return DType.INT64 if found in FLOATS and a not in FLOATS else found


def scalar_type(value: Scalar, beside: DType) -> DType:
    """Return the type that a Python number takes beside a tensor."""
    if isinstance(value, bool):
        return beside
    if isinstance(value, int):
        return DType.INT64 if beside is DType.BOOL else beside
    return beside if beside in FLOATS or beside not in ARITHMETIC else DType.FLOAT32


def default_type(value: Scalar) -> DType:
    """Return the type of a Python number that stands alone."""
    if isinstance(value, bool):
        return DType.BOOL
    return DType.INT64 if isinstance(value, int) else DType.FLOAT32


def floating(dtype: DType) -> DType:
    """Return the type in which a function of real numbers is computed."""
    return dtype if dtype in FLOATS else DType.FLOAT32


def check_fits(value: Scalar, dtype: DType) -> None:
    """Raise InputError if an integer is outside the range of an integer type."""
    if dtype.is_int and not isinstance(value, float):
        low, high = dtype.integer_range
        if not low <= value <= high:
            raise InputError(f"{value} does not fit {dtype.label}, which holds {low} to {high}")


__all__ = [
    "ARITHMETIC",
    "FLOATS",
    "HALVES",
    "INTEGERS",
    "Scalar",
    "check_fits",
    "default_type",
    "floating",
    "promote",
    "scalar_type",
]
