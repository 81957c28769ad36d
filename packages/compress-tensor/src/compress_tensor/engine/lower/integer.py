"""Integer products: ConvInteger, MatMulInteger, QLinearConv, QLinearMatMul.

A's zero point and the bias go into the start value of each sum::

    sum_k (a - za) b = sum_k a b - za sum_k b

so padding must read za.  Kernels take unsigned A and signed B: signed activations are shifted by
128 with their zero point, unsigned weights likewise.  Weights must then have zero point 0.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...dtype import DType
from ...graph.graph import Array, Node
from ...native.call import call
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View, channels_last
from ..weights import Empty
from .matrix import PANEL, merged, pad_bias, panels, rows
from .window import image, window

_BYTES = (DType.UINT8, DType.INT8)
_XOR = 17  #: function of the ``binary`` kernel
MOST_K = 65000  #: of a sum of products of bytes that stays in int32

EpilogueArgs = tuple[float, float, int, float, float, float, float, int]
INTEGERS: EpilogueArgs = (0.0, 0.0, 0, 0.0, 0.0, 0.0, 0.0, 0)  #: store the sums themselves


def pack_s8(weights: Array, empty: Empty = np.empty) -> Array:
    """Return [batch, taps, k, n] as [batch, panels, taps, quads, 16, 4]."""
    batch, taps, k, n = weights.shape
    packed = empty((batch, panels(n), taps, -(-k // 4), PANEL, 4), np.int8)
    call("pack_s8", [weights, packed])
    return packed


def pad_columns(values: Array, groups: int, dtype: Any) -> Array:
    """Return one number per column as [groups, panels * 16]."""
    if dtype is np.float32:
        return pad_bias(values, groups)
    lines = np.asarray(values, dtype).reshape(groups, -1)
    padded = np.zeros((groups, panels(lines.shape[1]) * PANEL), dtype)
    padded[:, : lines.shape[1]] = lines
    return padded


def unsigned(ctx: Lowering, view: View) -> View:
    """Return activations as unsigned bytes: signed ones plus 128."""
    if view.dtype is DType.UINT8:
        return view
    shifted = View(*_like(ctx, view))
    sign = ctx.constant(np.full((1,) * len(view.shape), -128, np.int8))
    ctx.elementwise("binary", [view, sign, shifted], [_XOR])
    return shifted.astype(DType.UINT8)


def _like(ctx: Lowering, view: View) -> tuple[Any, ...]:
    layout = channels_last if view.is_channels_last() and len(view.shape) == 4 else None
    made = ctx.temp(view.shape, view.dtype, layout) if layout else ctx.temp(view.shape, view.dtype)
    return made.buffer, made.offset, made.dtype, made.shape, made.strides


def zero_point(ctx: Lowering, name: str, dtype: DType) -> int:
    """Return a scalar zero point of activations, shifted if they are signed."""
    value = ctx.value(name) if name else np.zeros(1)
    require(value is not None, "a computed zero point")
    assert value is not None
    require(value.size == 1, "a zero point per row")
    return int(value.reshape(-1)[0]) + (128 if dtype is DType.INT8 else 0)


def signed(ctx: Lowering, name: str, zero_name: str) -> Array:
    """Return weights as signed bytes with zero point 0.

    Raises:
        NotLowered: if they cannot be brought there.
    """
    value = ctx.value(name)
    require(value is not None, "computed weights")
    assert value is not None
    require(DType.of(value.dtype) in _BYTES, "type of the weights")
    zero = ctx.value(zero_name) if zero_name else np.zeros(1, np.int64)
    require(zero is not None, "a computed zero point of the weights")
    assert zero is not None
    shift = 128 if value.dtype == np.uint8 else 0
    require(bool((zero.astype(np.int64) == shift).all()), "asymmetric weights")
    return (value.astype(np.int16) - shift).astype(np.int8)


def scales(ctx: Lowering, *names: str) -> list[Array]:
    """Return scales that are known while planning, as float32."""
    found = []
    for name in names:
        value = ctx.value(name)
        require(value is not None and value.dtype == np.float32, "scales that are not known")
        found.append(np.asarray(value))
    return found


@lower("MatMulInteger")
def matmul_integer(ctx: Lowering, node: Node) -> None:
    """Plan a product with int32 results."""
    a_name, b_name = node.inputs[:2]
    weights = signed(ctx, b_name, ctx.optional(node, 3))
    zero = zero_point(ctx, ctx.optional(node, 2), ctx.info(a_name).dtype)
    out = ctx.output(node.outputs[0], accepts=View.is_row_major)
    _matrix(ctx, node, ctx.view(a_name), weights, zero, None, out, INTEGERS)


@lower("QLinearMatMul")
def qlinear_matmul(ctx: Lowering, node: Node) -> None:
    """Plan a product with requantized results."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.inputs
    weights = signed(ctx, b, b_zero)
    zero = zero_point(ctx, a_zero, ctx.info(a).dtype)
    sa, sb, sy = scales(ctx, a_scale, b_scale, y_scale)
    require(sa.size == sy.size == 1, "a scale per row")
    multiplier = np.broadcast_to(
        (sa.reshape(()) * sb / sy.reshape(())).reshape(-1), weights.shape[-1:]
    )
    out = ctx.output(node.outputs[0], accepts=View.is_row_major)
    args = requantize_args(ctx, y_zero, out.dtype)
    _matrix(ctx, node, ctx.view(a), weights, zero, multiplier.astype(np.float32), out, args)


def requantize_args(ctx: Lowering, zero_name: str, dtype: DType) -> EpilogueArgs:
    """Return low, high and zero point for results of an 8-bit type."""
    value = ctx.value(zero_name)
    require(value is not None and value.size == 1, "zero point of the result")
    assert value is not None
    zero = int(value.reshape(-1)[0])
    low, high = dtype.integer_range
    return float(low - zero), float(high - zero), zero, 0.0, 0.0, 0.0, 0.0, 0


def _matrix(
    ctx: Lowering,
    node: Node,
    a: View,
    weights: Array,
    zero: int,
    multiplier: Array | None,
    out: View,
    args: EpilogueArgs,
) -> None:
    require(a.dtype in _BYTES and weights.ndim == 2 and len(a.shape) >= 2, "shapes or types")
    k, n = weights.shape
    require(k <= MOST_K, "a sum of more than 65,000 products")
    if not out.size:
        return
    packed = ctx.packed(node.inputs[1], ("s8", node.op), partial(pack_s8, weights[None, None]))
    start = -zero * weights.sum(axis=0, dtype=np.int64)
    source = rows(ctx, unsigned(ctx, a))
    flat = merged(source, 1)
    source = (ctx.contiguous(source) if flat is None else source).reshape((1, out.size // n, k))  # type: ignore[assignment]
    target = out.reshape((1, out.size // n, n))
    constants = [ctx.constant(pad_columns(start, 1, np.int32))]
    scale = None if multiplier is None else ctx.constant(pad_columns(multiplier, 1, np.float32))
    ctx.emit("gemm_s8", [source, packed, constants[0], scale, None, target], args)


@lower("ConvInteger")
def conv_integer(ctx: Lowering, node: Node) -> None:
    """Plan a convolution with int32 results."""
    weights = signed(ctx, node.inputs[1], ctx.optional(node, 3))
    zero = zero_point(ctx, ctx.optional(node, 2), ctx.info(node.inputs[0]).dtype)
    _conv(ctx, node, weights, zero, None, None, INTEGERS)


@lower("QLinearConv")
def qlinear_conv(ctx: Lowering, node: Node) -> None:
    """Plan a convolution with requantized results."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = node.inputs[:8]
    weights = signed(ctx, w, w_zero)
    zero = zero_point(ctx, x_zero, ctx.info(x).dtype)
    sx, sw, sy = scales(ctx, x_scale, w_scale, y_scale)
    multiplier = (sx.reshape(()) * sw / sy.reshape(())).reshape(-1).astype(np.float32)
    bias = None
    if ctx.optional(node, 8):
        bias = ctx.value(node.inputs[8])
        require(bias is not None, "computed bias")
    args = requantize_args(ctx, y_zero, ctx.info(node.outputs[0]).dtype)
    multiplier = np.broadcast_to(multiplier, weights.shape[:1])
    _conv(ctx, node, weights, zero, bias, multiplier, args)


def _conv(
    ctx: Lowering,
    node: Node,
    weights: Array,
    zero: int,
    bias: Array | None,
    multiplier: Array | None,
    args: EpilogueArgs,
) -> None:
    x = ctx.view(node.inputs[0])
    require(x.dtype in _BYTES and len(x.shape) in (3, 4), "rank or type")
    attributes = ctx.attributes(node)
    groups = int(attributes["group"])
    w = window(attributes, weights.shape[2:], x.shape[2:])
    kernel = weights if weights.ndim == 4 else weights[:, :, None]
    oc, ic, kh, kw = kernel.shape
    require(ic * kh * kw <= MOST_K, "a sum of more than 65,000 products")
    out = ctx.output(node.outputs[0], channels_last, View.is_channels_last)
    if not out.size:
        return
    split = kernel.reshape(groups, oc // groups, ic, kh * kw).transpose(0, 3, 2, 1)
    packed = ctx.packed(node.inputs[1], ("conv_s8", groups), partial(pack_s8, split))
    start = -zero * kernel.sum(axis=(1, 2, 3), dtype=np.int64)
    start = start if bias is None else start + bias.astype(np.int64)
    require(bool((abs(start) < 2**31).all()), "a bias beyond int32")
    source = unsigned(ctx, x)
    source = source if source.is_channels_last() else ctx.contiguous(source, channels_last)
    scale = (
        None if multiplier is None else ctx.constant(pad_columns(multiplier, groups, np.float32))
    )
    starts = ctx.constant(pad_columns(start, groups, np.int32))
    operands = [image(source), packed, starts, scale, None, image(out)]
    ctx.emit("conv_s8", operands, [*w.words(), groups, zero, *args])
