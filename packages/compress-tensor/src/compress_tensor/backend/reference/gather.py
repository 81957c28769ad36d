"""Reading and writing at places that another tensor names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from ...errors import ShapeError
from ...graph.graph import Array
from .common import axis_of, widened
from .registry import reference


def wrapped(indices: Array, size: int) -> Array:
    """Return indices counted from the front.

    Raises:
        ShapeError: if one is outside of ``[-size, size)``.
    """
    wide = indices.astype(np.int64)
    if wide.size and (wide.min() < -size or wide.max() >= size):
        raise ShapeError(f"an index lies outside of an axis of {size}")
    return np.where(wide < 0, wide + size, wide)


@reference("Gather")
def gather(data: Array, indices: Array, *, axis: int = 0) -> Array:
    """Return the slices of an axis that the indices name."""
    axis = axis_of(axis, data.ndim)
    return np.take(data, wrapped(indices, data.shape[axis]), axis=axis)


@reference("GatherElements")
def gather_elements(data: Array, indices: Array, *, axis: int = 0) -> Array:
    """Return, at each place, the element whose position along an axis is the index there."""
    axis = axis_of(axis, data.ndim)
    return data[_element_places(wrapped(indices, data.shape[axis]), axis)]


def _element_places(indices: Array, axis: int) -> tuple[Array, ...]:
    """Return index arrays of every axis; ``indices`` is the one of ``axis``."""
    grid: list[Array] = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    grid[axis] = indices
    return tuple(grid)


def _tuples(indices: Array, shape: Sequence[int]) -> tuple[Array, ...]:
    """Return the last axis of indices as one index array per leading axis of ``shape``."""
    return tuple(wrapped(indices[..., i], shape[i]) for i in range(indices.shape[-1]))


@reference("GatherND")
def gather_nd(data: Array, indices: Array, *, batch_dims: int = 0) -> Array:
    """Return the slices of data that index tuples name."""
    if batch_dims == 0:
        return data[_tuples(indices, data.shape)]
    batch = data.shape[:batch_dims]
    count = prod(batch)
    flat = data.reshape(count, *data.shape[batch_dims:])
    where = indices.reshape(count, *indices.shape[batch_dims:])
    rows = np.arange(count).reshape(count, *[1] * (where.ndim - 2))
    taken = flat[(rows, *_tuples(where, flat.shape[1:]))]
    return np.asarray(taken.reshape(*batch, *taken.shape[1:]))


_REDUCTIONS: dict[str, Callable[..., None]] = {
    "add": np.add.at,
    "mul": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def _scatter(result: Array, where: tuple[Array, ...], updates: Array, reduction: str) -> Array:
    if reduction == "none":
        result[where] = updates
    elif reduction in _REDUCTIONS:
        if result.dtype == np.bool_ and reduction in ("add", "mul"):
            reduction = "max" if reduction == "add" else "min"
        _REDUCTIONS[reduction](result, where, updates)
    else:
        raise ShapeError(f"reduction {reduction!r} is unknown")
    return result


@reference("ScatterElements")
@widened
def scatter_elements(
    data: Array, indices: Array, updates: Array, *, axis: int = 0, reduction: str = "none"
) -> Array:
    """Return data with each update put at the position along an axis that its index names."""
    axis = axis_of(axis, data.ndim)
    where = _element_places(wrapped(indices, data.shape[axis]), axis)
    return _scatter(data.copy(), where, updates, reduction)


@reference("Scatter")
def scatter(data: Array, indices: Array, updates: Array, *, axis: int = 0) -> Array:
    """Return what ScatterElements returns (its old name)."""
    return np.asarray(scatter_elements(data, indices, updates, axis=axis))


@reference("ScatterND")
@widened
def scatter_nd(data: Array, indices: Array, updates: Array, *, reduction: str = "none") -> Array:
    """Return data with each slice of updates put where its index tuple points."""
    return _scatter(data.copy(), _tuples(indices, data.shape), updates, reduction)


@reference("TensorScatter")
def tensor_scatter(
    past_cache: Array,
    update: Array,
    write_indices: Array | None = None,
    *,
    axis: int = -2,
    mode: str = "linear",
) -> Array:
    """Return a cache with the update written from an index on, one index per batch."""
    axis = axis_of(axis, past_cache.ndim)
    result = np.moveaxis(past_cache.copy(), axis, 1)
    new = np.moveaxis(update, axis, 1)
    size, count = result.shape[1], new.shape[1]
    start = np.zeros(result.shape[0], np.int64) if write_indices is None else write_indices
    where = start.reshape(-1, 1) + np.arange(count)
    where = where % size if mode == "circular" else wrapped(where, size)
    result[np.arange(result.shape[0])[:, None], where] = new
    return np.ascontiguousarray(np.moveaxis(result, 1, axis))
