"""Operators that move or copy elements without looking at them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ...errors import ShapeError
from ...graph.graph import Array
from .common import axes_of, axis_of, ints
from .registry import reference


def reshape_target(shape: Sequence[int], wanted: Sequence[int], allowzero: int) -> list[int]:
    """Return the shape that Reshape's second input means.

    Raises:
        ShapeError: if the number of elements does not fit.
    """
    target = []
    for i, n in enumerate(wanted):
        if n == 0 and not allowzero:
            if i >= len(shape):
                raise ShapeError(f"shape {list(wanted)} copies dimension {i} of {list(shape)}")
            n = shape[i]
        target.append(int(n))
    if target.count(-1) > 1 or min(target, default=0) < -1:
        raise ShapeError(f"shape {list(wanted)} has more than one unknown dimension")
    if -1 in target:
        known = prod(n for n in target if n != -1)
        if known == 0 or prod(shape) % known:
            raise ShapeError(f"shape {list(shape)} cannot be reshaped to {list(wanted)}")
        target[target.index(-1)] = prod(shape) // known
    if prod(target) != prod(shape):
        raise ShapeError(f"shape {list(shape)} cannot be reshaped to {list(wanted)}")
    return target


@reference("Reshape")
def reshape(data: Array, shape: Array, *, allowzero: int = 0) -> Array:
    """Return the same elements in another shape."""
    return data.reshape(reshape_target(data.shape, ints(shape), allowzero))


@reference("Flatten")
def flatten(input: Array, *, axis: int = 1) -> Array:
    """Return a matrix: the axes before ``axis`` by the rest."""
    axis = axis + input.ndim if axis < 0 else axis
    return input.reshape(prod(input.shape[:axis]), prod(input.shape[axis:]))


@reference("Transpose")
def transpose(data: Array, *, perm: list[int] | None = None) -> Array:
    """Return the axes in another order, by default reversed."""
    return data.transpose(perm)


@reference("Squeeze")
def squeeze(data: Array, axes: Array | None = None) -> Array:
    """Return the tensor without some, or all, of its axes of length 1."""
    gone = [i for i, n in enumerate(data.shape) if n == 1]
    if axes is not None:
        gone = list(axes_of(ints(axes), data.ndim))
    if any(data.shape[i] != 1 for i in gone):
        raise ShapeError(f"axes {gone} of shape {data.shape} are not all of length 1")
    return data.reshape([n for i, n in enumerate(data.shape) if i not in gone])


@reference("Unsqueeze")
def unsqueeze(data: Array, axes: Array) -> Array:
    """Return the tensor with axes of length 1 put in."""
    return data.reshape(unsqueezed(data.shape, ints(axes)))


def unsqueezed(shape: Sequence[int], axes: Sequence[int]) -> list[int]:
    """Return a shape with 1s put in at ``axes`` of the result."""
    rank = len(shape) + len(axes)
    new = axes_of(axes, rank)
    rest = iter(shape)
    return [1 if i in new else next(rest) for i in range(rank)]


@reference("Concat")
def concat(*inputs: Array, axis: int) -> Array:
    """Return the inputs side by side along an axis."""
    return np.concatenate(inputs, axis=axis)


def split_sizes(
    length: int, split: Sequence[int] | None, num_outputs: int | None, n_outputs: int
) -> list[int]:
    """Return the lengths that Split cuts an axis into.

    Raises:
        ShapeError: if they do not add up.
    """
    if split is not None:
        if sum(split) != length or min(split, default=0) < 0 or len(split) < n_outputs:
            raise ShapeError(f"lengths {list(split)} do not split {length} into {n_outputs}")
        return list(split)
    parts = num_outputs if num_outputs is not None else n_outputs
    if parts < 1:
        raise ShapeError(f"num_outputs {parts} must be positive")
    size = -(-length // parts)
    return [min(size, max(length - i * size, 0)) for i in range(n_outputs)]


@reference("Split")
def split(
    input: Array,
    split: Array | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    n_outputs: int = 1,
) -> tuple[Array, ...]:
    """Return consecutive pieces along an axis."""
    axis = axis_of(axis, input.ndim)
    wanted = None if split is None else ints(split)
    sizes = split_sizes(input.shape[axis], wanted, num_outputs, n_outputs)
    pieces = np.split(input, np.cumsum(sizes), axis=axis)
    return tuple(pieces[:n_outputs])


def slices(
    shape: Sequence[int],
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int] | None,
    steps: Sequence[int] | None,
) -> list[slice]:
    """Return what Slice takes of each axis, as slices within bounds.

    Raises:
        ShapeError: if the numbers do not fit.
    """
    over = axes_of(axes if axes is not None else range(len(starts)), len(shape))
    by = list(steps) if steps is not None else [1] * len(starts)
    if not len(starts) == len(ends) == len(over) == len(by) or 0 in by:
        raise ShapeError(f"starts {starts}, ends {ends}, axes {axes}, steps {steps} do not fit")
    found = [slice(0, n, 1) for n in shape]
    for start, end, axis, step in zip(starts, ends, over, by, strict=True):
        size = shape[axis]
        start = start + size if start < 0 else start
        end = end + size if end < 0 else end
        if step > 0:
            first, last = min(max(start, 0), size), min(max(end, 0), size)
            found[axis] = slice(first, max(first, last), step)
        else:
            first, last = min(max(start, -1), size - 1), min(max(end, -1), size - 1)
            found[axis] = slice(first, min(first, last), step)
    return found


def slice_length(part: slice) -> int:
    """Return the number of elements that a slice from ``slices`` takes."""
    return len(range(part.start, part.stop, part.step))


@reference("Slice")
def slice_(
    data: Array,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
) -> Array:
    """Return every step-th element between start and end along some axes."""
    parts = slices(
        data.shape,
        ints(starts),
        ints(ends),
        None if axes is None else ints(axes),
        None if steps is None else ints(steps),
    )
    return data[tuple(slice(p.start, None if p.stop < 0 else p.stop, p.step) for p in parts)]


@reference("Expand")
def expand(input: Array, shape: Array) -> Array:
    """Return the input broadcast with a shape."""
    return np.broadcast_to(input, np.broadcast_shapes(input.shape, tuple(ints(shape)))).copy()


@reference("Tile")
def tile(input: Array, repeats: Array) -> Array:
    """Return the input repeated along every axis."""
    return np.tile(input, ints(repeats))


@reference("DepthToSpace")
def depth_to_space(input: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    """Return channels spread into squares of the plane."""
    n, c, h, w = input.shape
    b = blocksize
    if mode == "DCR":
        parts = input.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = input.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, c // (b * b), h * b, w * b)


@reference("SpaceToDepth")
def space_to_depth(input: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    """Return squares of the plane gathered into channels."""
    n, c, h, w = input.shape
    b = blocksize
    parts = input.reshape(n, c, h // b, b, w // b, b)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return parts.transpose(order).reshape(n, c * b * b, h // b, w // b)


@reference("Trilu")
def trilu(input: Array, k: Array | None = None, *, upper: int = 1) -> Array:
    """Return the matrices with everything below (or above) a diagonal set to 0."""
    diagonal = 0 if k is None else ints(k)[0]
    rows, columns = input.shape[-2:]
    distance = np.arange(columns)[None, :] - np.arange(rows)[:, None]
    keep = distance >= diagonal if upper else distance <= diagonal
    return np.where(keep, input, np.zeros((), input.dtype))


@reference("ReverseSequence")
def reverse_sequence(
    input: Array, sequence_lens: Array, *, batch_axis: int = 1, time_axis: int = 0
) -> Array:
    """Return each sequence with its first ``sequence_lens`` steps in reverse."""
    lengths = np.asarray(ints(sequence_lens))
    time = np.arange(input.shape[time_axis])[:, None]
    index = np.where(time < lengths[None, :], lengths[None, :] - 1 - time, time)
    moved = np.moveaxis(input, (time_axis, batch_axis), (0, 1))
    taken = moved[index, np.arange(moved.shape[1])[None, :]]
    return np.ascontiguousarray(np.moveaxis(taken, (0, 1), (time_axis, batch_axis)))
