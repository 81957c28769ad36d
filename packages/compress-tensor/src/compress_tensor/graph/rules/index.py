"""Shape rules of reductions, gathering and scattering."""

from __future__ import annotations

from ...backend.reference.common import axes_of, axis_of, ints
from ...dtype import DType
from ...errors import ShapeError
from .common import INDICES, contents, require, require_type, result, same_type
from .registry import Info, rule


def _kept(dims: tuple[int, ...], over: tuple[int, ...], keepdims: int) -> list[int]:
    if keepdims:
        return [1 if i in over else n for i, n in enumerate(dims)]
    return [n for i, n in enumerate(dims) if i not in over]


@rule(
    *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1"),
    *("ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"),
)
def reduction(
    data: Info, axes: Info | None = None, *, keepdims: int, noop_with_empty_axes: int
) -> Info:
    """The axes reduced to length 1, or gone."""
    given = [] if axes is None or axes.shape == (0,) else contents(axes, "axes")
    if not given and noop_with_empty_axes:
        return result(data.dtype, data.dims)
    over = axes_of(given, data.rank) if given else tuple(range(data.rank))
    return result(data.dtype, _kept(data.dims, over, keepdims))


@rule("ArgMax", "ArgMin")
def arg(data: Info, *, axis: int, keepdims: int, select_last_index: int) -> Info:
    """One axis reduced to a position."""
    axis = axis_of(axis, data.rank)
    require(data.rank == 0 or data.dims[axis] > 0, f"axis {axis} of {list(data.dims)} is empty")
    return result(DType.INT64, _kept(data.dims, (axis,), keepdims))


@rule("CumSum", "CumProd")
def running(x: Info, axis: Info, *, exclusive: int, reverse: int) -> Info:
    """The input's shape."""
    require_type(axis, INDICES, "the axis")
    if axis.value is not None:
        axis_of(ints(axis.value)[0], x.rank)
    return result(x.dtype, x.dims)


@rule("Gather")
def gather(data: Info, indices: Info, *, axis: int) -> Info:
    """The axis replaced by the indices' shape."""
    require_type(indices, INDICES, "the indices")
    require(data.rank > 0, "Gather from a scalar is not defined")
    axis = axis_of(axis, data.rank)
    return result(data.dtype, (*data.dims[:axis], *indices.dims, *data.dims[axis + 1 :]))


@rule("GatherElements")
def gather_elements(data: Info, indices: Info, *, axis: int) -> Info:
    """The indices' shape."""
    require_type(indices, INDICES, "the indices")
    _elements(data, indices, axis)
    return result(data.dtype, indices.dims)


def _elements(data: Info, indices: Info, axis: int) -> None:
    axis = axis_of(axis, data.rank)
    fits = indices.rank == data.rank and all(
        n <= m or i == axis for i, (n, m) in enumerate(zip(indices.dims, data.dims, strict=True))
    )
    require(fits, f"indices {list(indices.dims)} do not fit data {list(data.dims)}")


@rule("GatherND")
def gather_nd(data: Info, indices: Info, *, batch_dims: int) -> Info:
    """The indices' shape but the last axis, then what is left of the data's."""
    require(indices.rank >= 1 and 0 <= batch_dims < indices.rank, "indices need an axis of tuples")
    depth = batch_dims + indices.dims[-1]
    if depth > data.rank or indices.dims[:batch_dims] != data.dims[:batch_dims]:
        raise ShapeError(f"indices {list(indices.dims)} do not fit data {list(data.dims)}")
    return result(data.dtype, (*indices.dims[:-1], *data.dims[depth:]))


_REDUCTIONS = ("none", "add", "mul", "max", "min")


@rule("ScatterElements", "Scatter")
def scatter_elements(
    data: Info, indices: Info, updates: Info, *, axis: int, reduction: str = "none"
) -> Info:
    """The data's shape."""
    require_type(indices, INDICES, "the indices")
    require(reduction in _REDUCTIONS, f"reduction {reduction!r} is unknown")
    require(indices.dims == updates.dims, "indices and updates must have one shape")
    _elements(data, indices, axis)
    return result(same_type(data, updates), data.dims)


@rule("ScatterND")
def scatter_nd(data: Info, indices: Info, updates: Info, *, reduction: str) -> Info:
    """The data's shape."""
    require(reduction in _REDUCTIONS, f"reduction {reduction!r} is unknown")
    require(indices.rank >= 1, "indices need an axis of tuples")
    depth = indices.dims[-1]
    if depth > data.rank or updates.dims != (*indices.dims[:-1], *data.dims[depth:]):
        raise ShapeError(
            f"indices {list(indices.dims)} and updates {list(updates.dims)} "
            f"do not fit data {list(data.dims)}"
        )
    return result(same_type(data, updates), data.dims)


@rule("TensorScatter")
def tensor_scatter(
    past_cache: Info, update: Info, write_indices: Info | None = None, *, axis: int, mode: str
) -> Info:
    """The cache's shape."""
    axis = axis_of(axis, past_cache.rank)
    require(mode in ("linear", "circular"), f"mode {mode!r} is unknown")
    fits = update.rank == past_cache.rank and all(
        n == m or (i == axis and n <= m)
        for i, (n, m) in enumerate(zip(update.dims, past_cache.dims, strict=True))
    )
    require(fits and axis > 0, f"update {list(update.dims)} does not fit the cache")
    if write_indices is not None and write_indices.dims != past_cache.dims[:1]:
        raise ShapeError(f"write_indices {list(write_indices.dims)} does not fit the batch")
    return result(same_type(past_cache, update), past_cache.dims)
