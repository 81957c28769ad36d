"""Types of fewer than 8 bits, several elements per byte: the first in the lowest bits, as ONNX.

Strides and offsets of such tensors count elements, not bytes.  Arithmetic reads them unpacked,
one element per byte, which is how numpy arrays hold them (see ``dtype``).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from .codec import raw, wrap
from .dtype import DType
from .graph.graph import Array

PACKED = frozenset(d for d in DType if 0 < d.bits < 8)
_SIGNED = (DType.INT4, DType.INT2)


def pack(values: Array, dtype: DType) -> Array:
    """Return one-dimensional codes (one per byte) as bytes; what is left of the last is 0."""
    each = 8 // dtype.bits
    codes = np.zeros(-(-values.size // each) * each, np.uint8)
    codes[: values.size] = values.view(np.uint8) & ((1 << dtype.bits) - 1)
    parts = codes.reshape(-1, each)
    found = parts[:, 0].copy()
    for n in range(1, each):
        found |= parts[:, n] << (n * dtype.bits)
    return found


def unpack(memory: Array, dtype: DType) -> Array:
    """Return bytes as codes, one per byte (int8 for signed types)."""
    each = 8 // dtype.bits
    codes = np.empty((memory.size, each), np.uint8)
    for n in range(each):
        codes[:, n] = memory >> (n * dtype.bits) & ((1 << dtype.bits) - 1)
    flat = codes.reshape(-1)
    if dtype not in _SIGNED:
        return flat
    sign = np.uint8(1 << (dtype.bits - 1))
    return ((flat ^ sign) - sign).view(np.int8)


def _span(
    dtype: DType, shape: Sequence[int], strides: Sequence[int], offset: int
) -> tuple[int, int, int]:
    """Return first byte, end byte, and the place of element (0, ..., 0) among their elements."""
    each = 8 // dtype.bits
    reach = [stride * (size - 1) for size, stride in zip(shape, strides, strict=True)]
    first = (offset + sum(r for r in reach if r < 0)) // each
    last = (offset + sum(r for r in reach if r > 0)) // each
    return first, last + 1, offset - first * each


def read(
    memory: Array, dtype: DType, shape: Sequence[int], strides: Sequence[int], offset: int
) -> Array:
    """Return a packed tensor as a new array with one element per byte, in our numpy dtype."""
    if prod(shape) == 0:
        return np.empty(shape, dtype.numpy)
    first, end, start = _span(dtype, shape, strides, offset)
    codes = unpack(memory[first:end], dtype)
    return wrap(np.ndarray(shape, codes.dtype, codes, start, strides), dtype)


def write(
    memory: Array,
    dtype: DType,
    shape: Sequence[int],
    strides: Sequence[int],
    offset: int,
    values: Array,
) -> None:
    """Write an array that broadcasts to ``shape`` into a packed tensor, neighbours untouched."""
    if prod(shape) == 0:
        return
    first, end, start = _span(dtype, shape, strides, offset)
    codes = unpack(memory[first:end], dtype)
    np.ndarray(shape, codes.dtype, codes, start, strides)[...] = raw(values)
    memory[first:end] = pack(codes, dtype)
