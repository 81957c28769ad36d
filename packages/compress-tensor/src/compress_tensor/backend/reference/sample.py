"""Reading a tensor between its elements: GridSample, AffineGrid, RoiAlign, DeformConv."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import ceil, floor, prod

import numpy as np

from ...errors import ShapeError
from ...graph.graph import Array
from .common import accumulated, ints, places
from .pool import lowest
from .registry import reference
from .resize import cubic
from .spatial import windows


def linear(X: Array, points: Sequence[Array]) -> Array:
    """Return (channels, points) of X (channels, ...), interpolated; 0 outside.

    Args:
        X: channels and spatial axes.
        points: one array of coordinates per spatial axis.
    """
    low = [np.floor(p) for p in points]
    result: Array = np.zeros((X.shape[0], *points[0].shape), X.dtype)
    for corner in product((0, 1), repeat=len(points)):
        at = [f + c for f, c in zip(low, corner, strict=True)]
        weight = prod(
            (1 - np.abs(p - a) for p, a in zip(points, at, strict=True)),
            start=np.ones((), X.dtype),
        )
        result += pick(X, at, "zeros") * weight.astype(X.dtype)
    return result


def _reflect(at: Array, low: float, high: float) -> Array:
    if high <= low:
        return np.full_like(at, low)
    span = high - low
    folded = np.abs(at - low) % (2 * span)
    return low + np.where(folded > span, 2 * span - folded, folded)


def pick(X: Array, at: Sequence[Array], padding: str, align_corners: int = 0) -> Array:
    """Return the elements of X (channels, ...) at whole-number coordinates."""
    sizes = X.shape[1:]
    inside: Array = np.ones(np.broadcast_shapes(*(a.shape for a in at)), np.bool_)
    index = []
    for place, size in zip(at, sizes, strict=True):
        if padding == "reflection":
            edge = 0.0 if align_corners else 0.5
            place = _reflect(place, -edge, size - 1 + edge)
        elif padding == "zeros":
            inside = inside & (place >= 0) & (place <= size - 1)
        elif padding != "border":
            raise ShapeError(f"padding_mode {padding!r} is unknown")
        index.append(np.nan_to_num(place).clip(0, max(size - 1, 0)).astype(np.int64))
    return np.asarray(np.where(inside, X[places(*index, whole=1)], X.dtype.type(0)))


@reference("GridSample")
@accumulated
def grid_sample(
    X: Array,
    grid: Array,
    *,
    align_corners: int = 0,
    mode: str = "linear",
    padding_mode: str = "zeros",
) -> Array:
    """Return X at the places of a grid, whose coordinates run from -1 to 1."""
    sizes = X.shape[2:]
    values = X if X.dtype.kind == "f" else X.astype(np.float32)
    points = []
    for i, size in enumerate(sizes):
        g = grid[..., len(sizes) - 1 - i].astype(np.float64)
        place = (g + 1) / 2 * (size - 1) if align_corners else ((g + 1) * size - 1) / 2
        if mode != "cubic" and padding_mode != "zeros":
            if padding_mode == "reflection":
                edge = 0.0 if align_corners else 0.5
                place = _reflect(place, -edge, size - 1 + edge)
            place = place.clip(0, size - 1)
        points.append(place)
    result = np.zeros((*X.shape[:2], *grid.shape[1:-1]), values.dtype)
    for n in range(X.shape[0]):
        here = [p[n] for p in points]
        if mode == "nearest":
            at = [np.rint(p) for p in here]
            result[n] = pick(values[n], at, padding_mode, align_corners)
        elif mode in ("linear", "bilinear"):
            result[n] = linear(values[n], here)
        elif mode in ("cubic", "bicubic"):
            low = [np.floor(p) for p in here]
            for taps in product((-1, 0, 1, 2), repeat=len(sizes)):
                at = [f + t for f, t in zip(low, taps, strict=True)]
                weight = prod(
                    (cubic(p - a, -0.75) for p, a in zip(here, at, strict=True)),
                    start=np.ones(()),
                )
                part = pick(values[n], at, padding_mode, align_corners)
                result[n] += part * weight.astype(values.dtype)
        else:
            raise ShapeError(f"mode {mode!r} is unknown")
    return result.astype(X.dtype, copy=False)


@reference("AffineGrid")
@accumulated
def affine_grid(theta: Array, size: Array, *, align_corners: int = 0) -> Array:
    """Return the grid that affine maps make of evenly spaced positions."""
    n, _, *sizes = ints(size)
    axes = []
    for length in sizes:
        if align_corners:
            axes.append(np.linspace(-1, 1, length) if length > 1 else np.array([-1.0]))
        else:
            axes.append((2 * np.arange(length) + 1) / length - 1)
    mesh = np.meshgrid(*axes, indexing="ij")
    homogeneous = np.stack([*reversed(mesh), np.ones(sizes)], axis=-1).astype(theta.dtype)
    flat = homogeneous.reshape(-1, len(sizes) + 1)
    result = flat @ theta.transpose(0, 2, 1)
    return result.reshape(n, *sizes, len(sizes))


@reference("RoiAlign")
@accumulated
def roi_align(
    X: Array,
    rois: Array,
    batch_indices: Array,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Array:
    """Return each region in a fixed size: means or maxima of interpolated samples."""
    half = coordinate_transformation_mode == "half_pixel"
    result = np.zeros((rois.shape[0], X.shape[1], output_height, output_width), X.dtype)
    bins = (output_height, output_width)
    for r, (roi, batch) in enumerate(zip(rois, ints(batch_indices), strict=True)):
        left, top, right, bottom = (float(v) * spatial_scale - 0.5 * half for v in roi)
        first, extent = (top, left), [bottom - top, right - left]
        if not half:
            extent = [max(e, 1.0) for e in extent]
        grids: list[int] = []
        points: list[Array] = []
        for start, size, count in zip(first, extent, bins, strict=True):
            step = size / count
            samples = sampling_ratio if sampling_ratio > 0 else max(ceil(step), 1)
            at = start + step * (np.arange(count * samples) + 0.5) / samples
            grids.append(samples)
            points.append(at)
        values = _bilinear_clamped(X[batch], points[0], points[1], best=mode == "max")
        shape = (X.shape[1], output_height, grids[0], output_width, -1)
        if mode == "max":
            result[r] = values.reshape(*shape[:4], grids[1] * 4).max(axis=(2, 4))
        else:
            result[r] = values.reshape(*shape[:4], grids[1]).mean(axis=(2, 4))
    return result


def _bilinear_clamped(plane: Array, ys: Array, xs: Array, best: bool) -> Array:
    """Interpolate at ys x xs; within one pixel outside the edge counts, beyond is 0.

    With ``best`` the four weighted corners are not added but listed, in a last axis.
    """
    height, width = plane.shape[1:]
    inside = ((ys >= -1) & (ys <= height))[:, None] & ((xs >= -1) & (xs <= width))
    y, x = ys.clip(0, max(height - 1, 0)), xs.clip(0, max(width - 1, 0))
    y0, x0 = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    y1, x1 = np.minimum(y0 + 1, height - 1), np.minimum(x0 + 1, width - 1)
    fy, fx = (y - y0)[:, None], (x - x0)[None, :]
    corners = [
        plane[:, a[:, None], b[None, :]] * (wy * wx * inside).astype(plane.dtype)
        for a, wy in ((y0, 1 - fy), (y1, fy))
        for b, wx in ((x0, 1 - fx), (x1, fx))
    ]
    return np.stack(corners, axis=-1) if best else np.asarray(sum(corners))


@reference("MaxRoiPool")
@accumulated
def max_roi_pool(
    X: Array, rois: Array, *, pooled_shape: list[int], spatial_scale: float = 1.0
) -> Array:
    """Return each region in a fixed size: the maxima of its parts."""
    height, width = X.shape[2:]
    rows, columns = pooled_shape
    result = np.zeros((rois.shape[0], X.shape[1], rows, columns), X.dtype)
    for r, roi in enumerate(rois):
        plane = X[int(roi[0])]
        left, top, right, bottom = (floor(float(v) * spatial_scale + 0.5) for v in roi[1:])
        tall, wide = max(bottom - top + 1, 1), max(right - left + 1, 1)
        for i, j in np.ndindex(rows, columns):
            y0 = min(max(floor(i * tall / rows) + top, 0), height)
            y1 = min(max(ceil((i + 1) * tall / rows) + top, 0), height)
            x0 = min(max(floor(j * wide / columns) + left, 0), width)
            x1 = min(max(ceil((j + 1) * wide / columns) + left, 0), width)
            if y1 > y0 and x1 > x0:
                top_value = plane[:, y0:y1, x0:x1].max(axis=(1, 2), initial=lowest(X.dtype))
                result[r, :, i, j] = top_value
    return result


@reference("DeformConv")
@accumulated
def deform_conv(
    X: Array,
    W: Array,
    offset: Array,
    B: Array | None = None,
    mask: Array | None = None,
    *,
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    offset_group: int = 1,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Array:
    """Return a convolution whose window positions are moved by offsets."""
    count, channels = X.shape[:2]
    kernel, rank = W.shape[2:], W.ndim - 2
    axes = windows(X.shape[2:], kernel, strides, pads, dilations)
    out = [w.output for w in axes]
    moved = offset.reshape(count, offset_group, *kernel, rank, *out)
    factor = None if mask is None else mask.reshape(count, offset_group, *kernel, *out)
    base = np.meshgrid(*(np.arange(w.output) * w.stride - w.begin for w in axes), indexing="ij")
    share = channels // offset_group
    columns = np.zeros((count, channels, *kernel, *out), X.dtype)
    for n, g in np.ndindex(count, offset_group):
        part = slice(g * share, (g + 1) * share)
        for at in np.ndindex(*kernel):
            points = [
                base[i] + at[i] * w.dilation + moved[(n, g, *at, i)] for i, w in enumerate(axes)
            ]
            value = linear(X[n, part], points)
            if factor is not None:
                value = value * factor[(n, g, *at)]
            columns[(n, part, *at)] = value
    depth = channels // group
    matrix = W.reshape(group, W.shape[0] // group, -1)
    flat = columns.reshape(count, group, depth * prod(kernel), prod(out))
    result = np.matmul(matrix, flat).reshape(count, W.shape[0], *out)
    return np.asarray(result if B is None else result + B.reshape(-1, *[1] * rank))
