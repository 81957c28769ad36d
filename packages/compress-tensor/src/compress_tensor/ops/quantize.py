"""Affine quantization: ``clip(rint(x / scale) + zero_point)`` and ``(q - zero_point) * scale``."""

from __future__ import annotations

from typing import Any

from ..dtype import DType
from ..eager import run
from ..promotion import check_fits
from ..tensor import Tensor, as_dtype
from .operands import as_tensor, float_tensor, is_scalar, scalar


def _zero(zero_point: Any, dtype: DType) -> Tensor | None:
    if zero_point is None:
        return None
    if is_scalar(zero_point):
        check_fits(zero_point, dtype)
        return scalar(zero_point, dtype)
    return as_tensor(zero_point).astype(dtype)


def _attributes(
    x: Tensor, scale: Tensor, axis: int, block_size: int
) -> tuple[tuple[str, Any], ...]:
    # One scale for all has no axis; ONNX's default, 1, would be out of range for a vector.
    at = 0 if scale.size == 1 and scale.ndim < 2 else x.axis(axis)
    return (("axis", at), ("block_size", int(block_size)))


def quantize_linear(
    x: Any,
    scale: Any,
    zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    dtype: Any = None,
) -> Tensor:
    """Return the codes of x; halves are rounded to even.

    Args:
        x: floats.
        scale: one number, one per slice along ``axis``, or one per block.
        zero_point: the code of 0, of the shape of ``scale``.
        axis: the dimension along which scales differ.
        block_size: elements along ``axis`` that share a scale; 0: all.
        dtype: of the codes; by default that of ``zero_point``, or uint8.
    """
    kind = DType.UINT8 if dtype is None else as_dtype(dtype)
    if dtype is None and isinstance(zero_point, Tensor):
        kind = zero_point.dtype
    x = float_tensor(x)
    step = scalar(float(scale), x.dtype) if is_scalar(scale) else as_tensor(scale).astype(x.dtype)
    attributes = (*_attributes(x, step, axis, block_size), ("output_dtype", int(kind)))
    return run("QuantizeLinear", (x, step, _zero(zero_point, kind)), attributes)


def dequantize_linear(
    q: Any, scale: Any, zero_point: Any = None, *, axis: int = 1, block_size: int = 0
) -> Tensor:
    """Return the real numbers, of the type of ``scale``, that codes stand for."""
    codes = as_tensor(q)
    step = scalar(float(scale), DType.FLOAT32) if is_scalar(scale) else float_tensor(scale)
    attributes = _attributes(codes, step, axis, block_size)
    return run("DequantizeLinear", (codes, step, _zero(zero_point, codes.dtype)), attributes)


__all__ = [
    "dequantize_linear",
    "quantize_linear",
]
