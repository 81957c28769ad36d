"""Transposed convolutions: one ordinary convolution per phase of the stride."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ...graph.graph import Array, Attribute, Node
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View, channels_last
from .conv import bias_rows, dense, in_channels_last, is_finite, pack_kernel, packed_view
from .epilogue import absorb
from .matrix import floats
from .window import Window, image


@lower("ConvTranspose")
def conv_transpose(ctx: Lowering, node: Node) -> None:
    """Plan a transposed convolution as one ordinary convolution per phase of the stride.

    Output y reads input i where y + pad = i * stride + k: the outputs with equal
    (y + pad) mod stride use the same kernel positions, and lie stride apart in memory.
    """
    floats(ctx, *node.inputs)
    x = ctx.view(node.inputs[0])
    require(len(x.shape) in (3, 4), f"{len(x.shape) - 2}-D convolution")
    attributes = ctx.attributes(node)
    groups = int(attributes["group"])
    bias_name = ctx.optional(node, 2)
    bias = ctx.value(bias_name) if bias_name else None
    require(bias is not None or not bias_name, "computed bias")
    size = ctx.info(node.outputs[0]).dims[2:]
    window = ctx.info(node.inputs[1]).dims[2:]
    strides, pads, dilations = _transposed_window(attributes, x.shape[2:], window, size)
    kernel = _kernel(ctx, node.inputs[1], groups, strides, dilations)
    done = absorb(ctx, node.outputs[0], 1, bias, residual=False)
    out = image(ctx.output(done.output, channels_last, View.is_channels_last))
    source = in_channels_last(ctx, image(x))
    rows = bias_rows(ctx, "", done.bias, groups)
    finite = is_finite(ctx.value(node.inputs[1]))
    for phase_h in range(strides[0]):
        for phase_w in range(strides[1]):
            phases = (phase_h, phase_w)
            target, first = out, [0, 0]
            for axis in (0, 1):
                # y = start + stride * t, and i = first + t - j for kernel position j of the phase
                start = (phases[axis] - pads[axis]) % strides[axis]
                first[axis] = (start + pads[axis]) // strides[axis]
                count = max(-(-(out.shape[2 + axis] - start) // strides[axis]), 0)
                target = target.slice(2 + axis, start, count, strides[axis])
            if not target.size:
                continue
            lengths, packed = kernel(phases)
            reach = (lengths[0] - 1 - first[0], lengths[1] - 1 - first[1])
            # What is read past the end of the image, negative if its end is not needed.
            past = (
                target.shape[2] + lengths[0] - 1 - reach[0] - source.shape[2],
                target.shape[3] + lengths[1] - 1 - reach[1] - source.shape[3],
            )
            w = Window(lengths, (1, 1), (*reach, *past), (1, 1))
            dense(ctx, source, packed, w, groups, rows, finite, done, target)
    done.finish(ctx)


Pair = tuple[int, int]


def _kernel(
    ctx: Lowering, name: str, groups: int, strides: Pair, dilations: Pair
) -> Callable[[Pair], tuple[Pair, View]]:
    """Return a function of a phase that gives its part of the kernel: size, and packed."""
    weights = ctx.value(name)
    if weights is None:
        require(dilations == (1, 1), "dilations of computed weights")
        return partial(_computed_part, ctx, image(ctx.view(name)), groups, strides)
    whole = _spread(_as_forward(weights if weights.ndim == 4 else weights[:, :, None], groups),
                    dilations)  # fmt: skip

    def known_part(phases: Pair) -> tuple[Pair, View]:
        part = whole[:, :, phases[0] :: strides[0], phases[1] :: strides[1]][:, :, ::-1, ::-1]
        if 0 in part.shape:
            part = np.zeros((*whole.shape[:2], 1, 1), np.float32)
        key = ("transposed", groups, *strides, *dilations, *phases)
        packed = ctx.packed(name, key, partial(pack_kernel, part, groups))
        return (part.shape[2], part.shape[3]), packed

    return known_part


def _computed_part(
    ctx: Lowering, weights: View, groups: int, strides: Pair, phases: Pair
) -> tuple[Pair, View]:
    """Pack a phase of weights [C, OC / groups, KH, KW] that are not known before they are run."""
    c, oc, *size = weights.shape
    counts = [len(range(p, n, s)) for p, n, s in zip(phases, size, strides, strict=True)]
    if not all(counts):
        zeros = ctx.temp((groups * oc, c // groups, 1, 1), weights.dtype)
        ctx.elementwise("fill", [zeros], [0])
        return (1, 1), packed_view(ctx, zeros, groups)
    for axis, (count, phase, stride) in enumerate(zip(counts, phases, strides, strict=True)):
        weights = weights.slice(2 + axis, phase + (count - 1) * stride, count, -stride)
    split = ctx.reshaped(weights, (groups, c // groups, oc, *counts)).transpose((0, 2, 1, 3, 4))
    part = ctx.reshaped(split, (groups * oc, c // groups, *counts))
    return (counts[0], counts[1]), packed_view(ctx, part, groups)


def _as_forward(weights: Array, groups: int) -> Array:
    """Return [C, OC / groups, KH, KW] as [OC, C / groups, KH, KW]."""
    c, oc, kh, kw = weights.shape
    split = weights.reshape(groups, c // groups, oc, kh, kw).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(split.reshape(groups * oc, c // groups, kh, kw))


def _spread(kernel: Array, dilations: tuple[int, int]) -> Array:
    """Return a dilated kernel with its zeros written out."""
    if dilations == (1, 1):
        return kernel
    oc, ic, kh, kw = kernel.shape
    size = ((kh - 1) * dilations[0] + 1, (kw - 1) * dilations[1] + 1)
    spread = np.zeros((oc, ic, *size), np.float32)
    spread[:, :, :: dilations[0], :: dilations[1]] = kernel
    return spread


def _transposed_window(
    attributes: dict[str, Attribute],
    size: tuple[int, ...],
    kernel: tuple[int, ...],
    out: tuple[int, ...],
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return strides, pads at the start, and dilations; 1-D ones get a first dimension."""
    rank = len(size)
    strides = list(attributes.get("strides") or [1] * rank)
    dilations = list(attributes.get("dilations") or [1] * rank)
    pads = list(attributes.get("pads") or [0] * (2 * rank))[:rank]
    extra = list(attributes.get("output_padding") or [0] * rank)
    auto = attributes.get("auto_pad", "NOTSET")
    if auto.startswith("SAME") or attributes.get("output_shape"):
        for i in range(rank):
            full = strides[i] * (size[i] - 1) + extra[i] + (kernel[i] - 1) * dilations[i] + 1
            total = max(full - out[i], 0) if auto.startswith("SAME") else full - out[i]
            pads[i] = total // 2 if auto == "SAME_UPPER" else total - total // 2
    elif auto == "VALID":
        pads = [0] * rank
    if rank == 1:
        strides, dilations, pads = [1, *strides], [1, *dilations], [0, *pads]
    return (strides[0], strides[1]), (pads[0], pads[1]), (dilations[0], dilations[1])
