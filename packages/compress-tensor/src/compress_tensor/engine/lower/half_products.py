"""Products of bfloat16 operands: Conv, MatMul and Gemm of float32 graphs under precision="bf16".

The operands of a product are rounded to bfloat16, its sum, bias, residual and clip are float32,
and so is what it makes, unless everything that reads it takes bfloat16 (`halves`): then it is
stored rounded.
"""

from __future__ import annotations

import numpy as np

from ...dtype import DType
from ...graph.graph import Array
from ...native.call import call
from ..lowering import Lowering
from ..view import View, channels_last, row_major
from ..weights import Empty
from .halves import operand, result

PANEL = 16
INNER = 5  #: dims of a packed matrix: panels, taps, pairs, 16, 2


def target(ctx: Lowering, name: str, added: str = "", *, last: bool = False) -> View:
    """Define what a product makes: bfloat16 if all that reads it takes that, else float32.

    Where what is added to it is read for the last time, it is written over.
    """
    half = result(ctx, name, channels_last if last else row_major, added)
    if half is not None:
        return half
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


def pack(b: Array, empty: Empty = np.empty) -> Array:
    """Return float32 [batch, taps, k, n] as bfloat16 [batch, panels, taps, pairs, 16, 2]."""
    batch, taps, k, n = b.shape
    shape = (batch, -(-n // PANEL), taps, -(-k // 2), PANEL, 2)
    packed = empty(shape, DType.BFLOAT16.numpy)
    call("pack_bf16", [b, packed])
    return packed


def packed_kernel(ctx: Lowering, name: str, groups: int, channels: int) -> View:
    """Return the packed kernel of a convolution, zeros up to ``channels`` of its input."""
    kernel = ctx.known(name)
    wide = kernel if kernel.ndim == 4 else kernel[:, :, None]
    oc, ic, kh, kw = wide.shape

    def make(empty: Empty) -> Array:
        full = np.pad(wide, ((0, 0), (0, channels - ic), (0, 0), (0, 0)))
        split = full.reshape(groups, oc // groups, channels, kh * kw).transpose(0, 3, 2, 1)
        return pack(split, empty)

    return ctx.packed(name, ("conv_bf16", groups, channels), make)


def packed_matrix(ctx: Lowering, b: View) -> View:
    """Emit the packing of a computed [batch, k, n]."""
    batch, k, n = b.shape
    view = ctx.temp((batch, -(-n // PANEL), 1, -(-k // 2), PANEL, 2), DType.BFLOAT16)
    if view.size:
        ctx.emit("pack_bf16", [b.insert(1), view])
    return view
