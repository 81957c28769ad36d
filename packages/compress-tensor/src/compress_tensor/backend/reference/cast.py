"""Conversions between element types."""

from __future__ import annotations

import numpy as np

from ...codec import decode, encode, is_packed, raw, wrap
from ...dtype import DType
from ...errors import ShapeError
from ...graph.graph import Array
from .registry import reference


def convert(values: Array, to: DType, saturate: bool = True, round_mode: str = "up") -> Array:
    """Return values in another element type, as Cast does."""
    source = DType.of(values.dtype)
    if source is to:
        return values
    if source is DType.STRING:
        values = _parse(values, to)
    values = decode(values)
    if to is DType.STRING:
        return _text(values)
    if is_packed(to.numpy):
        return encode(values, to, saturate=saturate, round_mode=round_mode)
    if to is DType.BOOL:
        return np.asarray(values != 0)
    if values.dtype.kind == "f" and to.is_int:
        return _truncated(values, to)
    return values.astype(to.numpy)


def _truncated(values: Array, to: DType) -> Array:
    """Cut off the fraction; what does not fit keeps its low bits."""
    whole = np.trunc(np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0))
    if to is DType.UINT64:
        big = whole >= 2.0**63
        low = np.where(big, whole - 2.0**63, whole).clip(-(2.0**63), 2.0**63 - 1024)
        top = np.where(big, np.uint64(2**63), np.uint64(0))
        return low.astype(np.int64).astype(np.uint64) + top
    return whole.clip(-(2.0**63), 2.0**63 - 1024).astype(np.int64).astype(to.numpy)


def _parse(values: Array, to: DType) -> Array:
    flat = [v.decode() if isinstance(v, bytes) else str(v) for v in values.reshape(-1)]
    if to.is_int:
        numbers = np.array([int(v) if v.lstrip("+-").isdigit() else int(float(v)) for v in flat])
    else:
        numbers = np.array([float(v) for v in flat], np.float64)
        if to.is_float and to is not DType.FLOAT64:
            numbers = numbers.astype(np.float32)
    return numbers.reshape(values.shape)


def _text(values: Array) -> Array:
    result = np.empty(values.shape, object)
    flat = result.reshape(-1)
    for i, value in enumerate(values.reshape(-1)):
        flat[i] = str(value)
    return result


@reference("Cast")
def cast(input: Array, *, to: int, saturate: int = 1, round_mode: str = "up") -> Array:
    """Return the input in another element type."""
    return convert(input, DType(to), bool(saturate), round_mode)


@reference("CastLike")
def cast_like(
    input: Array, target_type: Array, *, saturate: int = 1, round_mode: str = "up"
) -> Array:
    """Return the input in the element type of another tensor."""
    return convert(input, DType.of(target_type.dtype), bool(saturate), round_mode)


@reference("BitCast")
def bit_cast(input: Array, *, to: int) -> Array:
    """Return the same bits as another type of the same width."""
    source, target = DType.of(input.dtype), DType(to)
    if source.bits != target.bits or source is DType.STRING:
        raise ShapeError(f"the bits of {source.label} are not those of a {target.label}")
    if source.bits < 8:
        mask = (1 << source.bits) - 1
        bits = raw(input).astype(np.int64) & mask
        if target in (DType.INT4, DType.INT2):
            bits = np.where(bits > mask // 2, bits - mask - 1, bits)
        return wrap(bits, target)
    return np.ascontiguousarray(input).view(target.numpy).reshape(input.shape)
