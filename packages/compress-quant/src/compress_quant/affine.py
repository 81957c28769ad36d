"""Affine (uniform) quantization: the map between floats and a small integer grid.

Definitions used by every module of this package::

    q = clip(round(x / scale) + zero_point, qmin, qmax)      quantize
    x̂ = scale * (q - zero_point)                             dequantize

``round`` is round-half-to-even, the division is made in float32.  Invariants, tested as
properties:

* real zero is exact: ``dequantize(quantize(0.0)) == 0.0``;
* inside the range, ``abs(x - x̂) <= scale / 2``, up to float32 rounding;
* quantize is idempotent on its own output.

(Jacob et al., 2018, section 2.1, https://arxiv.org/abs/1712.05877)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from compress_tensor import InputError
from compress_tensor.codec import decode, encode, is_packed

from .grid import Grid

Array = np.ndarray[Any, np.dtype[Any]]

_TINY = np.finfo(np.float32).tiny
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class AffineParams:
    """One scale and zero point per group of elements.

    Attributes:
        scale: positive float32, broadcastable to the tensor it describes (see `granularity`).
        zero_point: int32 in ``grid``, same shape as ``scale``; the code of real 0.
        grid: the integer range of the codes.
    """

    scale: Array
    zero_point: Array
    grid: Grid


def params_from_range(low: Array, high: Array, grid: Grid) -> AffineParams:
    """Return the affine map that covers ``[low, high]`` with ``grid``.

    The range is first widened to contain 0, so that padding, ReLU output and pruned weights stay
    exact.  A symmetric grid covers ``[-m, m]``, m the larger magnitude.  A group whose values are
    all zero, or too small for a normal float32 scale, gets scale 1: nothing divides by zero.

    Args:
        low: smallest value per group, any shape.
        high: largest value per group, same shape, ``low <= high``.
        grid: target integer range.

    Raises:
        InputError: if a bound is not finite, ``low > high`` somewhere, or the range is so wide
            that an end code would decode to infinity.
    """
    low, high = np.asarray(low), np.asarray(high)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InputError("the calibration range has a NaN or an infinity")
    if (low > high).any():
        raise InputError("the calibration range is empty: low > high")
    # float64 until the last line: high - low may overflow float32.
    wide_low = np.minimum(low, 0.0).astype(np.float64)
    wide_high = np.maximum(high, 0.0).astype(np.float64)
    if grid.symmetric:
        scale64 = np.maximum(-wide_low, wide_high) / min(-grid.qmin, grid.qmax)
    else:
        scale64 = (wide_high - wide_low) / grid.steps
    if (scale64 > _LARGEST).any():
        raise InputError("the calibration range is too wide for float32")
    scale = np.asarray(scale64, np.float32)
    scale = np.where(scale < _TINY, np.float32(1.0), scale)
    if grid.symmetric:
        zero_point = np.zeros(scale.shape)
    else:
        zero_point = np.clip(np.rint(grid.qmin - wide_low / scale), grid.qmin, grid.qmax)
    # Rounding the zero point moves the grid by up to half a step.
    reach = scale.astype(np.float64) * np.maximum(grid.qmax - zero_point, zero_point - grid.qmin)
    if (reach > _LARGEST).any():
        raise InputError("the calibration range is too wide: an end code decodes to infinity")
    return AffineParams(scale, zero_point.astype(np.int32), grid)


def quantize(x: Array, params: AffineParams) -> Array:
    """Return the codes of ``x``, in the grid's type; values outside the range saturate.

    Raises:
        InputError: if ``x`` has a NaN, for which there is no code.
    """
    grid = params.grid
    if np.isnan(x).any():
        raise InputError("a NaN has no code; clean the data first")
    with np.errstate(over="ignore"):  # an infinite quotient saturates, as it should
        quotient = np.rint(np.asarray(x, np.float32) / spread(params.scale, x.shape))
    q = quotient.astype(np.float64) + spread(params.zero_point, x.shape)
    codes = np.clip(q, grid.qmin, grid.qmax)
    if grid.dtype.numpy.names is not None:
        return encode(codes, grid.dtype)
    return codes.astype(grid.dtype.numpy)


def dequantize(q: Array, params: AffineParams) -> Array:
    """Return the real values that the codes ``q`` stand for, in float32."""
    codes = decode(q) if is_packed(q.dtype) else q
    steps = codes.astype(np.int32) - spread(params.zero_point, codes.shape)
    found: Array = spread(params.scale, codes.shape) * steps.astype(np.float32)
    return found


def fake_quantize(x: Array, params: AffineParams) -> Array:
    """Return ``x`` moved to the nearest value that a code stands for."""
    return dequantize(quantize(x, params), params)


def spread(values: Array, shape: tuple[int, ...]) -> Array:
    """Return scales or zero points repeated so that they broadcast to ``shape``.

    Each dimension of ``values`` divides the tensor's: 1 (one for all), the same (one each), or
    something between (one per block of neighbours).
    """
    if values.ndim != len(shape):
        return values
    for axis, (have, want) in enumerate(zip(values.shape, shape, strict=True)):
        if have not in (1, want):
            values = np.repeat(values, -(-want // have), axis=axis)
            values = np.take(values, np.arange(want), axis=axis)
    return values
