"""Products of bfloat16 operands: Conv, MatMul and Gemm of float32 graphs under precision="bf16".

The operands of a product are rounded to bfloat16, its sum, bias, residual and clip are float32,
and so is what it makes, unless only such products read it, or add it: then it is stored rounded.
Fused attention is two such products.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from ...backend.reference.fused import ATTENTION, DOMAIN
from ...dtype import DType
from ...graph.graph import Array, Node
from ...native.call import call
from ..lowering import Layout, Lowering
from ..view import View, channels_last, row_major

PANEL = 16
#: a product must be as deep and as wide to gain more than rounding its operands costs
LEAST_K, LEAST_COLUMNS = 16, 16
INNER = 5  #: dims of a packed matrix: panels, taps, pairs, 16, 2
#: what is a view of a rounded value as of any other
_MOVES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity"})


def is_half(ctx: Lowering, node: Node) -> bool:
    """Whether a product is computed with bfloat16 operands."""
    if not ctx.options.half or node.domain or node.op not in ("Conv", "MatMul", "Gemm"):
        return False
    a, b = (ctx.info(name) for name in node.inputs[:2])
    if a.dtype is not DType.FLOAT32 or b.dtype is not DType.FLOAT32:
        return False
    if any(name in ctx.quantized for name in node.inputs):
        return False
    if node.op == "Conv":
        groups = int(ctx.attributes(node)["group"])
        oc, *window = b.dims
        even = groups == 1 or window[0] % 2 == 0
        wide = prod(window) >= LEAST_K and oc // groups >= LEAST_COLUMNS
        return wide and even and len(a.dims) in (3, 4) and ctx.value(node.inputs[1]) is not None
    if len(a.dims) < 2 or len(b.dims) < 2:
        return False
    transposed = False
    if node.op == "Gemm":
        attributes = ctx.attributes(node)
        if attributes["transA"] or ctx.value(node.inputs[1]) is None:
            return False
        transposed = bool(attributes["transB"])
    k, n = b.dims[:-3:-1] if transposed else b.dims[-2:]
    return k >= LEAST_K and n >= LEAST_COLUMNS


def is_half_attention(ctx: Lowering, node: Node) -> bool:
    """Whether both products of a fused attention are computed with bfloat16 operands."""
    if not ctx.options.half or (node.domain, node.op) != (DOMAIN, ATTENTION):
        return False
    k, v = (ctx.info(name).dims for name in node.inputs[1:3])
    return k[-2] >= LEAST_K and min(k[-1], v[-1]) >= LEAST_COLUMNS


def moved(ctx: Lowering, node: Node, move: Callable[[View], View]) -> bool:
    """Move a value that exists only rounded; returns whether it does."""
    name = node.inputs[0]
    if name not in ctx.halves or name in ctx.views or node.outputs[0] in ctx.outputs:
        return False
    ctx.halves[node.outputs[0]] = move(ctx.halves[name])
    return True


def rounded(ctx: Lowering, name: str, layout: Layout = row_major) -> View:
    """Return a value rounded to bfloat16: once for all products that read it."""
    if name not in ctx.halves:
        source = ctx.view(name)
        ctx.halves[name] = ctx.temp(source.shape, DType.BFLOAT16, layout)
        ctx.elementwise("cast", [source, ctx.halves[name]])
    return ctx.halves[name]


def operand(ctx: Lowering, name: str, *, last: bool = False) -> View:
    """Return a value rounded to bfloat16, ready to be read.

    Args:
        ctx: the plan so far.
        name: a float32 value.
        last: whether its channels must have stride 1 (else its last dimension).
    """
    found = rounded(ctx, name, channels_last if last else row_major)
    ready = found.is_channels_last() if last else found.shape[-1] <= 1 or found.strides[-1] == 1
    return found if ready else ctx.contiguous(found, channels_last if last else row_major)


def rounded_result(ctx: Lowering, name: str, layout: Layout) -> View | None:
    """Define a value as bfloat16, if only products of such operands read it."""
    if not _only_rounded(ctx, name):
        return None
    ctx.halves[name] = ctx.temp(ctx.info(name).dims, DType.BFLOAT16, layout)
    return ctx.halves[name]


def target(ctx: Lowering, name: str, *, last: bool = False) -> View:
    """Define what a product makes: bfloat16 if only such products read it, else float32."""
    found = rounded_result(ctx, name, channels_last if last else row_major)
    if found is not None:
        return found
    if last:
        return ctx.output(name, channels_last, View.is_channels_last)
    return ctx.output(name, accepts=View.is_row_major)


def residual(ctx: Lowering, name: str, out: View, *, last: bool = False) -> View | None:
    """Return what is added to a product, in the type of its result."""
    if not name:
        return None
    if out.dtype is DType.BFLOAT16:
        return operand(ctx, name, last=last)
    view = ctx.view(name)
    ready = view.is_channels_last() if last else view.shape[-1] <= 1 or view.strides[-1] == 1
    return view if ready else ctx.contiguous(view, channels_last if last else row_major)


def _only_rounded(ctx: Lowering, name: str) -> bool:
    """Whether a value is read, and by nothing but products that round it."""
    readers = ctx.consumers(name)
    unseen = bool(readers) and name not in ctx.outputs
    return unseen and all(_reads(ctx, node, name) for node in readers)


def _reads(ctx: Lowering, node: Node, name: str) -> bool:
    if is_half_attention(ctx, node):
        return name in node.inputs[:3] and name not in node.inputs[3:]
    if _adds(ctx, node, name):
        return True
    if node.inputs[0] != name or node.inputs.count(name) != 1:
        return False
    if node.op in _MOVES and not node.domain:
        return _only_rounded(ctx, node.outputs[0])
    return is_half(ctx, node)


def _adds(ctx: Lowering, node: Node, name: str) -> bool:
    """Whether a sum will be part of a product that is yet to be planned."""
    if node.op not in ("Add", "Sum") or node.domain or len(node.inputs) != 2:
        return False
    (other,) = (n for n in node.inputs if n != name) if len(set(node.inputs)) == 2 else ("",)
    product = ctx.producers.get(other)
    if product is None or ctx.only_consumer(other) is not node or id(product) in ctx.done:
        return False
    return is_half(ctx, product) and ctx.info(other).shape == ctx.info(name).shape


def pack(b: Array) -> Array:
    """Return float32 [batch, taps, k, n] as bfloat16 [batch, panels, taps, pairs, 16, 2]."""
    batch, taps, k, n = b.shape
    shape = (batch, -(-n // PANEL), taps, -(-k // 2), PANEL, 2)
    packed = np.empty(shape, DType.BFLOAT16.numpy)
    call("pack_bf16", [b, packed])
    return packed


def packed_kernel(ctx: Lowering, name: str, groups: int, channels: int) -> View:
    """Return the packed kernel of a convolution, zeros up to ``channels`` of its input."""
    kernel = ctx.value(name)
    assert kernel is not None
    wide = kernel if kernel.ndim == 4 else kernel[:, :, None]
    oc, ic, kh, kw = wide.shape

    def make() -> Array:
        full = np.pad(wide, ((0, 0), (0, channels - ic), (0, 0), (0, 0)))
        split = full.reshape(groups, oc // groups, channels, kh * kw).transpose(0, 3, 2, 1)
        return pack(split)

    return ctx.packed(name, ("conv_bf16", groups, channels), make)


def packed_matrix(ctx: Lowering, b: View) -> View:
    """Emit the packing of a computed [batch, k, n]."""
    batch, k, n = b.shape
    view = ctx.temp((batch, -(-n // PANEL), 1, -(-k // 2), PANEL, 2), DType.BFLOAT16)
    if view.size:
        ctx.emit("pack_bf16", [b.insert(1), view])
    return view
