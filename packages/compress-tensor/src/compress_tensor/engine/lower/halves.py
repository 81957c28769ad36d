"""Values stored as bfloat16 under precision="bf16": which, and what reads and makes them.

A float32 value is stored rounded where everything that reads it can: products, depthwise
convolutions, means over pixels; and, where their own results are stored rounded, activations, sums
and products of two values, maxima over windows and concatenations.  All of them compute in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from ...backend.reference.fused import ATTENTION, DOMAIN
from ...dtype import DType
from ...graph.graph import Array, Node
from ..lowering import Layout, Lowering
from ..view import Kind, View, channels_last, row_major

#: a product must be as deep and as wide to gain more than rounding its operands costs
LEAST_K, LEAST_COLUMNS = 16, 16
COLLIDING, LINE = 1024, 32  #: channels: 2 KB, and a line of the cache
LANES = 16  #: of the two halves of a block of channels, see libcore/src/conv/depthwise_bf16.h
#: what is a view of a rounded value as of any other
_MOVES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity"})
#: functions that keep what 8 bits say of their argument
_ACTIVATIONS = frozenset(
    {"Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish"}
    | {"Mish", "Tanh", "Gelu", "Clip", "ThresholdedRelu"}
)
_PAIRS = frozenset({"Add", "Mul"})
_MEANS = frozenset({"GlobalAveragePool", "ReduceMean"})


def is_half(ctx: Lowering, node: Node) -> bool:
    """Whether a product is computed with bfloat16 operands."""
    if not ctx.options.half or node.domain or node.op not in ("Conv", "MatMul", "Gemm"):
        return False
    if not _plain_floats(ctx, node.inputs[:2]) or any(n in ctx.quantized for n in node.inputs):
        return False
    a, b = (ctx.info(name) for name in node.inputs[:2])
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


def is_half_depthwise(ctx: Lowering, node: Node) -> bool:
    """Whether a depthwise convolution reads and makes bfloat16."""
    return _is_depthwise(ctx, node) and only_rounded(ctx, node.outputs[0])


def _is_depthwise(ctx: Lowering, node: Node) -> bool:
    if (
        not ctx.options.half
        or node.domain
        or node.op != "Conv"
        or not _plain_floats(ctx, node.inputs[:2])
    ):
        return False
    if any(ctx.value(name) is None for name in node.inputs[1:] if name):
        return False
    size, (oc, *window) = ctx.info(node.inputs[0]).dims, ctx.info(node.inputs[1]).dims
    groups = int(ctx.attributes(node)["group"])
    return groups == oc == size[1] > 1 == window[0] and len(size) in (3, 4)


def _plain_floats(ctx: Lowering, names: list[str]) -> bool:
    return all(ctx.info(n).dtype is DType.FLOAT32 and n not in ctx.quantized for n in names)


# ---- values ----


def rounded(ctx: Lowering, name: str, layout: Layout = row_major) -> View:
    """Return a value rounded to bfloat16: once for all that read it so."""
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


def stored(ctx: Lowering, name: str, layout: Layout) -> View:
    """Define a value as bfloat16: in its place in a concatenation of such, or by itself."""
    part = ctx.part(name)
    if part is not None and only_rounded(ctx, part.whole) and part.whole not in ctx.views:
        dims = ctx.info(part.whole).dims
        if part.whole not in ctx.halves:
            image = len(dims) == 4 and part.axis == 1
            order = channels_last if image else row_major
            ctx.halves[part.whole] = ctx.temp(dims, DType.BFLOAT16, order)
        whole = ctx.halves[part.whole]
        place = whole.slice(part.axis, part.start, ctx.info(name).dims[part.axis])
        if layout is not channels_last or place.is_channels_last():
            ctx.halves[name] = place
            return place
    reader = ctx.only_consumer(name)
    if reader is not None and _narrows(ctx, reader) and reader.outputs[0] in ctx.outputs:
        last = layout is channels_last
        fits = View.is_channels_last if last else View.is_row_major
        ctx.halves[name] = ctx.output(reader.outputs[0], layout, fits)
    else:
        ctx.halves[name] = _memory(ctx, name, layout)
    return ctx.halves[name]


def result(ctx: Lowering, name: str, layout: Layout, over: str = "") -> View | None:
    """Define a value as bfloat16 if everything that reads it reads that, else return None.

    Args:
        ctx: the plan so far.
        name: the value.
        layout: its order in memory.
        over: a value of the same shape that may be written over if nobody reads it later, or "".
    """
    if not only_rounded(ctx, name):
        return None
    free = over and ctx.part(name) is None and _exists(ctx, over) and _dies(ctx, over)
    if free and ctx.halves[over].strides == _memory(ctx, name, layout).strides:
        ctx.halves[name] = ctx.halves[over]
        return ctx.halves[name]
    return stored(ctx, name, layout)


def _memory(ctx: Lowering, name: str, layout: Layout) -> View:
    """Return memory for a value, the pixels of many channels not a multiple of 2 KB apart.

    So far apart, or every other one of them, the rows of a product would drive each other out of
    the first cache.
    """
    dims = ctx.info(name).dims
    if layout is not channels_last or len(dims) < 3 or dims[1] % COLLIDING:
        return ctx.temp(dims, DType.BFLOAT16, layout)
    wide = (dims[0], dims[1] + LINE, *dims[2:])
    return ctx.temp(wide, DType.BFLOAT16, layout).slice(1, 0, dims[1])


# ---- who reads ----


def only_rounded(ctx: Lowering, name: str) -> bool:
    """Whether a value is read, and only by what reads bfloat16."""
    return _only_rounded(ctx, name, {})


def _only_rounded(ctx: Lowering, name: str, known: dict[str, bool]) -> bool:
    if name not in known:
        readers = ctx.consumers(name)
        unseen = bool(readers) and name not in ctx.outputs
        known[name] = unseen and all(_reads(ctx, node, name, known) for node in readers)
    return known[name]


def _reads(ctx: Lowering, node: Node, name: str, known: dict[str, bool]) -> bool:
    if is_half_attention(ctx, node):
        return name in node.inputs[:3] and name not in node.inputs[3:]
    if node.domain or node.inputs.count(name) != 1:
        return False
    if _narrows(ctx, node):
        return True
    if _adds(ctx, node, name):
        return True
    passed = _passes(ctx, node)
    if passed:
        return _only_rounded(ctx, node.outputs[0], known)
    if node.inputs[0] != name:
        return False
    return is_half(ctx, node) or _is_mean(ctx, node)


def _passes(ctx: Lowering, node: Node) -> bool:
    """Whether a node reads bfloat16 if it makes that too."""
    if not ctx.options.half or node.domain or len(node.outputs) != 1:
        return False
    if node.op in _MOVES or _is_depthwise(ctx, node):
        return True
    return _plain_floats(ctx, node.inputs[:1]) and (
        (node.op in _ACTIVATIONS and all(ctx.value(n) is not None for n in node.inputs[1:] if n))
        or (node.op in _PAIRS and _is_pair(ctx, node))
        or (node.op == "MaxPool" and len(ctx.info(node.inputs[0]).dims) in (3, 4))
        or (node.op == "Concat" and all(ctx.value(n) is None for n in node.inputs))
    )


def _is_pair(ctx: Lowering, node: Node) -> bool:
    """Whether two computed values are combined, one of them in the size of the result."""
    shapes = [ctx.info(name).shape for name in node.inputs]
    computed = len(set(node.inputs)) == 2 and all(ctx.value(n) is None for n in node.inputs)
    return computed and ctx.info(node.outputs[0]).shape in shapes


def _narrows(ctx: Lowering, node: Node) -> bool:
    """Whether a node rounds a value, which is no change of one that was stored rounded."""
    if not ctx.options.half or node.op != "Cast":
        return False
    types = ctx.info(node.inputs[0]).dtype, ctx.info(node.outputs[0]).dtype
    return types == (DType.FLOAT32, DType.BFLOAT16)


def _is_mean(ctx: Lowering, node: Node) -> bool:
    if not ctx.options.half or node.op not in _MEANS or not _plain_floats(ctx, node.inputs[:1]):
        return False
    return all(ctx.value(n) is not None for n in node.inputs[1:] if n)


def _adds(ctx: Lowering, node: Node, name: str) -> bool:
    """Whether a sum will be part of a product that is yet to be planned."""
    if node.op not in ("Add", "Sum") or node.domain or len(node.inputs) != 2:
        return False
    (other,) = (n for n in node.inputs if n != name) if len(set(node.inputs)) == 2 else ("",)
    product = ctx.producers.get(other)
    if product is None or ctx.only_consumer(other) is not node or id(product) in ctx.done:
        return False
    return is_half(ctx, product) and ctx.info(other).shape == ctx.info(name).shape


# ---- what makes them ----


def moved(ctx: Lowering, node: Node, move: Callable[[View], View]) -> bool:
    """Move a value that exists only rounded; returns whether it does."""
    name = node.inputs[0]
    if not _exists(ctx, name) or node.outputs[0] in ctx.outputs:
        return False
    ctx.halves[node.outputs[0]] = move(ctx.halves[name])
    return True


def passed(ctx: Lowering, node: Node) -> tuple[list[View], View] | None:
    """Return the operands of an elementwise node and its result, if all are bfloat16.

    They are if an operand of the result's size exists only so, and so will the result.
    """
    if not any(_exists(ctx, name) for name in node.inputs) or not _passes(ctx, node):
        return None
    name = node.outputs[0]
    names = node.inputs if node.op in _PAIRS else node.inputs[:1]
    full = [n for n in names if ctx.info(n).shape == ctx.info(name).shape and _exists(ctx, n)]
    if not full or not only_rounded(ctx, name):
        return None
    views = [rounded(ctx, n, _order(ctx.halves[full[0]])) for n in names]
    for n in full:
        if ctx.part(name) is None and _dies(ctx, n):
            ctx.halves[name] = ctx.halves[n]
            return views, ctx.halves[name]
    return views, stored(ctx, name, _order(ctx.halves[full[0]]))


def cast(ctx: Lowering, node: Node) -> bool:
    """Take a value for what it is, if a cast between float32 and bfloat16 changes nothing of it."""
    given, made = node.inputs[0], node.outputs[0]  # CastLike has another input
    if _narrows(ctx, node) and _exists(ctx, given):
        if made not in ctx.views:
            ctx.define(made, ctx.halves[given])
        return True
    types = ctx.info(given).dtype, ctx.info(made).dtype
    if not ctx.options.half or types != (DType.BFLOAT16, DType.FLOAT32):
        return False
    inside = ctx.view(given).buffer.kind is Kind.ARENA  # where it may be written over
    if inside or made in ctx.outputs or not only_rounded(ctx, made):
        return False
    ctx.halves[made] = ctx.view(given)
    return True


def pooled(ctx: Lowering, node: Node) -> tuple[View, View] | None:
    """Return input and result of a maximum over windows, if both are bfloat16."""
    name = node.inputs[0]
    if not _exists(ctx, name) or not _passes(ctx, node) or not only_rounded(ctx, node.outputs[0]):
        return None
    return operand(ctx, name, last=True), stored(ctx, node.outputs[0], channels_last)


def joined(ctx: Lowering, node: Node) -> bool:
    """Join values in bfloat16; returns whether their concatenation exists only so."""
    name = node.outputs[0]
    if name not in ctx.halves:
        if not all(_exists(ctx, n) for n in node.inputs) or not only_rounded(ctx, name):
            return False
        order = _order(ctx.halves[node.inputs[0]])
        ctx.halves[name] = ctx.temp(ctx.info(name).dims, DType.BFLOAT16, order)
    whole, start = ctx.halves[name], 0
    axis = int(ctx.attributes(node)["axis"]) % len(whole.shape)
    for part in node.inputs:
        length = ctx.info(part).dims[axis]
        place = whole.slice(axis, start, length)
        if length and ctx.halves.get(part) != place:
            source = ctx.halves[part] if _exists(ctx, part) else ctx.view(part)
            kernel = "copy" if source.dtype is DType.BFLOAT16 else "cast"
            ctx.elementwise(kernel, [source, place])
        start += length
    return True


def source(ctx: Lowering, name: str) -> View:
    """Return a value for a kernel that reads both types."""
    return ctx.halves[name] if _exists(ctx, name) else ctx.view(name)


def _exists(ctx: Lowering, name: str) -> bool:
    """Whether a value exists only rounded."""
    return name in ctx.halves and name not in ctx.views


def _order(view: View) -> Layout:
    return channels_last if view.is_channels_last() and view.shape[1] > 1 else row_major


def _dies(ctx: Lowering, name: str) -> bool:
    """Whether a value's memory is its own, and read once more only."""
    buffer = ctx.halves[name].buffer
    left = [
        sum(id(node) not in ctx.done for node in ctx.consumers(other))
        for other, view in ctx.halves.items()
        if view.buffer is buffer
    ]
    return sum(left) == 1 and buffer.kind is Kind.ARENA


def split_lanes(rows: Array) -> Array:
    """Return [taps, channels] as [blocks, taps, 2, 16]: even channels of a block, then odd ones."""
    taps, channels = rows.shape
    blocks = -(-channels // (2 * LANES))
    full = np.zeros((taps, blocks * 2 * LANES), np.float32)
    full[:, :channels] = rows
    split = full.reshape(taps, blocks, LANES, 2).transpose(1, 0, 3, 2)
    return np.ascontiguousarray(split)
