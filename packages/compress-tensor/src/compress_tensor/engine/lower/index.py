"""Operators that read or write at computed positions."""

from __future__ import annotations

import numpy as np

from ...dtype import DType
from ...graph.graph import Node
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View
from .elementwise import MOVABLE

REDUCTIONS = {"none": 0, "add": 1, "mul": 2, "max": 3, "min": 4}
_REDUCIBLE = {DType.FLOAT32, DType.INT32, DType.INT64, DType.UINT8, DType.INT8}
_INDICES = (DType.INT32, DType.INT64)


def _operands(ctx: Lowering, node: Node) -> list[View]:
    require(ctx.info(node.inputs[0]).dtype in MOVABLE, "element type")
    require(ctx.info(node.inputs[1]).dtype in _INDICES, "type of the indices")
    return [ctx.view(name) for name in node.inputs]


@lower("Gather")
def gather(ctx: Lowering, node: Node) -> None:
    """Plan reading slices along an axis; one known index is a view."""
    data, indices = _operands(ctx, node)
    axis = int(ctx.attributes(node)["axis"]) % len(data.shape)
    value = ctx.value(node.inputs[1])
    if value is not None and value.ndim == 0 and -data.shape[axis] <= value < data.shape[axis]:
        one = data.slice(axis, int(value) % data.shape[axis], 1)
        shape = (*data.shape[:axis], *data.shape[axis + 1 :])
        view = one.reshape(shape)
        if view is not None:
            ctx.define(node.outputs[0], view)
            return
    out = ctx.output(node.outputs[0])
    if out.size:
        ctx.emit("gather", [data, indices, out], [axis])


@lower("GatherElements")
def gather_elements(ctx: Lowering, node: Node) -> None:
    """Plan reading single elements along an axis."""
    data, indices = _operands(ctx, node)
    axis = int(ctx.attributes(node)["axis"]) % len(data.shape)
    out = ctx.output(node.outputs[0])
    if out.size:
        ctx.emit("gather_elements", [data, indices, out], [axis])


@lower("GatherND")
def gather_nd(ctx: Lowering, node: Node) -> None:
    """Plan reading slices at index tuples."""
    data, indices = _operands(ctx, node)
    out = ctx.output(node.outputs[0])
    if out.size:
        ctx.emit("gather_nd", [data, indices, out], [int(ctx.attributes(node)["batch_dims"])])


@lower("ScatterElements", "ScatterND")
def scatter(ctx: Lowering, node: Node) -> None:
    """Plan writing elements or slices at computed positions into a copy of the data."""
    data, indices, updates = _operands(ctx, node)
    attributes = ctx.attributes(node)
    reduction = attributes["reduction"]
    code = REDUCTIONS[reduction]
    require(code == 0 or data.dtype in _REDUCIBLE, f"reduction of {data.dtype.label}")
    out = ctx.output(node.outputs[0])
    if not out.size:
        return
    if node.op == "ScatterND":
        ctx.emit("scatter_nd", [data, indices, updates, out], [code])
    else:
        axis = int(attributes["axis"]) % len(data.shape)
        ctx.emit("scatter_elements", [data, indices, updates, out], [axis, code])


@lower("OneHot")
def one_hot(ctx: Lowering, node: Node) -> None:
    """Plan rows with one element set."""
    indices, values = ctx.view(node.inputs[0]), ctx.view(node.inputs[2])
    require(indices.dtype in _INDICES, "type of the indices")
    require(values.dtype in MOVABLE, "element type")
    out = ctx.output(node.outputs[0])
    axis = int(ctx.attributes(node)["axis"]) % len(out.shape)
    if out.size:
        ctx.emit("one_hot", [indices, values, out], [axis])


@lower("ReverseSequence")
def reverse_sequence(ctx: Lowering, node: Node) -> None:
    """Plan reversal as views, when the lengths are known."""
    lengths = ctx.value(node.inputs[1])
    require(lengths is not None and lengths.size <= 64, "lengths are not known")
    data = ctx.view(node.inputs[0])
    require(data.dtype in MOVABLE, "element type")
    attributes = ctx.attributes(node)
    batch, time = int(attributes["batch_axis"]), int(attributes["time_axis"])
    out = ctx.output(node.outputs[0])
    for i, length in enumerate(np.asarray(lengths).tolist()):
        source, target = data.slice(batch, i, 1), out.slice(batch, i, 1)
        rest = data.shape[time] - length
        if length:
            ctx.copy(source.slice(time, length - 1, length, -1), target.slice(time, 0, length))
        if rest:
            ctx.copy(source.slice(time, length, rest), target.slice(time, length, rest))
