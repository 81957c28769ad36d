"""Quantize and dequantize.

A dequantized value stays codes until a kernel asks for floats: integer kernels read the codes.
"""

from __future__ import annotations

import numpy as np

from ...dtype import DType
from ...graph.graph import Node
from ..lowering import Lowering
from ..quantized import Quantized
from ..registry import lower, require
from ..view import Kind, View
from .frame import is_framed
from .window import window

_CODES = (DType.UINT8, DType.INT8, DType.UINT16, DType.INT16)


def along_axis(ctx: Lowering, name: str, x: View, axis: int) -> View:
    """Return a scale or zero point so that it broadcasts over ``x``: per tensor or per axis."""
    view = ctx.view(name)
    if view.size == 1 and len(view.shape) <= 1:
        found = view.reshape((1,) * len(x.shape))
        assert found is not None
        return found
    require(len(view.shape) == 1, "a scale per block")
    shape = [1] * len(x.shape)
    shape[axis] = view.shape[0]
    found = view.reshape(shape)
    assert found is not None
    return found


@lower("QuantizeLinear")
def quantize_linear(ctx: Lowering, node: Node) -> None:
    """Plan clip(rint(x / scale) + zero); an alias where x already lies on that grid."""
    name, out_name = node.inputs[0], node.outputs[0]
    target = ctx.info(out_name).dtype
    scale = ctx.info(node.inputs[1])
    require(scale.dtype is DType.FLOAT32, f"{scale.dtype.label} scales")
    if name in ctx.quantized:
        grid = grid_of(ctx, node, out_name, target)
        if grid is not None and ctx.quantized[name].same_grid(grid):
            ctx.define(out_name, ctx.view(ctx.quantized[name].codes))
            return
    x = ctx.view(name)
    require(x.dtype is DType.FLOAT32 and target in _CODES, f"{x.dtype.label} to {target.label}")
    if out_name not in ctx.late and x.buffer.kind is Kind.INPUT and _is_framed(ctx, node):
        ctx.late[out_name] = node
        return
    axis = int(ctx.attributes(node)["axis"]) % max(len(x.shape), 1)
    zero = ctx.optional(node, 2)
    operands = [along_axis(ctx, node.inputs[1], x, axis)]
    zeros = along_axis(ctx, zero, x, axis) if zero else None
    out = ctx.output(out_name, ctx.like(name))
    ctx.elementwise("quantize_linear", [x, *operands, zeros, out])


def _is_framed(ctx: Lowering, node: Node) -> bool:
    """Whether codes are read by one convolution, that lays its image into a frame itself."""
    again = ctx.only_consumer(node.outputs[0])
    conv = None if again is None else ctx.only_consumer(again.outputs[0])
    if again is None or again.op != "DequantizeLinear" or conv is None or conv.op != "Conv":
        return False
    size, kernel = ctx.info(conv.inputs[0]).dims, ctx.info(conv.inputs[1]).dims
    if ctx.info(node.outputs[0]).dtype is not DType.UINT8 or not len(size) == len(kernel) in (3, 4):
        return False
    grids = [grid_of(ctx, each, node.outputs[0], DType.UINT8) for each in (node, again)]
    if grids[0] is None or grids[1] is None or not grids[0].same_grid(grids[1]):
        return False
    attributes = ctx.attributes(conv)
    w = window(attributes, kernel[2:], size[2:])
    return is_framed(size[1], w, int(attributes["group"]))


@lower("DequantizeLinear")
def dequantize_linear(ctx: Lowering, node: Node) -> None:
    """Defer (q - zero) * scale until floats are asked for."""
    name, out_name = node.inputs[0], node.outputs[0]
    dtype = ctx.info(name).dtype
    require(dtype in (*_CODES, DType.INT32), f"{dtype.label} elements")
    require(ctx.info(node.inputs[1]).dtype is DType.FLOAT32, "scales of another type")
    target = ctx.info(out_name).dtype
    require(target is DType.FLOAT32, f"{target.label} results")
    grid = grid_of(ctx, node, name, dtype)
    if grid is not None and out_name not in ctx.outputs:
        if name not in ctx.late:
            ctx.view(name)
        ctx.defer(out_name, grid)
        return
    x = ctx.view(name)
    axis = int(ctx.attributes(node)["axis"]) % max(len(x.shape), 1)
    zero = ctx.optional(node, 2)
    operands = [along_axis(ctx, node.inputs[1], x, axis)]
    zeros = along_axis(ctx, zero, x, axis) if zero else None
    out = ctx.output(out_name, ctx.like(name))
    ctx.elementwise("dequantize_linear", [x, *operands, zeros, out])


def grid_of(ctx: Lowering, node: Node, codes: str, dtype: DType) -> Quantized | None:
    """Return the grid of a QuantizeLinear or DequantizeLinear whose parameters are known."""
    scale = ctx.value(node.inputs[1])
    zero_name = ctx.optional(node, 2)
    zero = ctx.value(zero_name) if zero_name else None
    if scale is None or (zero_name and zero is None) or scale.ndim > 1:
        return None
    if zero is None:
        zero = np.zeros(scale.shape, dtype.numpy)
    rank = len(ctx.info(codes).dims)
    axis = int(ctx.attributes(node)["axis"]) % max(rank, 1)
    if scale.size > 1 and (rank == 0 or ctx.info(codes).dims[axis] != scale.size):
        return None
    return Quantized(codes, scale, zero.reshape(scale.shape), axis, node)


@lower("DynamicQuantizeLinear")
def dynamic_quantize_linear(ctx: Lowering, node: Node) -> None:
    """Plan quantization by the range of the tensor itself."""
    x = ctx.view(node.inputs[0])
    require(x.size > 0, "an empty tensor")
    names = [*node.outputs, "", ""][:3]
    outs = [
        ctx.output(name) if name else ctx.temp(x.shape if i == 0 else (), dtype)
        for i, (name, dtype) in enumerate(
            zip(names, (DType.UINT8, DType.FLOAT32, DType.UINT8), strict=True)
        )
    ]
    ctx.emit("dynamic_quantize_linear", [x, *outs])
