"""Products of dequantized operands as integer kernels: Conv, Gemm, MatMul of a QDQ graph.

    rint(clip(sum_k (a - za) b * (sa sb / sy))) + zy

The bias and -za sum_k b are the start of the sum.  A quantized result that is only added to a
residual and quantized again is finished in the same kernel; a float result takes in a float one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from ...dtype import DType
from ...graph.graph import Array, Node
from ..lowering import Lowering
from ..quantized import Quantized
from ..registry import on_codes
from ..view import View, channels_last
from ..weights import Empty
from .codes import Requantized, bytes_of, requantized, scalar
from .epilogue import is_residual, per_channel
from .frame import frame, framed_kernel, is_framed
from .integer import MOST_K, pack_s8, pad_columns, unsigned
from .matrix import merged, rows
from .quant import grid_of
from .window import Window, image, is_plain, pixels_as_rows, sampled, window


@dataclass
class Product:
    """An integer product with all that its kernel takes over."""

    scale: Array  #: sa * sb per output channel, float32
    chain: Requantized
    residual: Quantized | None = None
    inner: Requantized | None = None
    added: str = ""  #: a float value that a float result takes in

    @property
    def output(self) -> str:
        """The value that the kernel makes."""
        return self.chain.output

    def multiplier(self) -> Array:
        """Return what the sums are multiplied by, in float32 throughout."""
        first = self.inner or self.chain
        if first.grid is None:
            return self.scale
        found: Array = self.scale / np.float32(scalar(first.grid)[0])
        return found

    def args(self) -> list[int | float]:
        """Return the eight words of the kernels' epilogue."""
        if self.chain.grid is None:
            return [self.chain.low, self.chain.high, 0, 0.0, 0.0, 0.0, 0.0, 0]
        low, high = self.chain.bounds()
        so, zo = scalar(self.chain.grid)
        if self.residual is None or self.inner is None or self.inner.grid is None:
            return [low, high, zo, 0.0, 0.0, 0.0, 0.0, 0]
        si, _ = scalar(self.inner.grid)
        sr, zr = scalar(self.residual)
        own = float(np.float32(si) / np.float32(so))
        other = float(np.float32(sr) / np.float32(so))
        return [low, high, zo, *self.inner.bounds(), own, other, zr]

    def residual_view(self, ctx: Lowering) -> View | None:
        """Return what is added, in the type of the result."""
        if self.added:
            return ctx.view(self.added)
        return None if self.residual is None else ctx.view(self.residual.codes)

    def finish(self, ctx: Lowering) -> None:
        """Mark the nodes as planned."""
        self.chain.finish(ctx)


def weights_of(ctx: Lowering, name: str, axis: int) -> tuple[Array, Array] | None:
    """Return signed codes with zero point 0, and scales per element of ``axis`` (or one)."""
    found = ctx.quantized.get(name)
    codes = None if found is None else ctx.value(found.codes)
    if found is None or codes is None or codes.dtype not in (np.int8, np.uint8):
        return None
    shift = 128 if codes.dtype == np.uint8 else 0
    if (found.zero_point.astype(np.int64) != shift).any():
        return None
    if found.scale.size > 1 and found.axis != axis % codes.ndim:
        return None
    signed = (codes ^ np.uint8(shift)).view(np.int8) if shift else codes  # minus 128
    return signed, found.scale.reshape(-1)


def product_of(ctx: Lowering, output: str, scale: Array, nodes: list[Node]) -> Product:
    """Collect what follows a product: a clip, its quantization, an addition of a residual."""
    chain = requantized(ctx, output, nodes)
    found = Product(scale, chain)
    if chain.output == output:
        return _with_floats(ctx, found) or found
    if chain.grid is None or chain.grid.zero_point.dtype != np.uint8:
        return found
    dequantize = ctx.only_consumer(chain.output)
    if dequantize is None or dequantize.op != "DequantizeLinear":
        return found
    again = grid_of(ctx, dequantize, chain.output, DType.UINT8)
    add = ctx.only_consumer(dequantize.outputs[0])
    if again is None or not again.same_grid(chain.grid) or add is None or add.op != "Add":
        return found
    other = add.inputs[1 - add.inputs.index(dequantize.outputs[0])]
    residual = bytes_of(ctx, other)
    if residual is None or residual.zero_point.dtype != np.uint8:
        return found
    if ctx.info(other).shape != ctx.info(output).shape or residual.codes not in ctx.views:
        return found
    after = requantized(ctx, add.outputs[0], [*chain.nodes, dequantize, add])
    if after.grid is None or after.grid.zero_point.dtype != np.uint8:
        return found
    return Product(scale, after, residual, chain)


def _with_floats(ctx: Lowering, product: Product) -> Product | None:
    """Take in the addition of a float value that there is already, and a clip behind it."""
    output = product.output
    node = ctx.only_consumer(output)
    if node is None or node.op not in ("Add", "Sum") or node.domain or len(node.inputs) != 2:
        return None
    other, made = node.inputs[1 - node.inputs.index(output)], node.outputs[0]
    shape = ctx.info(output).dims
    if ctx.info(made).shape != shape or not is_residual(ctx, other, shape):
        return None
    nodes = [*product.chain.nodes, node]
    after = requantized(ctx, made, nodes)
    chain = after if after.grid is None else Requantized(made, nodes=nodes)
    return Product(product.scale, chain, added=other)


def start_of(bias: Array | None, scale: Array, sums: Array, zero: int) -> Array | None:
    """Return bias / scale - zero * sums as int32, or None if it does not fit."""
    start = -zero * sums
    if bias is not None:
        start = start + np.rint(bias.astype(np.float64) / scale.astype(np.float64)).astype(np.int64)
    return start if bool((abs(start) < 2**31).all()) else None


def _bias(ctx: Lowering, node: Node) -> Array | None:
    name = ctx.optional(node, 2)
    return ctx.value(name) if name else None


@on_codes("Conv")
def conv(ctx: Lowering, node: Node) -> bool:
    """Plan a convolution of codes."""
    x = bytes_of(ctx, node.inputs[0])
    found = weights_of(ctx, node.inputs[1], 0)
    if x is None or found is None or (ctx.optional(node, 2) and _bias(ctx, node) is None):
        return False
    weights, sw = found
    codes = ctx.info(x.codes)
    if weights.ndim not in (3, 4):
        return False
    attributes = ctx.attributes(node)
    groups = int(attributes["group"])
    w = window(attributes, weights.shape[2:], codes.dims[2:])
    kernel = weights if weights.ndim == 4 else weights[:, :, None]
    oc, ic, kh, kw = kernel.shape
    sx, zx = scalar(x)
    zx += 128 if codes.dtype is DType.INT8 else 0
    scale = np.broadcast_to(np.float32(sx) * sw, (oc,)).astype(np.float32)
    sums = kernel.sum(axis=(1, 2, 3), dtype=np.int64)
    start = start_of(_bias(ctx, node), scale, sums, zx)
    depthwise = groups == oc == codes.dims[1] and groups > 1
    if ic * kh * kw > MOST_K or start is None or (groups > 1 and not depthwise and ic % 4):
        return False
    product = product_of(ctx, node.outputs[0], scale, [])
    if depthwise and (product.chain.grid is None or product.residual or product.added):
        product = Product(scale, requantized(ctx, node.outputs[0]))
        if product.chain.grid is None:
            return False
    key = (node.inputs[1], groups)
    out = image(ctx.output(product.output, channels_last, View.is_channels_last))
    if out.size:
        if depthwise:
            source = unsigned(ctx, image(ctx.view(x.codes)))
            _depthwise(ctx, key, source, kernel, w, start, zx, product, out)
        else:
            if few := is_framed(ic, w, groups):
                kernel = framed_kernel(kernel, w)
                source, w = _framed(ctx, x, w, zx)
            else:
                source = unsigned(ctx, image(ctx.view(x.codes)))
            _dense(ctx, key, source, kernel, w, groups, start, zx, product, out, few=few)
    product.finish(ctx)
    return True


def _depthwise(
    ctx: Lowering,
    key: tuple[str, int],
    x: View,
    kernel: Array,
    w: Window,
    start: Array,
    zero: int,
    product: Product,
    out: View,
) -> None:
    def pairs(empty: Empty) -> Array:
        taps = kernel.reshape(kernel.shape[0], -1).T.astype(np.int16)
        even = np.concatenate([taps, np.zeros((len(taps) % 2, taps.shape[1]), np.int16)])
        return np.ascontiguousarray(even.reshape(-1, 2, taps.shape[1]).transpose(0, 2, 1))

    packed = ctx.packed(key[0], ("depthwise_s8", key[1]), pairs)
    source = x if x.is_channels_last() else ctx.contiguous(x, channels_last)
    constants = [ctx.constant(start.astype(np.int32)), ctx.constant(product.multiplier())]
    args = [*w.words(), zero, *product.args()[:3]]
    ctx.emit("depthwise_s8", [source, packed, *constants, out], args)


def _dense(
    ctx: Lowering,
    key: tuple[str, int],
    x: View,
    kernel: Array,
    w: Window,
    groups: int,
    start: Array,
    zero: int,
    product: Product,
    out: View,
    *,
    few: bool,
) -> None:
    oc, ic, kh, kw = kernel.shape
    plain = is_plain(w, groups) and not few
    if plain:
        x, w = sampled(x, w, out)
    x = x if x.is_channels_last() else ctx.contiguous(x, channels_last)
    split = kernel.reshape(groups, oc // groups, ic, kh * kw).transpose(0, 3, 2, 1)
    packed = ctx.packed(key[0], ("conv_s8", few, key[1]), partial(pack_s8, split))
    starts = ctx.constant(pad_columns(start, groups, np.int32))
    scale = ctx.constant(pad_columns(product.multiplier(), groups, np.float32))
    residual = product.residual_view(ctx)
    if residual is not None:
        residual = image(residual)
        if not residual.is_channels_last():
            residual = ctx.contiguous(residual, channels_last)
    if plain:
        flat = [
            pixels_as_rows(x),
            pixels_as_rows(out),
            None if residual is None else pixels_as_rows(residual),
        ]
        if flat[0] is not None and flat[1] is not None and (flat[2] is None) == (residual is None):
            one = [v.reshape(v.shape[1:]) for v in (starts, scale)]
            operands = [flat[0], packed, *one, flat[2], flat[1]]
            ctx.emit("gemm_s8", operands, product.args())
            return
    args = [*w.words(), groups, zero, *product.args()]
    ctx.emit("conv_s8", [x, packed, starts, scale, residual, out], args)


def _framed(ctx: Lowering, x: Quantized, w: Window, zero: int) -> tuple[View, Window]:
    """Return the image in a frame of zero points; not yet quantized, it is on the way."""
    node = ctx.late.get(x.codes)
    if node is None:
        source = unsigned(ctx, image(ctx.view(x.codes)))
        return frame(ctx, source, w, DType.UINT8, fill=zero)
    return frame(ctx, image(ctx.view(node.inputs[0])), w, DType.UINT8, fill=zero, grid=x)


@on_codes("Gemm", "MatMul")
def matrix(ctx: Lowering, node: Node) -> bool:
    """Plan a product of codes with constant weights, or of two activations."""
    a = bytes_of(ctx, node.inputs[0])
    if a is None or len(ctx.info(node.inputs[0]).dims) < 2:
        return False
    transposed = False
    if node.op == "Gemm":
        attributes = ctx.attributes(node)
        if attributes["alpha"] != 1.0 or attributes["beta"] != 1.0 or attributes["transA"]:
            return False
        transposed = bool(attributes["transB"])
    found = weights_of(ctx, node.inputs[1], 0 if transposed else -1)
    if found is None:
        return node.op == "MatMul" and _two_activations(ctx, node, a)
    weights, sw = found
    if weights.ndim != 2:
        return False
    weights = weights.T if transposed else weights
    k, n = weights.shape
    bias: Array | None = None
    nodes: list[Node] = []
    output = node.outputs[0]
    if node.op == "Gemm" and ctx.optional(node, 2):
        bias = _bias(ctx, node)
        if bias is None or bias.size not in (1, n) or bias.shape[-1:] not in ((n,), (1,), ()):
            return False
        bias = np.broadcast_to(bias.reshape(-1), (n,))
    elif node.op == "MatMul":
        bias, nodes, output = _added_bias(ctx, output)
    sa, za = scalar(a)
    codes = ctx.view(a.codes)
    za += 128 if codes.dtype is DType.INT8 else 0
    scale = np.broadcast_to(np.float32(sa) * sw, (n,)).astype(np.float32)
    start = start_of(bias, scale, weights.sum(axis=0, dtype=np.int64), za)
    if k > MOST_K or start is None:
        return False
    product = product_of(ctx, output, scale, nodes)
    out = ctx.output(product.output, accepts=View.is_row_major)
    if out.size:
        packed = ctx.packed(
            node.inputs[1], ("s8", transposed), partial(pack_s8, weights[None, None])
        )
        source = rows(ctx, unsigned(ctx, codes))
        m = out.size // n
        constants = [
            ctx.constant(pad_columns(start, 1, np.int32)[0]),
            ctx.constant(pad_columns(product.multiplier(), 1, np.float32)[0]),
        ]
        residual = product.residual_view(ctx)
        if residual is not None:
            residual = ctx.reshaped(residual, (1, m, n))
        operands = [ctx.reshaped(source, (1, m, k)), packed, *constants, residual]
        ctx.emit("gemm_s8", [*operands, out.reshape((1, m, n))], product.args())
    product.finish(ctx)
    return True


def _added_bias(ctx: Lowering, output: str) -> tuple[Array | None, list[Node], str]:
    """Return a constant per column that is added to a product, with the Add."""
    node = ctx.only_consumer(output)
    if node is None or node.op != "Add" or node.domain:
        return None, [], output
    shape = ctx.info(output).dims
    if ctx.info(node.outputs[0]).shape != shape:
        return None, [], output
    other = node.inputs[1 - node.inputs.index(output)]
    bias = per_channel(ctx, other, shape, -1)
    return (None, [], output) if bias is None else (bias, [node], node.outputs[0])


def _two_activations(ctx: Lowering, node: Node, a: Quantized) -> bool:
    """Plan A B where B is computed: signed codes with zero point 0, packed while running."""
    b = bytes_of(ctx, node.inputs[1])
    if b is None or b.zero_point.dtype != np.int8 or scalar(b)[1] != 0:
        return False
    chain = requantized(ctx, node.outputs[0])
    left, right = ctx.view(a.codes), ctx.view(b.codes)
    batch = ctx.info(node.outputs[0]).dims[:-2]
    m, k = left.shape[-2:]
    n = right.shape[-1]
    if k > MOST_K or len(right.shape) < 2:
        return False
    sa, za = scalar(a)
    za += 128 if left.dtype is DType.INT8 else 0
    scale = np.full(n, np.float32(sa) * np.float32(scalar(b)[0]), np.float32)
    product = Product(scale, chain)
    out = ctx.output(chain.output, accepts=View.is_row_major)
    if not out.size:
        product.finish(ctx)
        return True
    left = rows(ctx, unsigned(ctx, left)).expand((*batch, m, k))
    right = right.expand((*batch, k, n))
    multiplier = ctx.constant(pad_columns(product.multiplier(), 1, np.float32)[0])
    panels, quads = -(-n // 16), -(-k // 4)
    # However many there are: one way for small batches and another for large ones would round a
    # row differently in each.
    for index in np.ndindex(*batch):
        parts = []
        for view in (left, right, out):
            for axis, i in enumerate(index):
                view = view.slice(axis, i, 1)
            flat = merged(view, 2)
            assert flat is not None
            parts.append(flat)
        packed = ctx.temp((1, panels, 1, quads, 16, 4), DType.INT8)
        start = ctx.temp((panels * 16,), DType.INT32)
        ctx.emit("pack_s8", [parts[1].insert(1), packed, start], [za])
        ctx.emit("gemm_s8", [parts[0], packed, start, multiplier, None, parts[2]], product.args())
    product.finish(ctx)
    return True
