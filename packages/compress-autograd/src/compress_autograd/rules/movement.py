"""Derivatives of operators that move elements."""

from __future__ import annotations

from typing import Any

import numpy as np

import compress_tensor as ct
from compress_tensor import Tensor
from compress_tensor.eager import run

from ..unbroadcast import unbroadcast
from ..views import embed
from .registry import RULES, Rule, rule


def _shaped(g: Tensor, call: Any) -> Tensor:
    return g.reshape(call.shape(0))


for _op in ("Reshape", "Flatten", "Squeeze", "Unsqueeze"):
    RULES[_op] = Rule(_op, {0: _shaped})


@rule("Transpose", 0)
def transpose(g: Tensor, *, perm: list[int] | None) -> Tensor:
    """Move back."""
    return g.T if perm is None else g.transpose([perm.index(i) for i in range(len(perm))])


@rule("Expand", 0)
def expand(g: Tensor, call: Any) -> Tensor:
    """Add up what was repeated."""
    return unbroadcast(g, call.shape(0))


@rule("Concat")
def concat(g: Tensor, call: Any, *, axis: int) -> list[Tensor | None]:
    """Cut."""
    found: list[Tensor | None] = []
    start = 0
    for n, need in enumerate(call.needs):
        size = call.shape(n)[axis]
        found.append(g.narrow(axis, start, size) if need else None)
        start += size
    return found


@rule("Split")
def split(gs: Any, call: Any, *, axis: int) -> Tensor:
    """Join."""
    known = next(g for g in gs if g is not None)
    parts = zip(gs, call.shapes, strict=True)
    return ct.concat([ct.zeros(s, dtype=known.dtype) if g is None else g for g, s in parts], axis)


@rule("Slice", 0)
def slice_(g: Tensor, starts: Any, axes: Any, steps: Any, call: Any) -> Tensor:
    """Put back, zeros around."""
    shape = call.shape(0)
    first, stride = [0] * len(shape), [1] * len(shape)
    begins = np.asarray(starts).reshape(-1).tolist()
    where = range(len(begins)) if axes is None else np.asarray(axes).reshape(-1).tolist()
    jumps = [1] * len(begins) if steps is None else np.asarray(steps).reshape(-1).tolist()
    for begin, axis, step in zip(begins, where, jumps, strict=True):
        n = shape[axis]
        begin = begin + n if begin < 0 else begin
        first[axis] = min(max(begin, 0), n if step > 0 else n - 1)
        stride[axis] = step
    return embed(g, shape, first, stride)


@rule("Tile", 0)
def tile(g: Tensor, repeats: Any, call: Any) -> Tensor:
    """Add up the copies."""
    pairs = zip(np.asarray(repeats).tolist(), call.shape(0), strict=True)
    wide = g.reshape([n for pair in pairs for n in pair])
    return ct.sum(wide, list(range(0, wide.ndim, 2))) if wide.ndim else g


@rule("Pad", 0)
def pad(g: Tensor, pads: Any, axes: Any, call: Any, *, mode: str) -> Tensor:
    """Cut the border off; what it repeated is added to what was repeated."""
    shape = call.shape(0)
    widths = np.asarray(pads).reshape(-1).tolist()
    where = list(range(len(shape))) if axes is None else np.asarray(axes).reshape(-1).tolist()
    before, after = [0] * len(shape), [0] * len(shape)
    for n, axis in enumerate(where):
        before[axis], after[axis] = widths[n], widths[len(where) + n]
    if mode == "constant":
        return embed(g, shape, [-n for n in before], [1] * len(shape))
    for axis, n in enumerate(shape):
        if before[axis] or after[axis]:
            low, high = max(before[axis], 0), max(after[axis], 0)
            places = np.pad(np.arange(n), (low, high), mode=mode)  # type: ignore[call-overload]
            end = len(places) + min(after[axis], 0)
            g = gather_back(g, places[low - before[axis] : end], axis, n)
    return g


def gather_back(g: Tensor, indices: Any, axis: int, size: int) -> Tensor:
    """Return the gradient of what was gathered along a dimension: added up by index.

    Args:
        g: the gradient of the slices, the indices' dimensions standing at ``axis``.
        indices: integers of any shape.
        axis: the dimension of the source.
        size: of that dimension.
    """
    places = ct.asarray(indices)
    count = places.ndim
    axis %= g.ndim - count + 1
    rest = [i for i in range(g.ndim) if not axis <= i < axis + count]
    rows = g.transpose([*range(axis, axis + count), *rest])
    outer = tuple(g.shape[i] for i in rest)
    zeros = ct.zeros((size, *outer), dtype=g.dtype)
    found = run(
        "ScatterND",
        (zeros, places.reshape((places.size, 1)), rows.reshape((places.size, *outer))),
        (("reduction", "add"),),
    )
    order = list(range(1, found.ndim))
    order.insert(axis, 0)
    return found.transpose(order)


@rule("Gather", 0)
def gather(g: Tensor, indices: Any, call: Any, *, axis: int) -> Tensor:
    """Add up by index."""
    return gather_back(g, indices, axis, call.shape(0)[axis])


@rule("GatherElements", 0)
def gather_elements(g: Tensor, indices: Tensor, call: Any, *, axis: int) -> Tensor:
    """Add up by index."""
    return ct.scatter(ct.zeros(call.shape(0), dtype=g.dtype), axis, indices, g, "add")


@rule("GatherND", 0)
def gather_nd(g: Tensor, indices: Any, call: Any, *, batch_dims: int) -> Tensor:
    """Add up by index."""
    places = np.asarray(indices)
    for axis in reversed(range(batch_dims)):
        own = np.arange(places.shape[axis]).reshape(
            [-1 if i == axis else 1 for i in range(places.ndim)]
        )
        places = np.concatenate([np.broadcast_to(own, (*places.shape[:-1], 1)), places], -1)
    zeros = ct.zeros(call.shape(0), dtype=g.dtype)
    return run("ScatterND", (zeros, ct.asarray(places), g), (("reduction", "add"),))


@rule("ScatterElements", 0)
def scatter_data(g: Tensor, indices: Tensor, *, axis: int, reduction: str) -> Tensor:
    """Pass what was not replaced."""
    _only_none_or_add("ScatterElements", reduction)
    return g if reduction == "add" else ct.scatter(g, axis, indices, 0.0)


@rule("ScatterElements", 2)
def scatter_updates(g: Tensor, indices: Tensor, *, axis: int, reduction: str) -> Tensor:
    """Take what was put."""
    _only_none_or_add("ScatterElements", reduction)
    return ct.gather(g, axis, indices)


@rule("ScatterND", 0)
def scatter_nd_data(g: Tensor, indices: Tensor, call: Any, *, reduction: str) -> Tensor:
    """Pass what was not replaced."""
    _only_none_or_add("ScatterND", reduction)
    if reduction == "add":
        return g
    return run("ScatterND", (g, indices, ct.zeros(call.shape(2), dtype=g.dtype)))


@rule("ScatterND", 2)
def scatter_nd_updates(g: Tensor, indices: Tensor, *, reduction: str) -> Tensor:
    """Take what was put."""
    _only_none_or_add("ScatterND", reduction)
    return run("GatherND", (g, indices))


def _only_none_or_add(op: str, reduction: str) -> None:
    if reduction not in ("none", "add"):
        raise ct.UnsupportedError(f"{op} has no derivative for the reduction {reduction!r}")


@rule("TopK", 0)
def top_k(gs: Any, ys: Any, call: Any, *, axis: int) -> Tensor | None:
    """Put the values back."""
    if gs[0] is None:
        return None
    zeros = ct.zeros(call.shape(0), dtype=gs[0].dtype)
    return ct.scatter(zeros, axis, ys[1], gs[0], "add")


@rule("Trilu", 0)
def trilu(g: Tensor, k: Any, *, upper: int) -> Tensor:
    """Pass the triangle."""
    return run("Trilu", (g, None if k is None else np.asarray(k)), (("upper", upper),))


@rule("ReverseSequence", 0)
def reverse_sequence(
    g: Tensor, sequence_lens: Tensor, *, batch_axis: int, time_axis: int
) -> Tensor:
    """Reverse again."""
    attributes = (("batch_axis", batch_axis), ("time_axis", time_axis))
    return run("ReverseSequence", (g, sequence_lens), attributes)


@rule("Compress", 0)
def compress(g: Tensor, condition: Any, call: Any, *, axis: int | None) -> Tensor:
    """Put back, zeros elsewhere."""
    places, shape = np.flatnonzero(np.asarray(condition)), call.shape(0)
    if axis is None:
        return gather_back(g, places, 0, int(np.prod(shape))).reshape(shape)
    return gather_back(g, places, axis, shape[axis])


@rule("Resize", 0)
def resize(g: Tensor, call: Any) -> Tensor:
    """Multiply by the transpose of what resized each dimension."""
    shape, sizes = call.shape(0), call.shapes[0]
    given = [pair for pair in call.given if pair[0] not in ("axes", "keep_aspect_ratio_policy")]
    _, roi, scales = (*call.inputs[:3], None, None)[:3]
    for axis, (n, m) in enumerate(zip(shape, sizes, strict=True)):
        factor = _scale_of(call, scales, axis, len(shape))
        if n == m and factor in (None, 1.0):
            continue
        part = _roi_of(call, roi, axis, len(shape))
        ends = None if part is None else np.array([0, part[0], 1, part[1]], np.float32)
        known: Any = (None, np.array([n, m], np.int64))
        if factor is not None:
            known = (np.array([1, factor], np.float32), None)
        rows = run("Resize", (ct.eye(n, dtype=g.dtype), ends, *known), tuple(given))
        moved = g.swapaxes(axis, g.ndim - 1)
        g = ct.matmul(moved, rows.T).swapaxes(axis, g.ndim - 1)
    return g


def _per_axis(call: Any, rank: int) -> list[int]:
    axes = call.attributes["axes"]
    return list(range(rank)) if axes is None else [a % rank for a in axes]


def _scale_of(call: Any, scales: Any, axis: int, rank: int) -> float | None:
    if scales is None or not isinstance(scales, np.ndarray) or not scales.size:
        return None
    axes = _per_axis(call, rank)
    return float(scales[axes.index(axis)]) if axis in axes else 1.0


def _roi_of(call: Any, roi: Any, axis: int, rank: int) -> tuple[float, float] | None:
    if roi is None or not isinstance(roi, np.ndarray) or not roi.size:
        return None
    axes = _per_axis(call, rank)
    if axis not in axes:
        return 0.0, 1.0
    at = axes.index(axis)
    return float(roi[at]), float(roi[len(axes) + at])
