"""Gradients that have kernels; all work channels-last."""

from __future__ import annotations

from math import inf, prod

from ...backend.reference.gradient import DOMAIN, SLOPES
from ...dtype import DType
from ...graph.graph import Node
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View, channels_last
from .matrix import floats, rows
from .window import image, window

ELEMENTS = 1 << 15  #: of a chunk of rows, about
PIXELS = 2048  #: of a chunk, about: sums of chunks are added in their order


def _images(ctx: Lowering, name: str) -> View:
    """Return (n, c, ...) as images, channels last."""
    view = ctx.view(name)
    require(2 <= len(view.shape) <= 4, f"{len(view.shape) - 2} spatial dimensions")
    view = _four(view)
    return view if view.is_channels_last() else ctx.contiguous(view, channels_last)


def _chunk(view: View) -> int:
    """Return the images of a chunk, whose number depends on the shape alone."""
    return max(PIXELS // max(prod(view.shape[2:]), 1), 1)


@lower("ConvWeightGrad", domain=DOMAIN)
def conv_weight_grad(ctx: Lowering, node: Node) -> None:
    """Plan partial sums by chunks of images, and their sum."""
    floats(ctx, *node.inputs)
    x, g = ctx.view(node.inputs[0]), ctx.view(node.inputs[1])
    require(len(x.shape) in (3, 4), f"{len(x.shape) - 2}-D convolution")
    attributes = ctx.attributes(node)
    w = window(attributes, tuple(attributes["kernel_shape"]), x.shape[2:])
    group, taps = int(attributes["group"]), prod(w.kernel)
    out = ctx.output(node.outputs[0])
    if not out.size:
        return
    if not x.size or not g.size:
        ctx.elementwise("fill", [out], [0])
        return
    images = [image(view) for view in (x, g)]
    x, g = (v if v.is_channels_last() else ctx.contiguous(v, channels_last) for v in images)
    chunk = _chunk(g)
    count = -(-x.shape[0] // chunk)
    partial = ctx.temp((count, taps, x.shape[1] // group, g.shape[1]), DType.FLOAT32)
    ctx.emit("conv_weight_grad", [x, g, partial], [*w.words(), group, chunk])
    total = partial
    if count > 1:
        total = ctx.temp((1, *partial.shape[1:]), DType.FLOAT32)
        ctx.emit("reduce", [partial, total], [0])
    moved = total.transpose((3, 2, 1, 0))
    target = out.reshape((*out.shape[:2], taps, 1))
    assert target is not None
    ctx.copy(moved, target)


@lower("MaxPoolGrad", domain=DOMAIN)
def max_pool_grad(ctx: Lowering, node: Node) -> None:
    """Plan finding the largest elements again, and adding to their gradients."""
    floats(ctx, *node.inputs)
    x, g = _images(ctx, node.inputs[0]), _images(ctx, node.inputs[1])
    attributes = ctx.attributes(node)
    w = window(attributes, tuple(attributes["kernel_shape"]), ctx.info(node.inputs[0]).dims[2:])
    out = ctx.output(node.outputs[0], channels_last, View.is_channels_last)
    if out.size:
        ctx.emit("max_pool_grad", [x, g, _four(out)], w.words())


def _four(view: View) -> View:
    """Return (n, c, ...) as images."""
    while len(view.shape) < 4:
        view = view.insert(2)
    return view


def _partial(ctx: Lowering, x: View, chunk: int) -> View:
    """Return room for two sums per chunk and channel."""
    return ctx.temp((-(-x.shape[0] // chunk), 2, x.shape[1]), DType.FLOAT32)


@lower("BatchNorm", domain=DOMAIN)
def batch_norm(ctx: Lowering, node: Node) -> None:
    """Plan statistics and the normalisation."""
    floats(ctx, *node.inputs)
    require(len(node.outputs) == 3 and all(node.outputs), "an output is not wanted")
    x = _images(ctx, node.inputs[0])
    require(x.size, "no elements")
    attributes = ctx.attributes(node)
    rows = [ctx.contiguous(ctx.view(name)) for name in node.inputs[1:3]]
    residual = ctx.optional(node, 3)
    added = _images(ctx, residual) if residual else None
    chunk = _chunk(x)
    out = ctx.output(node.outputs[0], channels_last, View.is_channels_last)
    more = [ctx.output(name) for name in node.outputs[1:]]
    operands = [x, *rows, _partial(ctx, x, chunk), _four(out), *more, added]
    low = 0.0 if attributes["relu"] else -inf
    ctx.emit("batch_norm", operands, [chunk, float(attributes["epsilon"]), low])


@lower("BatchNormGrad", domain=DOMAIN)
def batch_norm_grad(ctx: Lowering, node: Node) -> None:
    """Plan all three gradients in two passes over memory."""
    floats(ctx, *node.inputs)
    require(len(node.outputs) == 3 and all(node.outputs), "an output is not wanted")
    x, g = _images(ctx, node.inputs[0]), _images(ctx, node.inputs[1])
    require(x.size, "no elements")
    rows = [ctx.contiguous(ctx.view(name)) for name in node.inputs[2:]]
    chunk = _chunk(x)
    out = ctx.output(node.outputs[0], channels_last, View.is_channels_last)
    more = [ctx.output(name) for name in node.outputs[1:]]
    operands = [x, g, *rows, _partial(ctx, x, chunk), _four(out), *more]
    ctx.emit("batch_norm_grad", operands, [chunk])


def _rows(ctx: Lowering, view: View, n: int) -> View:
    """Return a tensor as rows of n dense elements."""
    return rows(ctx, ctx.reshaped(view, (view.size // n, n)))


@lower("LayerNormGrad", domain=DOMAIN)
def layer_norm_grad(ctx: Lowering, node: Node) -> None:
    """Plan all three gradients in one pass over memory."""
    floats(ctx, *node.inputs)
    require(len(node.outputs) == 3 and all(node.outputs), "an output is not wanted")
    x, g, scale = (ctx.view(name) for name in node.inputs)
    require(x.size, "no elements")
    n = scale.size
    chunk = max(ELEMENTS // n, 1)
    outs = [ctx.output(name) for name in node.outputs]
    partial = ctx.temp((-(-x.size // n // chunk), 2, n), DType.FLOAT32)
    flat = [ctx.reshaped(view, (n,)) for view in (ctx.contiguous(scale), *outs[1:])]
    operands = [_rows(ctx, x, n), _rows(ctx, g, n), flat[0], partial]
    operands += [ctx.reshaped(outs[0], (x.size // n, n)), *flat[1:]]
    ctx.emit("layer_norm_grad", operands, [chunk, float(ctx.attributes(node)["epsilon"])])


@lower("SoftmaxGrad", domain=DOMAIN)
def softmax_grad(ctx: Lowering, node: Node) -> None:
    """Plan the derivative of softmax over the last axis."""
    floats(ctx, *node.inputs)
    y, g = (ctx.view(name) for name in node.inputs)
    out = ctx.output(node.outputs[0])
    if out.size:
        n = out.shape[-1]
        target = ctx.reshaped(out, (out.size // n, n))
        ctx.emit("softmax_grad", [_rows(ctx, y, n), _rows(ctx, g, n), target], [])


@lower("UnaryGrad", domain=DOMAIN)
def unary_grad(ctx: Lowering, node: Node) -> None:
    """Plan the derivative of an elementwise function."""
    floats(ctx, *node.inputs)
    attributes = ctx.attributes(node)
    views = [ctx.view(name) for name in node.inputs]
    out = ctx.output(node.outputs[0], ctx.like(*node.inputs))
    code = list(SLOPES).index(attributes["function"])
    ctx.elementwise("unary_grad", [*views, out], [code, float(attributes["alpha"])])


@lower("CrossEntropy", "CrossEntropyGrad", domain=DOMAIN)
def cross_entropy(ctx: Lowering, node: Node) -> None:
    """Plan a loss per row, or its gradient."""
    scores, labels, *factor = node.inputs
    floats(ctx, scores, *factor)
    attributes = ctx.attributes(node)
    require(ctx.info(scores).dims[1], "no classes")
    operands = [rows(ctx, ctx.view(scores)), ctx.view(labels), *(ctx.view(n) for n in factor)]
    ignored = attributes["ignore_index"]
    args = [float(attributes["smoothing"]), int(ignored is not None), int(ignored or 0)]
    name = "cross_entropy_grad" if factor else "cross_entropy"
    ctx.emit(name, [*operands, ctx.output(node.outputs[0])], args)
