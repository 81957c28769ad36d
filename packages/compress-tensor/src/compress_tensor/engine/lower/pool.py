"""Pooling over windows and over whole images."""

from __future__ import annotations

from math import prod

from ...dtype import DType
from ...graph.graph import Node
from ..lowering import Layout, Lowering
from ..registry import lower, require
from ..view import View, channels_last, row_major
from . import halves
from .window import image, window

MEAN, MAX = 1, 2  #: functions of the ``reduce`` kernel


def _pool_args(ctx: Lowering, node: Node, x: View) -> list[int]:
    attributes = ctx.attributes(node)
    kernel = tuple(attributes["kernel_shape"])
    w = window(attributes, kernel, x.shape[2:])
    return [*w.kernel, *w.strides, *w.pads, *w.dilations]


@lower("MaxPool")
def max_pool(ctx: Lowering, node: Node) -> None:
    """Plan maximum pooling, with indices if they are asked for."""
    half = halves.pooled(ctx, node)
    if half is not None:
        if half[1].size:
            ctx.emit("max_pool", [image(v) for v in half], _pool_args(ctx, node, half[0]))
        return
    x = ctx.view(node.inputs[0])
    require(x.dtype in (DType.FLOAT32, DType.INT8, DType.UINT8), f"{x.dtype.label} elements")
    require(len(x.shape) in (3, 4), f"{len(x.shape) - 2}-D pooling")
    args = _pool_args(ctx, node, x)
    out = ctx.output(node.outputs[0], _layout(x))
    operands = [image(x), image(out)]
    if len(node.outputs) > 1 and node.outputs[1]:
        operands.append(image(ctx.output(node.outputs[1])))
        args.append(int(ctx.attributes(node)["storage_order"]))
    if out.size:
        ctx.emit("max_pool", operands, args)


@lower("AveragePool")
def average_pool(ctx: Lowering, node: Node) -> None:
    """Plan average pooling."""
    x = ctx.view(node.inputs[0])
    require(x.dtype is DType.FLOAT32, f"{x.dtype.label} elements")
    require(len(x.shape) in (3, 4), f"{len(x.shape) - 2}-D pooling")
    args = _pool_args(ctx, node, x)
    out = ctx.output(node.outputs[0], _layout(x))
    if out.size:
        counted = int(ctx.attributes(node)["count_include_pad"])
        ctx.emit("average_pool", [image(x), image(out)], [*args, counted])


@lower("GlobalAveragePool", "GlobalMaxPool")
def global_pool(ctx: Lowering, node: Node) -> None:
    """Plan the mean or maximum over all pixels."""
    require(ctx.info(node.inputs[0]).dtype is DType.FLOAT32, "element type")
    mean = node.op == "GlobalAveragePool"
    x = halves.source(ctx, node.inputs[0]) if mean else ctx.view(node.inputs[0])
    out = ctx.output(node.outputs[0])
    if out.size:
        require(prod(x.shape[2:]) > 0, "an image without pixels")
        ctx.emit("reduce", [x, out], [MEAN if mean else MAX])


def _layout(x: View) -> Layout:
    """Keep channels last where they are."""
    return channels_last if x.is_channels_last() and x.shape[1] > 1 else row_major
