"""Reductions over axes, positions of extremes, running sums and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...graph.graph import Array
from .common import accumulated, axes_of, axis_of, ints, mean, scalar
from .pool import lowest
from .registry import reference

Axes = tuple[int, ...]


def reduced_axes(axes: Array | None, rank: int, noop_with_empty_axes: int) -> Axes | None:
    """Return the axes to reduce; None: leave the tensor as it is."""
    if axes is None or axes.size == 0:
        return None if noop_with_empty_axes else tuple(range(rank))
    return axes_of(ints(axes), rank)


def _reduction(
    op: str,
    function: Callable[[Array, Axes], Array],
    single: Callable[[Array], Array] = lambda x: x,
) -> None:
    """Register a reduction.

    Args:
        op: its name.
        function: reduces over axes, keeping dimensions.
        single: what it does to each element when there is nothing to reduce.
    """

    def definition(
        data: Array,
        axes: Array | None = None,
        *,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
    ) -> Array:
        over = reduced_axes(axes, data.ndim, noop_with_empty_axes)
        if over is None:
            return np.asarray(single(data)).astype(data.dtype, copy=False)
        result = np.asarray(function(data, over)).astype(data.dtype, copy=False)
        return result if keepdims else np.squeeze(result, axis=over)

    definition.__name__ = op.lower()
    definition.__doc__ = f"Return {op} over the axes, by default all."
    reference(op)(accumulated(definition))


def _log_sum_exp(x: Array, over: Axes) -> Array:
    if 0 in (x.shape[a] for a in over):
        return np.asarray(np.log(np.exp(x).sum(axis=over, keepdims=True)))
    top = x.max(axis=over, keepdims=True)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    return np.asarray(np.log(np.exp(x - top).sum(axis=over, keepdims=True)) + top)


def highest(dtype: np.dtype[Any]) -> float:
    """Return the largest value of a type."""
    return np.inf if dtype.kind == "f" else int(np.iinfo(dtype).max)


def _max(x: Array, over: Axes) -> Array:
    if x.dtype == np.bool_:
        return np.asarray(x.any(axis=over, keepdims=True))
    return np.asarray(x.max(axis=over, keepdims=True, initial=lowest(x.dtype)))


def _min(x: Array, over: Axes) -> Array:
    if x.dtype == np.bool_:
        return np.asarray(x.all(axis=over, keepdims=True))
    return np.asarray(x.min(axis=over, keepdims=True, initial=highest(x.dtype)))


def _sum(x: Array, over: Axes) -> Array:
    return np.asarray(x.sum(axis=over, keepdims=True, dtype=x.dtype))


_reduction("ReduceSum", _sum)
_reduction("ReduceMean", mean)
_reduction("ReduceMax", _max)
_reduction("ReduceMin", _min)
_reduction(
    "ReduceProd", lambda x, over: np.asarray(x.prod(axis=over, keepdims=True, dtype=x.dtype))
)
_reduction("ReduceL1", lambda x, over: _sum(np.abs(x), over), np.abs)
_reduction("ReduceL2", lambda x, over: np.sqrt(_sum(x * x, over)), np.abs)
_reduction("ReduceSumSquare", lambda x, over: _sum(x * x, over), np.square)
_reduction("ReduceLogSum", lambda x, over: np.log(_sum(x, over)), np.log)
_reduction("ReduceLogSumExp", _log_sum_exp)


def _position(
    find: Callable[..., Array], data: Array, axis: int, keepdims: int, select_last_index: int
) -> Array:
    axis = axis_of(axis, data.ndim)
    if select_last_index:
        found = data.shape[axis] - 1 - find(np.flip(data, axis), axis=axis)
    else:
        found = find(data, axis=axis)
    found = np.asarray(found, np.int64)
    return np.expand_dims(found, axis) if keepdims else found


@reference("ArgMax")
@accumulated
def arg_max(data: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    """Return where the maximum along an axis is."""
    return _position(np.argmax, data, axis, keepdims, select_last_index)


@reference("ArgMin")
@accumulated
def arg_min(data: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    """Return where the minimum along an axis is."""
    return _position(np.argmin, data, axis, keepdims, select_last_index)


def _running(
    function: np.ufunc, x: Array, axis: Array, start: int, exclusive: int, reverse: int
) -> Array:
    along = axis_of(int(scalar(axis, "axis")), x.ndim)
    turned = np.flip(x, along) if reverse else x
    result = function.accumulate(turned, axis=along, dtype=x.dtype)
    if exclusive and x.shape[along]:
        first = np.full_like(np.take(result, [0], axis=along), start)
        rest = np.take(result, range(x.shape[along] - 1), axis=along)
        result = np.concatenate([first, rest], axis=along)
    return np.flip(result, along) if reverse else np.asarray(result)


@reference("CumSum")
@accumulated
def cum_sum(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0) -> Array:
    """Return the running sum along an axis."""
    return _running(np.add, x, axis, 0, exclusive, reverse)


@reference("CumProd")
@accumulated
def cum_prod(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0) -> Array:
    """Return the running product along an axis."""
    return _running(np.multiply, x, axis, 1, exclusive, reverse)
