"""Between floats and quantized integers: QuantizeLinear and its relatives."""

from __future__ import annotations

import numpy as np

from ...codec import decode, encode
from ...dtype import DType
from ...errors import ShapeError
from ...graph.graph import Array
from .cast import convert
from .common import axis_of
from .registry import reference


def spread(values: Array, shape: tuple[int, ...], axis: int, block_size: int) -> Array:
    """Return scales or zero points ready to broadcast with a tensor.

    Raises:
        ShapeError: if they fit neither the whole, the axis, nor blocks of it.
    """
    if values.ndim == 0 or (values.ndim == 1 and values.size == 1 and not block_size):
        return values.reshape(())
    axis = axis_of(axis, len(shape))
    if block_size:
        short = (*shape[:axis], -(-shape[axis] // block_size), *shape[axis + 1 :])
        if values.shape != short:
            raise ShapeError(
                f"scales of shape {values.shape} do not fit blocks of {block_size} in {shape}"
            )
        return np.take(values, np.arange(shape[axis]) // block_size, axis=axis)
    if values.shape != (shape[axis],):
        raise ShapeError(f"scales of shape {values.shape} do not fit axis {axis} of {shape}")
    return values.reshape(-1, *[1] * (len(shape) - axis - 1))


def quantized_dtype(zero_point: DType | None, output_dtype: int) -> DType:
    """Return the element type that QuantizeLinear gives."""
    if zero_point is not None:
        return zero_point
    return DType(output_dtype) if output_dtype else DType.UINT8


@reference("QuantizeLinear")
def quantize_linear(
    x: Array,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Array:
    """Return clip(rint(x / y_scale) + y_zero_point), divided in the precision of y_scale."""
    zero_type = None if y_zero_point is None else DType.of(y_zero_point.dtype)
    dtype = quantized_dtype(zero_type, output_dtype)
    form = DType(precision) if precision else DType.of(y_scale.dtype)
    wide, scale = decode(convert(x, form)), decode(convert(y_scale, form))
    quotient = wide / spread(scale, x.shape, axis, block_size)
    if form is not DType.of(quotient.dtype):
        quotient = decode(convert(quotient, form))
    zero = None
    if y_zero_point is not None:
        zero = spread(decode(y_zero_point), x.shape, axis, block_size)
    if not dtype.is_int:
        return encode(quotient if zero is None else quotient + zero, dtype, saturate=bool(saturate))
    low, high = dtype.integer_range
    value = np.rint(quotient).astype(np.float64)
    if zero is not None:
        value = value + zero
    return convert(np.nan_to_num(np.clip(value, low, high)), dtype)


@reference("DequantizeLinear")
def dequantize_linear(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Array:
    """Return (x - x_zero_point) * x_scale."""
    dtype = DType(output_dtype) if output_dtype else DType.of(x_scale.dtype)
    values = decode(x)
    if values.dtype.kind in "iu":
        values = values.astype(np.int64 if values.dtype.itemsize > 2 else np.int32)
    if x_zero_point is not None:
        zero = spread(decode(x_zero_point), x.shape, axis, block_size)
        values = values - zero.astype(values.dtype)
    scale = spread(decode(x_scale), x.shape, axis, block_size)
    kind = np.float64 if dtype is DType.FLOAT64 else np.float32
    return convert(np.asarray(values.astype(kind) * scale.astype(kind)), dtype)


@reference("DynamicQuantizeLinear")
def dynamic_quantize_linear(x: Array) -> tuple[Array, Array, Array]:
    """Return x in uint8 with the scale and zero point that its range, 0 included, asks for."""
    top = np.maximum(x.max(initial=0), np.float32(0))
    bottom = np.minimum(x.min(initial=0), np.float32(0))
    scale = np.asarray((top - bottom) / np.float32(255), np.float32)
    if scale == 0:
        return np.zeros(x.shape, np.uint8), scale, np.zeros((), np.uint8)
    zero = np.clip(np.rint(np.float32(0) - bottom / scale), 0, 255)
    y = np.clip(np.rint(x / scale) + zero, 0, 255)
    return y.astype(np.uint8), scale, np.asarray(zero, np.uint8)
