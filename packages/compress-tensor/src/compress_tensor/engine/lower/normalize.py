"""Normalisations and softmax."""

from __future__ import annotations

from math import prod

import numpy as np

from ...graph.graph import Node
from ..lowering import Lowering
from ..quantized import Quantized
from ..registry import lower, require
from ..view import View
from .codes import grid_to_bytes, scalar
from .epilogue import absorb
from .matrix import floats


@lower("Softmax", "LogSoftmax")
def softmax(ctx: Lowering, node: Node) -> None:
    """Plan softmax along one axis."""
    floats(ctx, node.inputs[0])
    x = ctx.view(node.inputs[0])
    axis = int(ctx.attributes(node)["axis"]) % max(len(x.shape), 1)
    out = ctx.output(node.outputs[0], ctx.like(node.inputs[0]), reuse=node.inputs)
    if out.size and len(x.shape):
        kernel = "softmax" if node.op == "Softmax" else "log_softmax"
        ctx.emit(kernel, [x, out], [axis])
    elif out.size:
        require(False, "a scalar")


def _trailing(ctx: Lowering, view: View, n: int) -> View:
    """Return the view with its last n dims contiguous among themselves."""
    return view if _trailing_ok(view, n) else ctx.contiguous(view)


def _trailing_ok(view: View, n: int) -> bool:
    step = 1
    for size, stride in zip(view.shape[::-1][:n], view.strides[::-1][:n], strict=True):
        if size != 1 and stride != step:
            return False
        step *= size
    return True


@lower("LayerNormalization")
def layer_norm(ctx: Lowering, node: Node) -> None:
    """Plan layer normalisation over the trailing dims."""
    floats(ctx, *node.inputs)
    attributes = ctx.attributes(node)
    require(int(attributes["stash_type"]) == 1, "stash_type")
    rank = len(ctx.info(node.inputs[0]).dims)
    n = rank - int(attributes["axis"]) % rank
    x = _trailing(ctx, ctx.view(node.inputs[0]), n)
    shape = x.shape[rank - n :]
    parts: list[View | None] = []
    for i in (1, 2):
        name = ctx.optional(node, i)
        parts.append(ctx.contiguous(_wide(ctx.view(name), shape)) if name else None)
    extras: list[View | None] = []
    for i in (1, 2):
        name = node.outputs[i] if i < len(node.outputs) else ""
        extras.append(ctx.output(name) if name else None)

    def fits(view: View) -> bool:
        return _trailing_ok(view, n)

    args: list[int | float] = [n, float(attributes["epsilon"])]
    name = node.outputs[0]
    found = _quantized(ctx, name)
    alone = found is not None and ctx.only_consumer(name) is found[0]
    results = [None if alone else ctx.output(name, accepts=fits), *extras]
    if found is not None:
        results.append(ctx.output(found[0].outputs[0], accepts=fits))
        args += scalar(found[1])
    if prod(x.shape):
        ctx.emit("layer_norm", [x, *parts, *results], args)
    if found is not None:
        ctx.finish(found[0])


def _quantized(ctx: Lowering, name: str) -> tuple[Node, Quantized] | None:
    """Return a reader that quantizes a value to bytes of one known grid, and that grid."""
    for node in ctx.consumers(name):
        grid = grid_to_bytes(ctx, node) if node.inputs[0] == name else None
        if grid is not None:
            return node, grid
    return None


def _wide(view: View, shape: tuple[int, ...]) -> View:
    require(len(view.shape) <= len(shape), "a scale of higher rank than what is normalised")
    return view.expand(shape)


@lower("RMSNormalization")
def rms_norm(ctx: Lowering, node: Node) -> None:
    """Plan root-mean-square normalisation over the trailing dims."""
    floats(ctx, *node.inputs)
    attributes = ctx.attributes(node)
    rank = len(ctx.info(node.inputs[0]).dims)
    n = rank - int(attributes["axis"]) % rank
    x = _trailing(ctx, ctx.view(node.inputs[0]), n)
    scale = ctx.contiguous(_wide(ctx.view(node.inputs[1]), x.shape[rank - n :]))
    out = ctx.output(node.outputs[0], accepts=lambda v: _trailing_ok(v, n))
    if out.size:
        ctx.emit("rms_norm", [x, scale, out], [n, float(attributes["epsilon"])])


@lower("InstanceNormalization", "GroupNormalization")
def group_norm(ctx: Lowering, node: Node) -> None:
    """Plan normalisation over groups of channels and all pixels."""
    floats(ctx, *node.inputs)
    attributes = ctx.attributes(node)
    x = ctx.view(node.inputs[0])
    groups = x.shape[1] if node.op == "InstanceNormalization" else int(attributes["num_groups"])
    scale, bias = (ctx.contiguous(ctx.view(name)) for name in node.inputs[1:3])
    require(scale.shape == bias.shape == (x.shape[1],), "scale per group")
    out = ctx.output(node.outputs[0], ctx.like(node.inputs[0]))
    if out.size:
        ctx.emit("group_norm", [x, scale, bias, out], [groups, float(attributes["epsilon"])])


@lower("BatchNormalization")
def batch_norm(ctx: Lowering, node: Node) -> None:
    """Plan a batch normalisation that no convolution took in: scale, shift, and a clip."""
    floats(ctx, *node.inputs)
    attributes = ctx.attributes(node)
    require(not attributes["training_mode"] and len(node.outputs) == 1, "training mode")
    values = [ctx.value(name) for name in node.inputs[1:]]
    require(all(value is not None for value in values), "computed statistics")
    scale, bias, mean, variance = (np.asarray(value, np.float64) for value in values)
    factor = scale / np.sqrt(variance + float(attributes["epsilon"]))
    x = ctx.view(node.inputs[0])
    require(len(x.shape) >= 2, "rank below 2")
    shape = (1, -1, *(1 for _ in x.shape[2:]))
    done = absorb(ctx, node.outputs[0], 1, None, residual=False)
    shift = bias - mean * factor + (0.0 if done.bias is None else done.bias)
    parts = [ctx.constant(v.astype(np.float32).reshape(shape)) for v in (factor, shift)]
    out = ctx.output(done.output, ctx.like(node.inputs[0]), reuse=node.inputs[:1])
    ctx.elementwise("scale_shift", [x, *parts, out], [done.low, done.high])
    done.finish(ctx)


@lower("LpNormalization")
def lp_norm(ctx: Lowering, node: Node) -> None:
    """Plan division by the L1 or L2 norm along an axis."""
    floats(ctx, node.inputs[0])
    attributes = ctx.attributes(node)
    x = ctx.view(node.inputs[0])
    out = ctx.output(node.outputs[0], ctx.like(node.inputs[0]))
    if out.size:
        ctx.emit(
            "lp_norm", [x, out], [int(attributes["axis"]) % len(x.shape), int(attributes["p"])]
        )


@lower("LRN")
def lrn(ctx: Lowering, node: Node) -> None:
    """Plan local response normalisation across channels."""
    floats(ctx, node.inputs[0])
    attributes = ctx.attributes(node)
    out = ctx.output(node.outputs[0], ctx.like(node.inputs[0]))
    if out.size:
        numbers = [float(attributes[name]) for name in ("alpha", "beta", "bias")]
        ctx.emit("lrn", [ctx.view(node.inputs[0]), out], [int(attributes["size"]), *numbers])
