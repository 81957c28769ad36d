"""Resize and Upsample: per axis, a choice or a weighted mean of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from ...codec import decode
from ...dtype import DType
from ...errors import ShapeError
from ...graph.graph import Array
from .cast import convert
from .common import axes_of, ints
from .registry import reference

MOST_WEIGHTS = 1 << 26  #: of one axis; images and sounds need some thousands


@dataclass(frozen=True)
class Axis:
    """How one axis is resized."""

    length: int
    output: int
    scale: float
    start: float = 0.0
    end: float = 1.0


def resized(
    shape: Sequence[int],
    roi: Sequence[float] | None,
    scales: Sequence[float] | None,
    sizes: Sequence[int] | None,
    axes: Sequence[int] | None,
    policy: str,
    crops: bool,
) -> dict[int, Axis]:
    """Return how the axes that change are resized.

    Raises:
        ShapeError: if the numbers do not fit.
    """
    over = axes_of(axes if axes is not None else range(len(shape)), len(shape))
    if (scales is None) == (sizes is None):
        raise ShapeError("Resize needs either scales or sizes")
    given = scales if scales is not None else sizes
    assert given is not None
    if len(given) != len(over):
        raise ShapeError(f"{len(given)} scales or sizes are given for {len(over)} axes")
    starts, ends = [0.0] * len(over), [1.0] * len(over)
    if crops:
        if roi is None or len(roi) != 2 * len(over):
            raise ShapeError(f"roi must have {2 * len(over)} numbers")
        starts, ends = list(roi[: len(over)]), list(roi[len(over) :])
    found = {}
    ratio = None
    if sizes is not None and policy != "stretch":
        ratios = [n / shape[axis] for n, axis in zip(sizes, over, strict=True) if shape[axis]]
        if policy not in ("not_larger", "not_smaller"):
            raise ShapeError(f"keep_aspect_ratio_policy {policy!r} is unknown")
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
    for axis, number, start, end in zip(over, given, starts, ends, strict=True):
        length = shape[axis]
        if not 0 <= number < 1 << 40:
            raise ShapeError(f"scale or size {number} is out of range")
        if scales is not None:
            found[axis] = Axis(
                length, floor(length * (end - start) * number), float(number), start, end
            )
        elif ratio is not None:
            found[axis] = Axis(length, floor(ratio * length + 0.5), ratio)
        else:
            found[axis] = Axis(length, int(number), number / max(length, 1), start, end)
    return found


def coordinates(axis: Axis, mode: str) -> Array:
    """Return where each output lies on the input axis."""
    x = np.arange(axis.output, dtype=np.float64)
    length, scale = axis.length, axis.scale or 1.0
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and axis.output > 1):
        return (x + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return np.zeros_like(x)
    if mode == "half_pixel_symmetric":
        adjustment = axis.output / (scale * length)
        return length / 2 * (1 - adjustment) + (x + 0.5) / scale - 0.5
    if mode == "align_corners":
        width = scale * length  # ONNX means the fractional width when scales are given
        return x * (length - 1) / (width - 1) if axis.output > 1 else np.zeros_like(x)
    if mode == "asymmetric":
        return x / scale
    if mode == "tf_crop_and_resize":
        if axis.output > 1:
            step = (axis.end - axis.start) * (length - 1) / (axis.output - 1)
            return axis.start * (length - 1) + x * step
        return np.full_like(x, 0.5 * (axis.start + axis.end) * (length - 1))
    raise ShapeError(f"coordinate_transformation_mode {mode!r} is unknown")


def nearest(x: Array, mode: str) -> Array:
    """Return the element that each coordinate is rounded to.

    Raises:
        ShapeError: if the way of rounding is unknown.
    """
    found = {
        "round_prefer_floor": lambda: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda: np.floor(x + 0.5),
        "floor": lambda: np.floor(x),
        "ceil": lambda: np.ceil(x),
    }
    if mode not in found:
        raise ShapeError(f"nearest_mode {mode!r} is unknown")
    return found[mode]().astype(np.int64)


def cubic(distance: Array, a: float) -> Array:
    """Return the weight of a neighbour at a distance, in cubic convolution."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def weight_bands(
    axis: Axis, x: Array, mode: str, a: float, antialias: int, exclude_outside: int
) -> tuple[Array, Array]:
    """Return for each output the first input that it reads, and the weights of it and the next.

    Raises:
        ShapeError: if the mode is unknown, or there would be too many weights.
    """
    stretch = min(axis.scale, 1.0) if antialias and axis.scale else 1.0
    support = ceil((1 if mode == "linear" else 2) / stretch)
    if axis.output * support > MOST_WEIGHTS:
        raise ShapeError(f"resizing {axis.length} to {axis.output} takes too many weights")
    taps = np.floor(x)[:, None].astype(np.int64) + np.arange(1 - support, support + 1)
    distance = (taps - x[:, None]) * stretch
    if mode == "linear":
        weights = np.maximum(0.0, 1.0 - np.abs(distance))
    elif mode == "cubic":
        weights = cubic(distance, a)
    else:
        raise ShapeError(f"resize mode {mode!r} is unknown")
    if exclude_outside:
        weights = np.where((taps >= 0) & (taps < axis.length), weights, 0.0)
    total = weights.sum(axis=1, keepdims=True)
    weights = weights / np.where(total == 0, 1.0, total)
    width = min(2 * support, axis.length)
    starts = taps[:, 0].clip(0, axis.length - width)
    bands = np.zeros((axis.output, width))
    rows = np.broadcast_to(np.arange(axis.output)[:, None], taps.shape)
    # Inputs past the border count for the one on the border.
    np.add.at(bands, (rows, taps.clip(0, max(axis.length - 1, 0)) - starts[:, None]), weights)
    return starts, bands


def _weighted(source: Array, starts: Array, bands: Array) -> Array:
    """Return sums of neighbours on the last axis."""
    weights = bands.astype(source.dtype)
    found = np.zeros((*source.shape[:-1], len(starts)), source.dtype)
    for tap in range(bands.shape[1]):
        found += source[..., starts + tap] * weights[:, tap]
    return found


def floats(values: Array | None) -> list[float] | None:
    """Return an optional input as numbers; an empty one counts as omitted."""
    if values is None or values.size == 0:
        return None
    return [float(v) for v in decode(values).reshape(-1)]


@reference("Resize")
def resize(
    X: Array,
    roi: Array | None = None,
    scales: Array | None = None,
    sizes: Array | None = None,
    *,
    antialias: int = 0,
    axes: list[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Array:
    """Return X in another size."""
    crops = coordinate_transformation_mode == "tf_crop_and_resize"
    wanted = None if sizes is None or sizes.size == 0 else ints(sizes)
    changed = resized(
        X.shape,
        floats(roi),
        floats(scales),
        wanted,
        axes,
        keep_aspect_ratio_policy,
        crops,
    )
    result = X
    if mode != "nearest":
        result = decode(X).astype(np.float64 if X.dtype == np.float64 else np.float32)
    outside = np.zeros((1,) * X.ndim, np.bool_)
    for at, axis in changed.items():
        x = coordinates(axis, coordinate_transformation_mode)
        if crops:
            beyond = (x < 0) | (x > axis.length - 1)
            outside = outside | beyond.reshape(-1, *[1] * (X.ndim - 1 - at))
        elif axis.output == axis.length and axis.scale == 1.0:
            continue
        if axis.output == 0:
            result = np.take(result, [], axis=at)
            continue
        if mode == "nearest":
            index = nearest(x, nearest_mode).clip(0, max(axis.length - 1, 0))
            result = np.take(result, index, axis=at)
        else:
            bands = weight_bands(axis, x, mode, cubic_coeff_a, antialias, exclude_outside)
            result = np.moveaxis(_weighted(np.moveaxis(result, at, -1), *bands), -1, at)
    if crops and outside.any():
        fill = convert(np.array(extrapolation_value, np.float32), DType.of(result.dtype))
        result = np.where(outside, fill, result)
    if result.dtype == X.dtype:
        return np.ascontiguousarray(result)
    kind = DType.of(X.dtype)
    if kind.is_int:
        low, high = kind.integer_range
        result = np.clip(result, low, high)
    return convert(np.ascontiguousarray(result), kind)


@reference("Upsample")
def upsample(X: Array, scales: Array, *, mode: str = "nearest") -> Array:
    """Return X enlarged (the old form of Resize)."""
    return resize(
        X,
        None,
        scales,
        coordinate_transformation_mode="asymmetric",
        mode=mode,
        nearest_mode="floor",
    )
