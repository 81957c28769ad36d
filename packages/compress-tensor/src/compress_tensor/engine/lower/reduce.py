"""Reductions, positions of extremes, running sums, sorting."""

from __future__ import annotations

import numpy as np

from ...dtype import DType
from ...graph.graph import Node
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View, row_major
from . import halves

FUNCTIONS = {
    "ReduceSum": 0,
    "ReduceMean": 1,
    "ReduceMax": 2,
    "ReduceMin": 3,
    "ReduceProd": 4,
    "ReduceSumSquare": 5,
    "ReduceL1": 6,
    "ReduceL2": 7,
    "ReduceLogSum": 8,
    "ReduceLogSumExp": 9,
}
MEAN = 1
_SUMS = {0, 2, 3, 4}
_EXTREMES = {2, 3}
_SORTABLE = {DType.FLOAT32, DType.INT32, DType.INT64, DType.UINT8, DType.INT8}


@lower(*FUNCTIONS)
def reduce(ctx: Lowering, node: Node) -> None:
    """Plan a reduction over any set of axes."""
    code = FUNCTIONS[node.op]
    x = halves.source(ctx, node.inputs[0]) if code == MEAN else ctx.view(node.inputs[0])
    allowed = (
        x.dtype in (DType.FLOAT32, DType.BFLOAT16)
        or (x.dtype in (DType.INT32, DType.INT64) and code in _SUMS)
        or (x.dtype in (DType.UINT8, DType.INT8) and code in _EXTREMES)
    )
    require(allowed, f"{x.dtype.label} elements")
    attributes = ctx.attributes(node)
    axes_name = ctx.optional(node, 1)
    axes = ctx.value(axes_name) if axes_name else None
    require(axes is not None or not axes_name, "axes are not known")
    rank = len(x.shape)
    if axes is None or axes.size == 0:
        if attributes["noop_with_empty_axes"]:
            require(code in (0, 1, 2, 3, 4), "an elementwise reduction")
            ctx.define(node.outputs[0], ctx.view(node.inputs[0]))
            return
        chosen = set(range(rank))
    else:
        chosen = {int(axis) % rank for axis in axes.reshape(-1)}
    kept = tuple(1 if i in chosen else n for i, n in enumerate(x.shape))
    out = ctx.output(node.outputs[0])
    target = out.reshape(kept)
    if target is None:  # cannot happen for a result of our own making
        target = ctx.temp(kept, out.dtype, row_major)
    if target.size:
        require(x.size > 0 or code in (0, 5, 6, 7), "an empty reduction")
        ctx.emit("reduce", [*_merged(x, target)], [code])


def _merged(x: View, out: View) -> tuple[View, View]:
    """Merge neighbouring dims that are both kept or both reduced, where strides allow."""
    dims: list[tuple[int, int, int, int]] = []  # size, size in out, strides
    for n, m, a, b in zip(x.shape, out.shape, x.strides, out.strides, strict=True):
        if n == 1:
            continue
        if dims:
            size, kept, step, target = dims[-1]
            reduced = m == 1 and kept == 1
            both = m == n and kept == size
            if step == a * n and (reduced or (both and target == b * m)):
                dims[-1] = (size * n, 1 if reduced else size * n, a, b)
                continue
        dims.append((n, m, a, b))
    sizes = tuple(d[0] for d in dims)
    kept_sizes = tuple(d[1] for d in dims)
    source = View(x.buffer, x.offset, x.dtype, sizes, tuple(d[2] for d in dims))
    return source, View(out.buffer, out.offset, out.dtype, kept_sizes, tuple(d[3] for d in dims))


@lower("ArgMax", "ArgMin")
def arg_extreme(ctx: Lowering, node: Node) -> None:
    """Plan the position of the largest or smallest element."""
    x = ctx.view(node.inputs[0])
    require(x.dtype in _SORTABLE, f"{x.dtype.label} elements")
    attributes = ctx.attributes(node)
    axis = int(attributes["axis"]) % len(x.shape)
    require(x.shape[axis] > 0, "an empty axis")
    kept = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    target = ctx.output(node.outputs[0]).reshape(kept)
    assert target is not None
    kernel = "argmax" if node.op == "ArgMax" else "argmin"
    ctx.emit(kernel, [x, target], [axis, int(attributes["select_last_index"])])


@lower("CumSum")
def cumsum(ctx: Lowering, node: Node) -> None:
    """Plan running sums along an axis."""
    x = ctx.view(node.inputs[0])
    require(x.dtype in (DType.FLOAT32, DType.INT32, DType.INT64), f"{x.dtype.label} elements")
    axis = ctx.value(node.inputs[1])
    require(axis is not None, "the axis is not known")
    assert axis is not None
    attributes = ctx.attributes(node)
    out = ctx.output(node.outputs[0])
    args = [int(np.reshape(axis, -1)[0]) % len(x.shape), int(attributes["exclusive"])]
    ctx.emit("cumsum", [x, out], [*args, int(attributes["reverse"])])


@lower("TopK")
def top_k(ctx: Lowering, node: Node) -> None:
    """Plan the k largest or smallest elements and their positions."""
    x = ctx.view(node.inputs[0])
    require(x.dtype in _SORTABLE, f"{x.dtype.label} elements")
    attributes = ctx.attributes(node)
    axis = int(attributes["axis"]) % len(x.shape)
    shape = ctx.info(node.outputs[0] or node.outputs[1]).dims
    pair = [
        ctx.output(name) if name else ctx.temp(shape, dtype)
        for name, dtype in zip(node.outputs, (x.dtype, DType.INT64), strict=False)
    ]
    if len(pair) == 1:
        pair.append(ctx.temp(shape, DType.INT64))
    args = [axis, int(attributes["largest"]), int(attributes["sorted"])]
    ctx.emit("top_k", [x, *pair], args)
