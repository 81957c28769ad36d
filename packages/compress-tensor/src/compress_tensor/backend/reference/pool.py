"""Pooling over windows and over whole planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import ShapeError
from ...graph.graph import Array
from .common import accumulated, ints, mean, places, widened
from .conv import offsets, pad_spatial
from .registry import reference
from .spatial import Window, per_axis, windows


def lowest(dtype: np.dtype[Any]) -> float:
    """Return the smallest value of a type."""
    return -np.inf if dtype.kind == "f" else int(np.iinfo(dtype).min)


@reference("MaxPool")
@widened
def max_pool(
    X: Array,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    storage_order: int = 0,
    strides: list[int] | None = None,
    n_outputs: int = 1,
) -> tuple[Array, ...]:
    """Return the maximum of each window, and its place in the flattened input."""
    axes = windows(X.shape[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    padded = pad_spatial(X, axes, lowest(X.dtype))
    result = np.full((*X.shape[:2], *(w.output for w in axes)), lowest(X.dtype), X.dtype)
    if n_outputs < 2:
        for _, where in offsets(axes):
            np.maximum(result, padded[places(*where)], out=result)
        return (result,)
    numbers = _places(X, storage_order)
    indices = np.full(result.shape, -1, np.int64)
    padded_places = pad_spatial(numbers, axes, -1)
    for _, where in offsets(axes):
        part, place = padded[places(*where)], padded_places[places(*where)]
        better = ((part > result) | (indices < 0)) & (place >= 0)
        result = np.where(better, part, result)
        indices = np.where(better, place, indices)
    return result, indices


def _places(X: Array, storage_order: int) -> Array:
    """Return each element's index in the flattened tensor."""
    places = np.arange(X.size, dtype=np.int64)
    if not storage_order:
        return places.reshape(X.shape)
    swapped = places.reshape(*X.shape[:2], *reversed(X.shape[2:]))
    return swapped.transpose(0, 1, *range(X.ndim - 1, 1, -1))


@reference("AveragePool")
@accumulated
def average_pool(
    X: Array,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Array:
    """Return the mean of each window; padding counts only if asked for."""
    axes = windows(X.shape[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    total = _sum(X, axes)
    count = np.ones((), X.dtype)
    for w in axes:
        start = np.arange(w.output)[:, None] * w.stride + np.arange(w.kernel) * w.dilation
        low = 0 if count_include_pad else w.begin
        high = w.begin + w.size + (w.end if count_include_pad else 0)
        along = ((start >= low) & (start < high)).sum(axis=1)
        count = count[..., None] * along.astype(X.dtype)
    return np.asarray(total / count)


def _sum(X: Array, axes: Sequence[Window]) -> Array:
    padded = pad_spatial(X, axes)
    result = np.zeros((*X.shape[:2], *(w.output for w in axes)), X.dtype)
    for _, where in offsets(axes):
        result += padded[places(*where)]
    return result


@reference("LpPool")
@accumulated
def lp_pool(
    X: Array,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    p: int = 2,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Array:
    """Return the p-norm of each window."""
    axes = windows(X.shape[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    return np.asarray(_sum(np.abs(X) ** p, axes) ** X.dtype.type(1 / p))


def _planes(X: Array) -> tuple[int, ...]:
    return tuple(range(2, X.ndim))


@reference("GlobalAveragePool")
@accumulated
def global_average_pool(X: Array) -> Array:
    """Return the mean of each plane."""
    return mean(X, _planes(X))


@reference("GlobalMaxPool")
@widened
def global_max_pool(X: Array) -> Array:
    """Return the maximum of each plane."""
    return np.asarray(X.max(axis=_planes(X), keepdims=True))


@reference("GlobalLpPool")
@accumulated
def global_lp_pool(X: Array, *, p: int = 2) -> Array:
    """Return the p-norm of each plane."""
    total = (np.abs(X) ** p).sum(axis=_planes(X), keepdims=True)
    return np.asarray(total ** X.dtype.type(1 / p))


def unpooled_shape(
    shape: Sequence[int],
    kernel_shape: Sequence[int],
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
) -> list[int]:
    """Return the shape that MaxUnpool gives back when none is asked for."""
    rank = len(shape) - 2
    kernel = per_axis(kernel_shape, rank, 1, "kernel_shape")
    step = per_axis(strides, rank, 1, "strides")
    pad = per_axis(pads, 2 * rank, 0, "pads")
    return [
        *shape[:2],
        *((shape[i + 2] - 1) * step[i] + kernel[i] - pad[i] - pad[i + rank] for i in range(rank)),
    ]


@reference("MaxUnpool")
def max_unpool(
    X: Array,
    I: Array,  # noqa: E741
    output_shape: Array | None = None,
    *,
    kernel_shape: list[int],
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Array:
    """Return a tensor of zeros with X at the places I.

    The places count in the shape that follows from the attributes; a larger ``output_shape``
    adds zeros behind it.
    """
    inferred = unpooled_shape(X.shape, kernel_shape, pads, strides)
    flat = np.zeros(int(np.prod(inferred)), X.dtype)
    places = I.reshape(-1)
    if places.size and (places.min() < 0 or places.max() >= flat.size):
        raise ShapeError(f"an index of MaxUnpool lies outside of a tensor of {flat.size} elements")
    flat[places] = X.reshape(-1)
    if output_shape is None:
        return flat.reshape(inferred)
    result = np.zeros(ints(output_shape), X.dtype)
    result[tuple(slice(0, n) for n in inferred)] = flat.reshape(inferred)
    return result
