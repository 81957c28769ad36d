"""Bits to numbers and back for the element types that numpy lacks.

``decode`` gives float32 for the floats and an 8-bit integer array for the small integers;
``encode`` rounds half to even into a type, ``saturate`` choosing between the largest finite value
and the type's infinity or NaN, as ONNX's Cast says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .dtype import DType
from .errors import UnsupportedError

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Format:
    """A small float: sign, exponent, mantissa; what its special codes mean.

    Attributes:
        mantissa: bits of the mantissa.
        bias: of the exponent.
        finite: number of finite codes of the positive half, 0 included.
        sign: the sign bit, as a code.
        infinity: code of +infinity, or None.
        nan: code of NaN, or None.
        negative_zero: whether -0 exists.
    """

    mantissa: int
    bias: int
    finite: int
    sign: int
    infinity: int | None
    nan: int | None
    negative_zero: bool = True


FORMATS = {
    DType.FLOAT8E4M3FN: Format(3, 7, 0x7F, 0x80, None, 0x7F),
    DType.FLOAT8E4M3FNUZ: Format(3, 8, 0x80, 0x80, None, 0x80, negative_zero=False),
    DType.FLOAT8E5M2: Format(2, 15, 0x7C, 0x80, 0x7C, 0x7E),
    DType.FLOAT8E5M2FNUZ: Format(2, 16, 0x80, 0x80, None, 0x80, negative_zero=False),
    DType.FLOAT4E2M1: Format(1, 1, 0x08, 0x08, None, None),
}
_SMALL_INTEGERS = (DType.INT4, DType.UINT4, DType.INT2, DType.UINT2)


def is_packed(dtype: np.dtype[Any]) -> bool:
    """Return whether a numpy dtype holds one of the types that numpy lacks."""
    return dtype.names is not None


def raw(array: Array) -> Array:
    """Return the plain integers that hold an array of such a type."""
    names = array.dtype.names
    return np.asarray(array[names[0]]) if names else array


def wrap(bits: Array, dtype: DType) -> Array:
    """Return integers as an array of such a type (the reverse of ``raw``)."""
    held: np.dtype[Any] = dtype.numpy
    assert held.fields is not None
    field = next(iter(held.fields.values()))[0]
    return np.ascontiguousarray(bits, field).reshape(np.shape(bits)).view(held)


def decode(array: Array) -> Array:
    """Return what an array means: float32, or int8/uint8; plain arrays come back as they are."""
    if array.dtype.names is None:
        return array
    dtype = DType.of(array.dtype)
    bits = raw(array)
    if dtype in _SMALL_INTEGERS:
        return bits
    if dtype is DType.BFLOAT16:
        return np.asarray((bits.astype(np.uint32) << np.uint32(16)).view(np.float32))
    return np.asarray(_table(dtype)[bits])


def encode(values: Array, dtype: DType, *, saturate: bool = True, round_mode: str = "up") -> Array:
    """Return numbers rounded into one of the types that numpy lacks.

    Args:
        values: floats or integers.
        dtype: the target.
        saturate: whether floats out of range become the largest finite value.
        round_mode: ``up``, ``down`` or ``nearest``; for FLOAT8E8M0 only.
    """
    values = np.asarray(values)
    if dtype is DType.BFLOAT16:
        return wrap(_bfloat16(values), dtype)
    if dtype in _SMALL_INTEGERS:
        return wrap(_small_integer(values, dtype), dtype)
    if dtype is DType.FLOAT8E8M0:
        return wrap(_power_of_two(values, saturate, round_mode), dtype)
    if dtype in FORMATS:
        return wrap(_small_float(values, dtype, saturate), dtype)
    raise UnsupportedError(f"{dtype.label} needs no codec")


@cache
def positive_values(dtype: DType) -> Array:
    """Return the finite values of codes 0, 1, 2, ... of the positive half, ascending."""
    form = FORMATS[dtype]
    code = np.arange(form.finite)
    exponent = code >> form.mantissa
    fraction = (code & ((1 << form.mantissa) - 1)) / (1 << form.mantissa)
    normal = np.ldexp(1.0 + fraction, exponent - form.bias)
    return np.where(exponent == 0, np.ldexp(fraction, 1 - form.bias), normal)


@cache
def _table(dtype: DType) -> Array:
    """Return the float32 of every code."""
    if dtype is DType.FLOAT8E8M0:
        powers = np.ldexp(1.0, np.arange(256) - 127)
        powers[255] = np.nan
        return powers.astype(np.float32)
    form = FORMATS[dtype]
    half = np.full(form.sign, np.nan)
    half[: form.finite] = positive_values(dtype)
    if form.infinity is not None:
        half[form.infinity] = np.inf
    table = np.concatenate([half, -half])
    if not form.negative_zero:
        table[form.sign] = np.nan
    return np.resize(table, 256).astype(np.float32)


def _bfloat16(values: Array) -> Array:
    single = np.ascontiguousarray(values, np.float32)
    bits = single.view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    high = (rounded >> np.uint32(16)).astype(np.uint16)
    quiet = ((bits >> np.uint32(16)) | np.uint32(0x40)).astype(np.uint16)
    return np.where(np.isnan(single), quiet, high).reshape(np.shape(values))


def _small_integer(values: Array, dtype: DType) -> Array:
    """Truncate towards zero and keep the low bits, as a conversion in C would."""
    if values.dtype.kind == "f":
        whole = np.trunc(np.nan_to_num(np.asarray(values, np.float64)))
        values = whole.clip(-(2.0**62), 2.0**62).astype(np.int64)
    low, high = dtype.integer_range
    mask = high - low
    kept = values.astype(np.int64) & mask
    return np.where(kept > high, kept - (mask + 1), kept)


def _small_float(values: Array, dtype: DType, saturate: bool) -> Array:
    form = FORMATS[dtype]
    magnitude = np.abs(np.asarray(values, np.float64))
    finite = positive_values(dtype)
    step = finite[-1] - finite[-2]
    middle = (finite + np.append(finite[1:], finite[-1] + step)) / 2
    code = np.searchsorted(middle, magnitude, side="left")
    tie = magnitude == middle[np.minimum(code, form.finite - 1)]
    code = code + (tie & (code % 2 == 1) & (code < form.finite))
    over = code >= form.finite
    beyond = form.infinity if form.infinity is not None else form.nan
    if saturate or beyond is None:
        beyond = form.finite - 1
    code = np.where(over, beyond, code)
    negative = np.signbit(np.asarray(values, np.float64))
    if not form.negative_zero:
        negative = negative & (code != 0) & (code != form.nan)
    code = np.where(negative, code | form.sign, code)
    return np.where(np.isnan(magnitude), form.sign if form.nan is None else form.nan, code)


def _power_of_two(values: Array, saturate: bool, round_mode: str) -> Array:
    """Encode FLOAT8E8M0: an exponent alone; the sign is dropped."""
    magnitude = np.abs(np.asarray(values, np.float64))
    fraction, exponent = np.frexp(magnitude)
    code = exponent.astype(np.int64) - 1 + 127
    if round_mode == "up":
        code = code + (fraction > 0.5)
    elif round_mode == "nearest":
        code = code + (fraction >= 0.75)
    beyond = np.isinf(magnitude) | (code > 254)
    code = np.where(beyond, 254 if saturate else 255, code)
    code = np.where((magnitude == 0) | (code < 0), 0 if saturate else 255, code)
    return np.where(np.isnan(magnitude), 255, code)
