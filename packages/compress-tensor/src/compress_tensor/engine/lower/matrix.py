"""Matrix products: MatMul and Gemm as gemm_f32 with packed B and a fused epilogue."""

from __future__ import annotations

from collections.abc import Hashable
from math import prod

import numpy as np

from ...dtype import DType
from ...graph.graph import Array, Node
from ...native.call import call
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View, row_major
from ..weights import Empty
from . import half_products, halves
from .epilogue import Epilogue, absorb

PANEL = 16  #: columns per panel of packed B, as in libcore/src/gemm_f32
MOST_PRODUCTS = 32  #: records for batches whose strides do not merge; more are copied


def panels(n: int) -> int:
    """Return how many panels hold n columns."""
    return -(-n // PANEL)


def pack(b: Array, empty: Empty = np.empty) -> Array:
    """Return a [batch, k, n] array as [batch, panels, k, 16], zeros past n.

    One of [batch, taps, k, n] becomes [batch, panels, taps * k, 16].
    """
    batch, *depth, n = b.shape
    packed = empty((batch, panels(n), prod(depth), PANEL), np.float32)
    call("pack_f32", [b, packed])
    return packed


def packed_matrix(ctx: Lowering, b: View) -> View:
    """Emit the packing of a computed [batch, k, n]."""
    batch, k, n = b.shape
    view = ctx.temp((batch, panels(n), k, PANEL), DType.FLOAT32)
    if view.size:
        ctx.emit("pack_f32", [b, view])
    return view


def pad_bias(bias: Array, groups: int = 1) -> Array:
    """Return a bias as [groups, panels * 16], zeros past each group's channels, no -0."""
    rows = np.ascontiguousarray(bias, np.float32).reshape(groups, -1)
    padded = np.zeros((groups, panels(rows.shape[1]) * PANEL), np.float32)
    padded[:, : rows.shape[1]] = rows + np.float32(0)
    return padded


def floats(ctx: Lowering, *names: str) -> None:
    """Require that all named inputs are float32."""
    for name in names:
        if name:
            dtype = ctx.info(name).dtype
            require(dtype is DType.FLOAT32, f"{dtype.label} elements")


def rows(ctx: Lowering, view: View) -> View:
    """Return the view with its last dimension contiguous."""
    return view if view.shape[-1] <= 1 or view.strides[-1] == 1 else ctx.contiguous(view)


def merged(view: View, inner: int) -> View | None:
    """Return the view with all but the last ``inner`` dims merged into one, if strides allow."""
    outer = view.shape[: len(view.shape) - inner]
    return view.reshape((prod(outer), *view.shape[len(outer) :]))


@lower("MatMul")
def matmul(ctx: Lowering, node: Node) -> None:
    """Plan a product of stacks of matrices, with numpy's broadcasting."""
    a_name, b_name = node.inputs
    floats(ctx, a_name, b_name)
    half = halves.is_half(ctx, node)
    a = halves.operand(ctx, a_name) if half else ctx.view(a_name)
    b = ctx.view(b_name)
    require(a.shape and b.shape, "scalar operands")
    vector_a, vector_b = len(a.shape) == 1, len(b.shape) == 1
    a = a.insert(0) if vector_a else a
    b = b.insert(1) if vector_b else b
    n = b.shape[-1]
    if vector_a or vector_b:
        done = Epilogue(node.outputs[0])
    else:
        done = absorb(ctx, node.outputs[0], -1, None)
    packed = pack_operand(ctx, b_name, b, half=half)
    if half:
        out = half_products.target(ctx, done.output, done.residual)
    else:
        out = ctx.output(done.output, accepts=View.is_row_major)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    target = out.reshape((*batch, a.shape[-2], n))
    assert target is not None
    residual = None
    if done.residual:
        added = half_products.residual(ctx, done.residual, out)
        assert added is not None
        residual = rows(ctx, ctx.reshaped(added, target.shape))
    bias = None if done.bias is None else ctx.constant(pad_bias(done.bias)[0])
    if target.size:
        a = rows(ctx, a).expand((*batch, *a.shape[-2:]))
        _emit(ctx, a, packed, bias, residual, target, done)
    done.finish(ctx)


def pack_operand(
    ctx: Lowering, name: str, b: View, key: Hashable = (), *, half: bool = False
) -> View:
    """Return B packed, once if it is constant: [..., k, n] to [..., panels, k, 16].

    With ``half`` it is bfloat16, to [..., panels, 1, pairs, 16, 2].
    """
    *batch, k, n = b.shape
    if ctx.is_known(name):

        def make(empty: Empty) -> Array:
            stack = ctx.known(name).reshape(-1, k, n)
            return half_products.pack(stack[:, None], empty) if half else pack(stack, empty)

        view = ctx.packed(name, ("gemm", half, k, n, key), make)
    else:
        stacked = merged(b, 2)
        source = ctx.reshaped(b, (prod(batch), k, n)) if stacked is None else stacked
        view = half_products.packed_matrix(ctx, source) if half else packed_matrix(ctx, source)
    result = view.reshape((*batch, *view.shape[1:]))
    assert result is not None
    return result


def _emit(
    ctx: Lowering,
    a: View,
    packed: View,
    bias: View | None,
    residual: View | None,
    out: View,
    done: Epilogue,
) -> None:
    """Emit the product of every pair of matrices in the batch."""
    batch = out.shape[:-2]
    half = packed.dtype is DType.BFLOAT16
    kernel, keep = ("gemm_bf16", half_products.INNER) if half else ("gemm_f32", 3)
    shared = prod(packed.shape[:-keep]) == 1
    one = (1, *packed.shape[-keep:])
    if shared and batch:
        # One B for all: the batch is more rows.
        flat = [None if v is None else _as_rows(v) for v in (a, residual, out)]
        if all(f is not None or v is None for f, v in zip(flat, (a, residual, out), strict=True)):
            a, residual, out = flat[0], flat[1], flat[2]  # type: ignore[assignment]
            batch = ()
    if not shared:
        packed = packed.expand((*batch, *packed.shape[-keep:]))
    operands: list[View | None] = [a, None if shared else packed, bias, residual, out]
    inner = (2, keep, 0, 2, 2)
    outer = _unmergeable(operands, inner, len(batch))
    count = prod(batch[:outer])
    if count > MOST_PRODUCTS:
        a = ctx.contiguous(a)
        packed = packed if shared else ctx.contiguous(packed)
        operands = [a, None if shared else packed, bias, residual, out]
        outer = _unmergeable(operands, inner, len(batch))
        count = prod(batch[:outer])
    for index in np.ndindex(*batch[:outer]):
        parts: list[View | None] = []
        for view, last in zip(operands, inner, strict=True):
            if view is None or last == 0:
                parts.append(view)
                continue
            for axis, i in enumerate(index):
                view = view.slice(axis, i, 1)
            rest = view.reshape(view.shape[len(index) :])
            assert rest is not None
            stacked = merged(rest, last)
            assert stacked is not None
            parts.append(stacked)
        parts[1] = packed.reshape(one) if shared else parts[1]
        ctx.emit(kernel, parts, [done.low, done.high])


def _as_rows(view: View) -> View | None:
    """Return [..., m, k] as [rows, k], if strides allow."""
    return view.reshape((prod(view.shape[:-1]), view.shape[-1]))


def _unmergeable(operands: list[View | None], inner: tuple[int, ...], rank: int) -> int:
    """Return how many leading batch dims must be looped over so that the others merge."""
    for outer in range(rank + 1):
        fits = True
        for view, keep in zip(operands, inner, strict=True):
            if view is not None and keep:
                inside = view.seen(view.shape[outer:], view.strides[outer:])
                # A repeated matrix (stride 0) merges with nothing but itself.
                fits = fits and merged(inside, keep) is not None
        if fits:
            return outer
    return rank


@lower("Gemm")
def gemm(ctx: Lowering, node: Node) -> None:
    """Plan alpha * A' * B' + beta * C."""
    floats(ctx, *node.inputs)
    attributes = ctx.attributes(node)
    alpha, beta = float(attributes["alpha"]), float(attributes["beta"])
    half = halves.is_half(ctx, node)
    a = halves.operand(ctx, node.inputs[0]) if half else ctx.view(node.inputs[0])
    a = a.transpose((1, 0)) if attributes["transA"] else a
    b_name, transposed = node.inputs[1], bool(attributes["transB"])
    m, n = ctx.info(node.outputs[0]).dims
    if ctx.is_known(b_name):

        def make(empty: Empty) -> Array:
            value = ctx.known(b_name)
            matrix = value.T if transposed else value
            scaled = matrix if alpha == 1.0 else (matrix * np.float32(alpha)).astype(np.float32)
            if half:
                return half_products.pack(scaled[None, None], empty)
            return pack(scaled[None], empty)

        packed = ctx.packed(b_name, ("gemm", half, transposed, alpha), make)
    else:
        b = ctx.view(b_name)
        packed = pack_operand(ctx, b_name, b.transpose((1, 0)) if transposed else b)
        packed = packed.insert(0)
        if alpha != 1.0:
            scaled = ctx.temp(a.shape, DType.FLOAT32)
            ctx.elementwise("unary_f32", [a, scaled], [40, alpha, 0.0])
            a = scaled
    bias, added = _gemm_c(ctx, ctx.optional(node, 2), (m, n), beta)
    done = absorb(ctx, node.outputs[0], 1, bias) if added is None else Epilogue(node.outputs[0])
    if half and added is None:
        out = half_products.target(ctx, done.output, done.residual)
    else:
        out = ctx.output(done.output, accepts=lambda v: v.shape[1] <= 1 or v.strides[1] == 1)
    if done.residual:
        added = half_products.residual(ctx, done.residual, out)
    if out.size:
        padded = None if done.bias is None else ctx.constant(pad_bias(done.bias)[0])
        residual = None if added is None else added.insert(0)
        operands = [rows(ctx, a).insert(0), packed, padded, residual, out.insert(0)]
        ctx.emit("gemm_bf16" if half else "gemm_f32", operands, [done.low, done.high])
    done.finish(ctx)


def _gemm_c(
    ctx: Lowering, name: str, shape: tuple[int, int], beta: float
) -> tuple[Array | None, View | None]:
    """Return C as a bias per column, or as a matrix to add."""
    if not name or beta == 0.0:
        return None, None
    value = ctx.value(name)
    if value is not None:
        scaled = value if beta == 1.0 else (value * np.float32(beta)).astype(np.float32)
        if value.ndim < 2 or value.shape[0] == 1:
            return np.broadcast_to(scaled.reshape(-1), (shape[1],)).copy(), None
        whole = np.ascontiguousarray(np.broadcast_to(scaled, shape))
        return None, ctx.constant(whole)
    view = ctx.view(name).expand(shape)
    if beta != 1.0:
        result = ctx.temp(shape, DType.FLOAT32, row_major)
        ctx.elementwise("unary_f32", [view, result], [40, beta, 0.0])
        return None, result
    return None, rows(ctx, view)
