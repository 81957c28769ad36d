"""What a product can do before it stores: add a bias and a residual, and clip."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

import numpy as np

from ...dtype import DType
from ...graph.graph import Array, Node
from ..lowering import Lowering
from .elementwise import clip_bounds


@dataclass
class Epilogue:
    """The nodes after a product that its kernel takes over.

    Attributes:
        output: the value that the last of them makes.
        bias: one float per channel, or None.
        residual: the value to add, or "".
        low: lower bound of the clip.
        high: upper bound of the clip.
        nodes: what was taken over.
    """

    output: str
    bias: Array | None = None
    residual: str = ""
    low: float = -inf
    high: float = inf
    nodes: list[Node] = field(default_factory=list)

    def finish(self, ctx: Lowering) -> None:
        """Mark the nodes as planned."""
        for node in self.nodes:
            ctx.finish(node)


def absorb(
    ctx: Lowering, output: str, axis: int, bias: Array | None, *, residual: bool = True
) -> Epilogue:
    """Collect the nodes after ``output`` that can be computed by the kernel that makes it.

    Rules, in this order, each at most once, while the value has a single reader:

    1. Add of a constant that varies along ``axis`` only: into the bias.
    2. Add of a computed value of the same shape, available already: the residual.
    3. Relu, or Clip with known bounds: the clip.

    Args:
        ctx: the plan so far.
        output: what the product makes.
        axis: the channel axis of the output.
        bias: the product's own bias.
        residual: whether the kernel can add one.
    """
    found = Epilogue(output, bias)
    shape = ctx.info(output).dims
    clipped = False
    while not clipped:
        node = ctx.only_consumer(found.output)
        if node is None or node.domain or ctx.info(node.outputs[0]).shape != shape:
            break
        if node.op in ("Add", "Sum") and len(node.inputs) == 2:
            other = node.inputs[1 - node.inputs.index(found.output)]
            bias_too = None if found.residual else per_channel(ctx, other, shape, axis)
            if bias_too is not None:
                found.bias = bias_too if found.bias is None else found.bias + bias_too
            elif residual and not found.residual and is_residual(ctx, other, shape):
                found.residual = other
            else:
                break
        elif node.op in ("Relu", "Clip"):
            bounds = clip_bounds(ctx, node)
            if bounds is None:
                break
            found.low, found.high = bounds
            clipped = True
        else:
            break
        found.nodes.append(node)
        found.output = node.outputs[0]
    return found


def per_channel(ctx: Lowering, name: str, shape: tuple[int, ...], axis: int) -> Array | None:
    """Return a constant as one float per channel, if it varies along ``axis`` only."""
    value = ctx.value(name)
    if value is None or value.dtype != np.float32 or value.ndim > len(shape):
        return None
    full = value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
    wide = [n for i, n in enumerate(full.shape) if i != axis % len(shape)]
    if any(n != 1 for n in wide):
        return None
    return np.broadcast_to(full.reshape(-1), (shape[axis],)).copy()


def is_residual(ctx: Lowering, name: str, shape: tuple[int, ...]) -> bool:
    """Whether the kernel that makes a float32 result of that shape can add a value."""
    info = ctx.info(name)
    return (
        ctx.is_ready(name)
        and info.shape == shape
        and info.dtype is DType.FLOAT32
        and ctx.value(name) is None
    )
