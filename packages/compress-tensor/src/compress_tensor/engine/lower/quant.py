"""Quantize, dequantize, and what goes with them."""

from __future__ import annotations

from ...dtype import DType
from ...graph.graph import Node
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View

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


@lower("QuantizeLinear", "DequantizeLinear")
def quantize_linear(ctx: Lowering, node: Node) -> None:
    """Plan the elementwise forms: clip(rint(x / scale) + zero) and (q - zero) * scale."""
    x = ctx.view(node.inputs[0])
    scale = ctx.info(node.inputs[1])
    require(scale.dtype is DType.FLOAT32, f"{scale.dtype.label} scales")
    target = ctx.info(node.outputs[0]).dtype
    if node.op == "QuantizeLinear":
        require(x.dtype is DType.FLOAT32 and target in _CODES, f"{x.dtype.label} to {target.label}")
    else:
        require(x.dtype in (*_CODES, DType.INT32), f"{x.dtype.label} elements")
        require(target is DType.FLOAT32, f"{target.label} results")
    attributes = ctx.attributes(node)
    axis = int(attributes["axis"]) % max(len(x.shape), 1)
    zero = ctx.optional(node, 2)
    operands = [along_axis(ctx, node.inputs[1], x, axis)]
    zeros = along_axis(ctx, zero, x, axis) if zero else None
    out = ctx.output(node.outputs[0], ctx.like(node.inputs[0]))
    kernel = "quantize_linear" if node.op == "QuantizeLinear" else "dequantize_linear"
    ctx.elementwise(kernel, [x, *operands, zeros, out])


@lower("DynamicQuantizeLinear")
def dynamic_quantize_linear(ctx: Lowering, node: Node) -> None:
    """Plan quantization by the range of the tensor itself."""
    x = ctx.contiguous(ctx.view(node.inputs[0]))
    require(x.size > 0, "an empty tensor")
    outs = [
        ctx.output(name) if name else ctx.temp(x.shape if i == 0 else (), dtype)
        for i, (name, dtype) in enumerate(
            zip(node.outputs, (DType.UINT8, DType.FLOAT32, DType.UINT8), strict=True)
        )
    ]
    ctx.emit("dynamic_quantize_linear", [x, *outs])
