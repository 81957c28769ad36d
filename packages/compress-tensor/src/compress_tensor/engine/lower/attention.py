"""Fused attention: one record instead of products, scale, mask and softmax."""

from __future__ import annotations

from math import frexp

import numpy as np

from ...backend.reference.fused import ATTENTION, ATTENTION_ON_CODES, DOMAIN
from ...backend.reference.gradient import DOMAIN as GRADIENTS
from ...graph.graph import Node
from ..lowering import Layout, Lowering
from ..registry import NotLowered, lower, require
from ..view import View, row_major, strides_in_order
from . import halves
from .codes import bytes_of, requantized, scalar
from .integer import unsigned
from .integer_products import Product
from .matrix import floats, rows

_NONE, _MULTIPLY, _DIVIDE = range(3)  #: as in libcore/src/attention/attention.h
_RANK = 4
#: heads that a Transpose and a Reshape put side by side again
_SIDE_BY_SIDE = (0, 2, 1, 3)


@lower(ATTENTION, domain=DOMAIN)
def attention(ctx: Lowering, node: Node) -> None:
    """Plan what `engine.fuse.attention` made."""
    floats(ctx, *node.inputs)
    half = halves.is_half_attention(ctx, node)
    q, k, v = (
        _padded(halves.rounded(ctx, name) if half else ctx.view(name)) for name in node.inputs[:3]
    )
    keys = k.transpose((0, 1, 3, 2))
    mask = None
    if ctx.optional(node, 3):
        mask = _padded(ctx.view(node.inputs[3])).expand((*q.shape[:3], keys.shape[2]))
    name = node.outputs[0]
    layout = _layout(ctx, name)
    result = halves.result(ctx, name, layout) if half else None
    if result is None:
        result = ctx.output(name, layout, accepts=_runs)
    if result.size:
        kernel = "attention_bf16" if half else "attention_f32"
        ctx.emit(kernel, [rows(ctx, q), keys, v, mask, _padded(result)], _scale(node))


@lower(ATTENTION_ON_CODES, domain=DOMAIN)
def attention_on_codes(ctx: Lowering, node: Node) -> None:
    """Plan the same on codes, with what quantizes its result."""
    q, k, v = (bytes_of(ctx, name) for name in node.inputs[:3])
    scale = ctx.value(node.inputs[3])
    zero_name = ctx.optional(node, 4)
    zero = ctx.value(zero_name) if zero_name else np.zeros(1, np.uint8)
    if not (q and k and v) or scale is None or zero is None:
        raise NotLowered("operands that are no codes")
    queries, keys, values = (_padded(ctx.view(grid.codes)) for grid in (q, k, v))
    queries, keys = rows(ctx, unsigned(ctx, queries)), keys.transpose((0, 1, 3, 2))
    mask = None
    if ctx.optional(node, 5):
        mask = _padded(ctx.view(node.inputs[5])).expand((*queries.shape[:3], keys.shape[2]))
    (sq, zq), (sk, _), (sv, _) = map(scalar, (q, k, v))
    zq += 128 if q.zero_point.dtype == np.int8 else 0
    weight = np.float32(scale.reshape(()))
    chain = requantized(ctx, node.outputs[0])
    product = Product(np.asarray(weight * np.float32(sv)), chain)
    result = ctx.output(product.output, _layout(ctx, product.output), accepts=_runs)
    if result.size:
        args: list[int | float] = [*_scale(node), zq, float(np.float32(sq) * np.float32(sk))]
        args += [float(weight), int(zero.reshape(())), float(product.multiplier())]
        args += product.args()[:3]
        ctx.emit("attention_s8", [queries, keys, values, mask, _padded(result)], args)
    product.finish(ctx)


@lower("AttentionGrad", domain=GRADIENTS)
def attention_grad(ctx: Lowering, node: Node) -> None:
    """Plan the way back, whose operands have tokens before heads."""
    floats(ctx, *node.inputs)
    require(len(node.outputs) == 3 and all(node.outputs), "an output is not wanted")
    given = [ctx.view(name).transpose(_SIDE_BY_SIDE) for name in node.inputs[:4]]
    outs = [ctx.output(name).transpose(_SIDE_BY_SIDE) for name in node.outputs]
    q, k, v, g = given
    mask = None
    if ctx.optional(node, 4):
        mask = _padded(ctx.view(node.inputs[4])).expand((*q.shape[:3], k.shape[2]))
    ctx.emit("attention_grad_f32", [rows(ctx, q), k, v, mask, rows(ctx, g), *outs], _scale(node))


def _padded(view: View) -> View:
    while len(view.shape) < _RANK:
        view = view.insert(0)
    return view


def _runs(view: View) -> bool:
    return view.shape[-1] <= 1 or view.strides[-1] == 1


def _layout(ctx: Lowering, name: str) -> Layout:
    """Return tokens outside heads where that is what the next node makes of the result."""
    reader = ctx.only_consumer(name)
    if reader is not None and reader.op == "DequantizeLinear":
        reader = ctx.only_consumer(reader.outputs[0])
    if reader is None or reader.op != "Transpose" or reader.domain:
        return row_major
    order = tuple(reader.attributes.get("perm") or ())
    return (lambda shape: strides_in_order(shape, order)) if order == _SIDE_BY_SIDE else row_major


def _scale(node: Node) -> tuple[int, float]:
    """Return how the scores are scaled; by a power of two is the same as times its inverse."""
    divisor, factor = (float(node.attributes.get(name, 0.0)) for name in ("divisor", "factor"))
    if divisor and abs(frexp(divisor)[0]) == 0.5:
        return _MULTIPLY, 1.0 / divisor
    if divisor:
        return _DIVIDE, divisor
    return (_MULTIPLY, factor) if factor else (_NONE, 1.0)
