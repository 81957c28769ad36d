"""Operators that add borders: Pad, CenterCropPad, Col2Im."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ...errors import ShapeError
from ...graph.graph import Array
from .common import axes_of, ints, places, widened
from .registry import reference
from .spatial import windows


def pad_amounts(
    shape: Sequence[int], pads: Sequence[int], axes: Sequence[int] | None
) -> list[list[int]]:
    """Return (before, after) of every axis of a shape; negative numbers crop.

    Raises:
        ShapeError: if the numbers do not fit.
    """
    rank = len(shape)
    over = axes_of(axes if axes is not None else range(rank), rank)
    if len(pads) != 2 * len(over):
        raise ShapeError(f"pads {list(pads)} must have {2 * len(over)} numbers")
    found = [[0, 0] for _ in range(rank)]
    for i, axis in enumerate(over):
        found[axis] = [int(pads[i]), int(pads[i + len(over)])]
        if -sum(min(n, 0) for n in found[axis]) > shape[axis]:
            raise ShapeError(f"pads {found[axis]} crop more than an axis of {shape[axis]}")
    return found


def _source(position: Array, size: int, mode: str) -> Array:
    """Return which element of an axis each position (maybe outside) shows."""
    if mode == "edge":
        return position.clip(0, max(size - 1, 0))
    if mode == "wrap":
        return position % max(size, 1)
    if mode != "reflect":
        raise ShapeError(f"pad mode {mode!r} is unknown")
    period = max(2 * (size - 1), 1)
    folded = position % period
    return np.where(folded >= size, period - folded, folded)


@reference("Pad")
def pad(
    data: Array,
    pads: Array,
    constant_value: Array | None = None,
    axes: Array | None = None,
    *,
    mode: str = "constant",
) -> Array:
    """Return the data with borders: constant, reflected, repeated or wrapped."""
    amounts = pad_amounts(data.shape, ints(pads), None if axes is None else ints(axes))
    crop = tuple(
        slice(max(-before, 0), max(n - max(-after, 0), 0))
        for n, (before, after) in zip(data.shape, amounts, strict=True)
    )
    inner = data[crop]
    added = [(max(before, 0), max(after, 0)) for before, after in amounts]
    if mode == "constant":
        shape = [n + a + b for n, (a, b) in zip(inner.shape, added, strict=True)]
        fill = np.zeros((), data.dtype) if constant_value is None else constant_value
        result = np.empty(shape, data.dtype)
        result[...] = np.asarray(fill).reshape(())
        result[tuple(slice(a, a + n) for n, (a, _) in zip(inner.shape, added, strict=True))] = inner
        return result
    for axis, (a, b) in enumerate(added):
        if a or b:
            size = inner.shape[axis]
            if size == 0:
                raise ShapeError(f"an empty axis cannot be padded in mode {mode!r}")
            inner = np.take(inner, _source(np.arange(-a, size + b), size, mode), axis=axis)
    return inner


@reference("CenterCropPad")
def center_crop_pad(input_data: Array, shape: Array, *, axes: list[int] | None = None) -> Array:
    """Return the middle of the input, cropped or padded with 0 to a size."""
    over = axes_of(axes if axes is not None else range(input_data.ndim), input_data.ndim)
    wanted = list(input_data.shape)
    for axis, size in zip(over, ints(shape), strict=True):
        wanted[axis] = size
    taken, put = [], []
    for size, target in zip(input_data.shape, wanted, strict=True):
        first, before = max((size - target) // 2, 0), max((target - size) // 2, 0)
        count = min(size, target)
        taken.append(slice(first, first + count))
        put.append(slice(before, before + count))
    result = np.zeros(wanted, input_data.dtype)
    result[tuple(put)] = input_data[tuple(taken)]
    return result


@reference("Col2Im")
@widened
def col2im(
    input: Array,
    image_shape: Array,
    block_shape: Array,
    *,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Array:
    """Return the image in which every column is added back to the block it came from."""
    image, block = ints(image_shape), ints(block_shape)
    axes = windows(image, block, strides, pads, dilations)
    channels = input.shape[1] // max(prod(block), 1)
    columns = input.reshape(input.shape[0], channels, *block, *(w.output for w in axes))
    padded = [w.size + w.begin + max(w.end, w.padded_end) for w in axes]
    canvas = np.zeros((input.shape[0], channels, *padded), input.dtype)
    for at in np.ndindex(*block):
        where = tuple(
            slice(i * w.dilation, i * w.dilation + (w.output - 1) * w.stride + 1, w.stride)
            for i, w in zip(at, axes, strict=True)
        )
        canvas[places(*where)] += columns[places(*at, whole=2)]
    return np.asarray(canvas[places(*(slice(w.begin, w.begin + w.size) for w in axes))])
