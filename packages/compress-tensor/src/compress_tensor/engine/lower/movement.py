"""Operators that move elements: mostly views, else copies."""

from __future__ import annotations

import numpy as np

from ...graph.graph import Node
from ...native.call import bits_of
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View
from . import halves
from .elementwise import MOVABLE


def movable(ctx: Lowering, node: Node) -> View:
    """Return the view of the first input, if libcore can move its element type."""
    dtype = ctx.info(node.inputs[0]).dtype
    require(dtype in MOVABLE, f"{dtype.label} elements")
    return ctx.view(node.inputs[0])


@lower("Identity")
def identity(ctx: Lowering, node: Node) -> None:
    """An alias."""
    if not halves.moved(ctx, node, lambda view: view):
        ctx.define(node.outputs[0], movable(ctx, node))


@lower("Dropout")
def dropout(ctx: Lowering, node: Node) -> None:
    """An alias in inference; the mask, if asked for, is all true."""
    training = ctx.optional(node, 2)
    if training:
        value = ctx.value(training)
        require(value is not None and not value.any(), "training mode")
    data = movable(ctx, node)
    if len(node.outputs) > 1 and node.outputs[1]:
        mask = ctx.output(node.outputs[1])
        ctx.elementwise("fill", [mask], [bits_of(True, mask.dtype)])
    ctx.define(node.outputs[0], data)


@lower("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(ctx: Lowering, node: Node) -> None:
    """A view, or one copy where the elements do not lie in row-major order."""
    shape = ctx.info(node.outputs[0]).dims
    if not halves.moved(ctx, node, lambda view: ctx.reshaped(view, shape)):
        ctx.define(node.outputs[0], ctx.reshaped(movable(ctx, node), shape))


@lower("Transpose")
def transpose(ctx: Lowering, node: Node) -> None:
    """A view."""
    order = ctx.attributes(node)["perm"]
    rank = ctx.info(node.inputs[0]).rank
    order = list(range(rank))[::-1] if order is None else list(order)
    if not halves.moved(ctx, node, lambda view: view.transpose(order)):
        ctx.define(node.outputs[0], movable(ctx, node).transpose(order))


@lower("Expand")
def expand(ctx: Lowering, node: Node) -> None:
    """A view with repeats of stride 0."""
    view = movable(ctx, node)
    ctx.define(node.outputs[0], view.expand(ctx.info(node.outputs[0]).dims))


@lower("Slice")
def slice_(ctx: Lowering, node: Node) -> None:
    """A view."""
    view = movable(ctx, node)
    values = [ctx.value(name) if name else None for name in node.inputs[1:]]
    require(values[0] is not None and values[1] is not None, "bounds are not known")
    starts, ends = (np.asarray(v).reshape(-1).tolist() for v in values[:2])
    axes, steps = (
        default if len(values) <= n or (value := values[n]) is None else value.reshape(-1).tolist()
        for n, default in ((2, list(range(len(starts)))), (3, [1] * len(starts)))
    )
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = int(axis) % len(view.shape)
        chosen = range(
            *slice(int(start), _end(int(end), int(step)), int(step)).indices(view.shape[axis])
        )
        view = view.slice(axis, chosen.start if len(chosen) else 0, len(chosen), int(step))
    ctx.define(node.outputs[0], view)


def _end(end: int, step: int) -> int | None:
    """Return the end for Python's slice: ONNX's "far below zero" means "past the start"."""
    return None if step < 0 and end < -(2**31) else end


@lower("Split")
def split(ctx: Lowering, node: Node) -> None:
    """Views."""
    view = movable(ctx, node)
    axis = int(ctx.attributes(node)["axis"]) % len(view.shape)
    start = 0
    for name in node.outputs:
        length = ctx.info(name).dims[axis]
        ctx.define(name, view.slice(axis, start, length))
        start += length


@lower("Concat")
def concat(ctx: Lowering, node: Node) -> None:
    """Copies, save for the inputs that were already computed in place."""
    require(all(ctx.info(name).dtype in MOVABLE for name in node.inputs), "element type")
    if halves.joined(ctx, node):
        return
    name = node.outputs[0]
    views = [ctx.view(part) for part in node.inputs]
    out = ctx.views[name] if name in ctx.views else ctx.output(name, ctx.like(*node.inputs))
    axis = int(ctx.attributes(node)["axis"]) % len(out.shape)
    start = 0
    for view in views:
        length = view.shape[axis]
        target = out.slice(axis, start, length)
        if length and view != target:
            ctx.copy(view, target)
        start += length


@lower("Tile")
def tile(ctx: Lowering, node: Node) -> None:
    """One copy per repetition of the whole."""
    view = movable(ctx, node)
    repeats = ctx.value(node.inputs[1])
    require(repeats is not None, "repeats are not known")
    assert repeats is not None
    out = ctx.output(node.outputs[0])
    # Seen as [r0, d0, r1, d1, ...], the repeats are dimensions of stride 0.
    pairs = zip(repeats.reshape(-1).tolist(), view.shape, strict=True)
    target = out.reshape([n for pair in pairs for n in pair])
    assert target is not None
    for axis in range(len(view.shape)):
        view = view.insert(2 * axis)
    ctx.copy(view.expand(target.shape), target)


@lower("Pad")
def pad(ctx: Lowering, node: Node) -> None:
    """Fill and copy for constants; per-axis index tables for the other modes."""
    view = movable(ctx, node)
    mode = ctx.attributes(node)["mode"]
    pads = ctx.value(node.inputs[1])
    require(pads is not None, "pads are not known")
    assert pads is not None
    axes_name = ctx.optional(node, 3)
    axes = ctx.value(axes_name) if axes_name else np.arange(len(view.shape))
    require(axes is not None, "axes are not known")
    assert axes is not None
    before, after = [0] * len(view.shape), [0] * len(view.shape)
    widths = pads.reshape(2, -1).tolist()
    for axis, low, high in zip(axes.reshape(-1).tolist(), *widths, strict=True):
        before[axis], after[axis] = int(low), int(high)
    if mode != "constant":
        _pad_by_index(ctx, node, view, before, after, mode)
        return
    fill_name = ctx.optional(node, 2)
    value = ctx.value(fill_name) if fill_name else np.zeros(1)
    require(value is not None, "the pad value is not known")
    out = ctx.output(node.outputs[0], ctx.like(node.inputs[0]))
    assert value is not None
    bits = bits_of(value.reshape(-1)[0] if value.size else 0, view.dtype)
    pad_constant(ctx, view, out, before, after, bits)


def pad_constant(
    ctx: Lowering, view: View, out: View, before: list[int], after: list[int], bits: int
) -> None:
    """Write ``view`` with a border of one value (negative widths crop)."""
    inner, source = out, view
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        source = source.slice(axis, max(-low, 0), source.shape[axis] - max(-low, 0) - max(-high, 0))
        width = inner.shape[axis]
        # The border slabs: only they are filled, each element once.
        for start, length in ((0, max(low, 0)), (width - max(high, 0), max(high, 0))):
            if length:
                ctx.elementwise("fill", [inner.slice(axis, start, length)], [bits])
        inner = inner.slice(axis, max(low, 0), width - max(low, 0) - max(high, 0))
    if inner.size:
        ctx.copy(source, inner)


def _pad_by_index(
    ctx: Lowering, node: Node, view: View, before: list[int], after: list[int], mode: str
) -> None:
    modes = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}
    require(mode in modes, f"mode {mode}")
    for axis, (low, high) in enumerate(zip(before, after, strict=True)):
        if low == 0 and high == 0:
            continue
        size = view.shape[axis]
        cropped = np.arange(size, dtype=np.int64)[max(-low, 0) : size - max(-high, 0)]
        table = np.pad(cropped, (max(low, 0), max(high, 0)), mode=modes[mode])  # type: ignore[call-overload]
        shape = [*view.shape[:axis], len(table), *view.shape[axis + 1 :]]
        taken = ctx.temp(shape, view.dtype)
        ctx.emit("gather", [view, ctx.constant(table), taken], [axis])
        view = taken
    ctx.define(node.outputs[0], view)


@lower("DepthToSpace", "SpaceToDepth")
def depth_space(ctx: Lowering, node: Node) -> None:
    """A copy between views in which the blocks are dimensions of their own."""
    view = movable(ctx, node)
    attributes = ctx.attributes(node)
    block = int(attributes["blocksize"])
    mode = attributes["mode"]
    n, c, h, w = view.shape
    if node.op == "DepthToSpace":
        depth = c // (block * block)
        if mode == "DCR":
            parts, order = (n, block, block, depth, h, w), (0, 3, 4, 1, 5, 2)
        else:
            parts, order = (n, depth, block, block, h, w), (0, 1, 4, 2, 5, 3)
    else:
        parts = (n, c, h // block, block, w // block, block)
        order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    source = ctx.reshaped(view, parts).transpose(order)
    out = ctx.output(node.outputs[0])
    target = out.reshape(source.shape)
    assert target is not None
    ctx.copy(source, target)


@lower("Trilu")
def trilu(ctx: Lowering, node: Node) -> None:
    """The kernel, when the diagonal is known."""
    view = movable(ctx, node)
    name = ctx.optional(node, 1)
    k = ctx.value(name) if name else np.zeros(1, np.int64)
    require(k is not None, "k is not known")
    assert k is not None
    out = ctx.output(node.outputs[0])
    ctx.emit("trilu", [view, out], [int(ctx.attributes(node)["upper"]), int(k.reshape(-1)[0])])


@lower("CenterCropPad")
def center_crop_pad(ctx: Lowering, node: Node) -> None:
    """A crop in the middle and a border of zeros."""
    view = movable(ctx, node)
    out = ctx.output(node.outputs[0])
    before, after = [], []
    for have, want in zip(view.shape, out.shape, strict=True):
        extra = want - have
        low = extra // 2 if extra >= 0 else -((-extra) // 2)
        before.append(low)
        after.append(extra - low)
    pad_constant(ctx, view, out, before, after, 0)
