"""Convolutions, channels-last: as a product, through window pointers, or per channel."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...dtype import DType
from ...graph.graph import Array, Node
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View, channels_last
from ..weights import Empty
from . import half_products, halves, winograd
from .epilogue import Epilogue, absorb
from .frame import frame, is_framed
from .matrix import PANEL, floats, pack, pad_bias, panels
from .window import Window, image, is_plain, pixels_as_rows, sampled, window


@lower("Conv")
def conv(ctx: Lowering, node: Node) -> None:
    """Plan a 1-D or 2-D convolution with its bias, residual and clip."""
    floats(ctx, *node.inputs)
    size, shape = ctx.info(node.inputs[0]).dims, ctx.info(node.inputs[1]).dims
    require(len(size) in (3, 4), f"{len(size) - 2}-D convolution")
    attributes = ctx.attributes(node)
    groups = int(attributes["group"])
    w = window(attributes, shape[2:], size[2:])
    depthwise = groups == size[1] == shape[0] and groups > 1
    bias_name = ctx.optional(node, 2)
    bias = ctx.value(bias_name) if bias_name else None
    if bias_name and bias is None:
        done = Epilogue(node.outputs[0])
    else:
        done = absorb(ctx, node.outputs[0], 1, bias, residual=not depthwise)
    if halves.is_half_depthwise(ctx, node) and halves.only_rounded(ctx, done.output):
        _half_depthwise(ctx, node, w, done)
        done.finish(ctx)
        return
    plain_bias = bias is not None or not bias_name
    three = w.kernel == (3, 3)
    finite = (three or any(w.pads)) and is_finite(ctx.value(node.inputs[1]))
    half = halves.is_half(ctx, node)
    if half:
        out = half_products.target(ctx, done.output, done.residual, last=True)
    else:
        tile = _winograd_tile(ctx, node, w, groups) if three and finite else 0
        over = [done.residual] if done.residual and not tile and not _collides(size[1]) else []
        out = ctx.output(done.output, channels_last, View.is_channels_last, over)
    finite = finite and plain_bias and any(w.pads)
    if out.size:
        if half:
            rows = bias_rows(ctx, bias_name, done.bias, groups)
            _half(ctx, node, w, groups, rows, finite, done, out)
        elif depthwise:
            x, rows = ctx.view(node.inputs[0]), bias_rows(ctx, bias_name, done.bias, 0)
            _depthwise(ctx, node.inputs[1], image(x), w, rows, done, image(out))
        else:
            x, rows = image(ctx.view(node.inputs[0])), bias_rows(ctx, bias_name, done.bias, groups)
            if tile:
                _winograd(ctx, x, node.inputs[1], w, tile, rows, done, image(out))
            else:
                packed = packed_kernel(ctx, node.inputs[1], groups)
                dense(ctx, x, packed, w, groups, rows, finite, done, image(out))
    done.finish(ctx)


def _collides(channels: int) -> bool:
    """Whether pixels of so many floats share sets of the cache (libcore's product.c).

    Sums of parts of such rows are kept in the result, which must not be what is added to them.
    """
    return channels * 4 % 4096 == 0


def _winograd_tile(ctx: Lowering, node: Node, w: Window, groups: int) -> int:
    """Return the tile of Winograd's filtering for a 3 x 3 convolution, 0 for none."""
    if (w.strides, w.dilations, groups) != ((1, 1), (1, 1), 1):
        return 0
    out = ctx.info(node.outputs[0]).dims
    channels = ctx.info(node.inputs[0]).dims[1]
    return winograd.best_tile(channels, out[1], out[-2], out[-1], ctx.options.winograd)


def _winograd(
    ctx: Lowering,
    x: View,
    name: str,
    w: Window,
    tile: int,
    bias: View | None,
    done: Epilogue,
    out: View,
) -> None:
    packed = ctx.packed(
        name, ("winograd", tile), partial(winograd.pack_kernel, ctx.known(name), tile)
    )
    operands = [in_channels_last(ctx, x), packed, bias, _residual(ctx, done), out]
    ctx.emit("conv_winograd_f32", operands, [tile, *w.pads[:2], done.low, done.high])


def _residual(ctx: Lowering, done: Epilogue) -> View | None:
    if not done.residual:
        return None
    return in_channels_last(ctx, image(ctx.view(done.residual)))


def bias_rows(ctx: Lowering, name: str, known: Array | None, groups: int) -> View | None:
    """Return the bias, padded to whole panels per group (groups 0: as it is)."""
    if known is not None:
        return ctx.constant(pad_bias(known, groups) if groups else known)
    if not name:
        return None
    view = ctx.contiguous(ctx.view(name))
    if not groups:
        return view
    columns = view.size // groups
    rows = ctx.temp((groups, panels(columns) * PANEL), view.dtype)
    ctx.elementwise("fill", [rows], [0])
    source = view.reshape((groups, columns))
    assert source is not None
    ctx.copy(source, rows.slice(1, 0, columns))
    return rows


def _depthwise(
    ctx: Lowering, name: str, x: View, w: Window, bias: View | None, done: Epilogue, out: View
) -> None:
    kernel = ctx.value(name)
    if kernel is None:
        taps = ctx.reshaped(ctx.view(name), (x.shape[1], w.kernel[0] * w.kernel[1]))
        packed = ctx.contiguous(taps.transpose((1, 0)))
    else:
        rows = kernel.reshape(kernel.shape[0], -1).T
        packed = ctx.packed(name, "depthwise", lambda empty: np.ascontiguousarray(rows))
    operands = [in_channels_last(ctx, x), packed, bias, out]
    ctx.emit("depthwise_f32", operands, [*w.words(), done.low, done.high])


def _half_depthwise(ctx: Lowering, node: Node, w: Window, done: Epilogue) -> None:
    """Emit a depthwise convolution from and to bfloat16."""
    out = halves.stored(ctx, done.output, channels_last)
    x = halves.operand(ctx, node.inputs[0], last=True)
    kernel = ctx.known(node.inputs[1])
    taps = kernel.reshape(kernel.shape[0], -1).T
    packed = ctx.packed(node.inputs[1], "depthwise_bf16", lambda empty: halves.split_lanes(taps))
    bias = None
    if done.bias is not None:
        bias = ctx.constant(halves.split_lanes(done.bias[None])[:, 0])
    if out.size:
        args = [*w.words(), done.low, done.high]
        ctx.emit("depthwise_bf16", [image(x), packed, bias, image(out)], args)


def _half(
    ctx: Lowering,
    node: Node,
    w: Window,
    groups: int,
    bias: View | None,
    finite: bool,
    done: Epilogue,
    out: View,
) -> None:
    """Emit a convolution with bfloat16 operands."""
    channels = ctx.info(node.inputs[0]).dims[1]
    added = half_products.residual(ctx, done.residual, out, last=True)
    if is_framed(channels, w, groups):
        x, w = frame(ctx, image(ctx.view(node.inputs[0])), w, DType.BFLOAT16)
    else:
        x = image(halves.operand(ctx, node.inputs[0], last=True))
    packed = half_products.packed_kernel(ctx, node.inputs[1], groups, x.shape[1] // groups)
    residual = None if added is None else image(added)
    _products(ctx, "bf16", x, packed, w, groups, bias, residual, finite, done, image(out))


def is_finite(kernel: Array | None) -> bool:
    """Whether weights are known and finite, in bfloat16 too: zeros times them are zeros."""
    most = 1e38
    return kernel is not None and kernel.size > 0 and -most < kernel.min() <= kernel.max() < most


def in_channels_last(ctx: Lowering, view: View) -> View:
    """Return an image with its channels side by side, copied if they are not."""
    return view if view.is_channels_last() else ctx.contiguous(view, channels_last)


def pack_kernel(kernel: Array, groups: int, empty: Empty = np.empty) -> Array:
    """Return [OC, IC, KH, KW] as [groups, panels, KH * KW * IC, 16]."""
    oc, ic, kh, kw = kernel.shape
    split = kernel.reshape(groups, oc // groups, ic, kh * kw).transpose(0, 3, 2, 1)
    return pack(split, empty)


def packed_kernel(ctx: Lowering, name: str, groups: int) -> View:
    """Return the packed kernel of a convolution: once if it is constant, else by records."""
    kernel = ctx.value(name)
    if kernel is not None:
        wide = kernel if kernel.ndim == 4 else kernel[:, :, None]
        return ctx.packed(name, ("conv", groups), partial(pack_kernel, wide, groups))
    return packed_view(ctx, image(ctx.view(name)), groups)


def packed_view(ctx: Lowering, view: View, groups: int) -> View:
    """Pack a computed kernel [OC, IC, KH, KW] by records."""
    oc, ic, kh, kw = view.shape
    split = ctx.reshaped(view, (groups, oc // groups, ic, kh * kw)).transpose((0, 3, 2, 1))
    packed = ctx.temp((groups, panels(oc // groups), kh * kw * ic, PANEL), view.dtype)
    ctx.emit("pack_f32", [split, packed])
    return packed


def dense(
    ctx: Lowering,
    x: View,
    packed: View,
    w: Window,
    groups: int,
    bias: View | None,
    finite: bool,
    done: Epilogue,
    out: View,
) -> None:
    """Emit a convolution of images as a product or through window pointers.

    Args:
        ctx: the plan so far.
        x: the image.
        packed: the kernel.
        w: the window.
        groups: as of Conv.
        bias: padded to whole panels, by group.
        finite: whether all weights are and the bias is a constant, which `pad_bias` made.
        done: what the kernel does besides.
        out: the image to write.
    """
    residual = _residual(ctx, done)
    if is_framed(x.shape[1], w, groups):
        x, w = frame(ctx, x, w, DType.FLOAT32)
    _products(ctx, "f32", x, packed, w, groups, bias, residual, finite, done, out)


def _products(
    ctx: Lowering,
    kind: str,
    x: View,
    packed: View,
    w: Window,
    groups: int,
    bias: View | None,
    residual: View | None,
    finite: bool,
    done: Epilogue,
    out: View,
) -> None:
    """Emit a convolution as a product of pixels if it is one, else through window pointers."""
    plain = is_plain(w, groups)
    if plain:
        x, w = sampled(x, w, out)
    x = in_channels_last(ctx, x)
    if plain and x.shape[2:] == out.shape[2:]:
        flat = [pixels_as_rows(x), pixels_as_rows(out)]
        added = None if residual is None else pixels_as_rows(residual)
        if all(view is not None for view in flat) and (added is None) == (residual is None):
            one = None if bias is None else bias.reshape(bias.shape[1:])
            operands = [flat[0], packed, one, added, flat[1]]
            ctx.emit(f"gemm_{kind}", operands, [done.low, done.high])
            return
    args = [*w.words(), groups, done.low, done.high, int(finite)]
    ctx.emit(f"conv_{kind}", [x, packed, bias, residual, out], args)
