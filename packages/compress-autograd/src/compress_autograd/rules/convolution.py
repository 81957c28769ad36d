"""Derivatives of convolutions and pools, in any number of spatial dimensions."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

import compress_tensor as ct
from compress_tensor import Tensor
from compress_tensor.backend.reference.spatial import Window, transposed, windows
from compress_tensor.eager import run, run_many

from ..tape import is_grad_enabled
from ..views import embed
from .composed import composed
from .registry import rule

Windows = list[Window]


def _axes(call: Any, x: tuple[int, ...], kernel: Any) -> Windows:
    a = call.attributes
    wanted = (a["strides"], a["pads"], a["dilations"], a["auto_pad"], a.get("ceil_mode", 0))
    return list(windows(x[2:], kernel, *wanted))


def _frame(x: Tensor, axes: Windows) -> Tensor:
    """Return images in a frame of zeros that holds every window (what no window reads is cut)."""
    size = [max((w.output - 1) * w.stride + w.reach, 0) for w in axes]
    if all(w.begin == 0 and n == w.size for w, n in zip(axes, size, strict=True)):
        return x
    starts = [0, 0, *(w.begin for w in axes)]
    return embed(x, (*x.shape[:2], *size), starts, [1] * x.ndim)


def _tap(framed: Tensor, axes: Windows, position: tuple[int, ...]) -> Tensor:
    """Return what one position of the kernel sees: (n, c, outputs)."""
    for i, (w, at) in enumerate(zip(axes, position, strict=True)):
        framed = framed.narrow(2 + i, at * w.dilation, w.output, w.stride)
    return framed


def _taps(axes: Windows) -> Any:
    return product(*(range(w.kernel) for w in axes))


def input_gradient(g: Tensor, weight: Tensor, axes: Windows, group: int) -> Tensor:
    """Return the gradient of a convolution's input: another convolution, the kernel turned.

    With strides it is the transposed one, which looks at each phase of the stride by itself.

    Args:
        g: of the result, (n, out, outputs).
        weight: (out, c / group, kernel).
        axes: of the convolution.
        group: of the convolution.
    """
    if any(w.stride > 1 for w in axes) and all(w.dilation == 1 for w in axes):
        extra = [(w.size + w.begin + w.end - w.reach) % w.stride for w in axes]
        pairs = (*_numbers(axes, group), ("output_padding", tuple(extra)))
        return run("ConvTranspose", (g, weight), pairs)
    before = [w.reach - 1 - w.begin for w in axes]
    after = [w.size - b - w.output for w, b in zip(axes, before, strict=True)]
    after = [n + w.reach - 1 for n, w in zip(after, axes, strict=True)]
    pads = (0,) * (2 * len(axes))
    if all(w.stride == 1 for w in axes) and min([*before, *after], default=0) >= 0:
        pads = (*before, *after)  # the convolution itself sees zeros around
    else:
        size = [w.size + w.reach - 1 for w in axes]
        steps = [1, 1, *(w.stride for w in axes)]
        g = embed(g, (*g.shape[:2], *size), [0, 0, *before], steps)
    out, depth = weight.shape[:2]
    kernel = weight.shape[2:]
    turned = weight.reshape((group, out // group, depth, *kernel)).swapaxes(1, 2)
    turned = turned.flip(list(range(3, turned.ndim)))
    turned = turned.reshape((group * depth, out // group, *kernel))
    dilations = tuple(w.dilation for w in axes)
    return run("Conv", (g, turned), (("dilations", dilations), ("group", group), ("pads", pads)))


def _numbers(axes: Windows, group: int) -> tuple[tuple[str, Any], ...]:
    """Return the attributes of a convolution with these windows."""
    return (
        ("strides", tuple(w.stride for w in axes)),
        ("dilations", tuple(w.dilation for w in axes)),
        ("pads", (*(w.begin for w in axes), *(w.end for w in axes))),
        ("group", group),
    )


def weight_gradient(
    x: Tensor, g: Tensor, shape: tuple[int, ...], axes: Windows, group: int
) -> Tensor:
    """Return the gradient of a convolution's weights, of ``shape``."""
    attributes = (("kernel_shape", shape[2:]), *_numbers(axes, group))
    return run("compress::ConvWeightGrad", (x, g), attributes)


@rule("compress::ConvWeightGrad", 0)
def weight_grad_input(g: Tensor, G: Tensor, call: Any, *, group: int) -> Tensor:
    """Go back from weights to the input."""
    return input_gradient(G, g, _axes(call, call.shape(0), g.shape[2:]), group)


@rule("compress::ConvWeightGrad", 1)
def weight_grad_result(g: Tensor, X: Tensor, call: Any, *, group: int) -> Tensor:
    """Convolve with the gradient in place of weights."""
    return run("Conv", (X, g), _numbers(_axes(call, X.shape, g.shape[2:]), group))


@rule("Conv", 0)
def conv_input(g: Tensor, W: Tensor, call: Any, *, group: int) -> Tensor:
    """Convolve with the kernel turned."""
    return input_gradient(g, W, _axes(call, call.shape(0), W.shape[2:]), group)


@rule("Conv", 1)
def conv_weight(g: Tensor, X: Tensor, call: Any, *, group: int) -> Tensor:
    """Correlate input and gradient."""
    shape = call.shape(1)
    return weight_gradient(X, g, shape, _axes(call, X.shape, shape[2:]), group)


def _bias(g: Tensor) -> Tensor:
    return ct.sum(g, (0, *range(2, g.ndim)))


rule("Conv", 2)(_bias)
rule("ConvTranspose", 2)(_bias)


def _forward(call: Any) -> Windows:
    """Return the windows of the convolution whose input gradient a transposed one is."""
    a, x, kernel = call.attributes, call.shape(0), call.shape(1)[2:]
    wanted = (a["strides"], a["pads"], a["dilations"], a["auto_pad"])
    return list(transposed(x[2:], kernel, *wanted, a["output_padding"], a["output_shape"]))


@rule("ConvTranspose", 0)
def conv_transpose_input(g: Tensor, W: Tensor, call: Any, *, group: int) -> Tensor:
    """Convolve."""
    axes = _forward(call)
    attributes = (
        ("strides", tuple(w.stride for w in axes)),
        ("dilations", tuple(w.dilation for w in axes)),
        ("group", group),
    )
    return run("Conv", (_frame(g, axes), W), attributes)


@rule("ConvTranspose", 1)
def conv_transpose_weight(g: Tensor, X: Tensor, call: Any, *, group: int) -> Tensor:
    """Correlate gradient and input, which exchange their parts."""
    return weight_gradient(g, X, call.shape(1), _forward(call), group)


@rule("MaxPool", 0)
def max_pool(gs: Any, x: Tensor, call: Any) -> Tensor | None:
    """Give the gradient to the first of the largest elements of each window."""
    if gs[0] is None:
        return None
    if not is_grad_enabled():
        kernel = tuple(call.attributes["kernel_shape"])
        axes = _axes(call, x.shape, kernel)
        # Windows that begin past the end see nothing: they are there by ceil_mode.
        ends = [(w.output - 1) * w.stride + w.reach - w.begin - w.size for w in axes]
        numbers = dict(_numbers(axes, 1))
        pairs = {
            "kernel_shape": kernel,
            "strides": numbers["strides"],
            "pads": (*(w.begin for w in axes), *ends),
            "dilations": numbers["dilations"],
        }
        return run("compress::MaxPoolGrad", (x, gs[0]), tuple(pairs.items()))
    given = tuple(pair for pair in call.given if pair[0] != "storage_order")
    places = run_many("MaxPool", (x,), given, 2)[1].reshape(-1)
    g = gs[0].reshape(-1)
    if bool(ct.any(places < 0)):  # windows that see no element
        g, places = ct.where(places < 0, 0.0, g), ct.maximum(places, 0)
    zeros = ct.zeros(x.size, dtype=g.dtype)
    return ct.scatter(zeros, 0, places, g, "add").reshape(x.shape)


@rule("AveragePool", 0)
def average_pool(g: Tensor, call: Any, *, kernel_shape: Any, count_include_pad: int) -> Tensor:
    """Give every element of a window its part."""
    shape = call.shape(0)
    axes = _axes(call, shape, kernel_shape)
    count: Any = np.ones(())
    for w in axes:
        start = np.arange(w.output)[:, None] * w.stride + np.arange(w.kernel) * w.dilation
        low = 0 if count_include_pad else w.begin
        high = w.begin + w.size + (w.end if count_include_pad else 0)
        count = count[..., None] * ((start >= low) & (start < high)).sum(axis=1)
    g = g / ct.from_numpy(count).astype(g.dtype)
    total: Any = None
    for position in _taps(axes):
        starts = [at * w.dilation - w.begin for at, w in zip(position, axes, strict=True)]
        part = embed(g, shape, [0, 0, *starts], [1, 1, *(w.stride for w in axes)])
        total = part if total is None else total + part
    return ct.zeros(shape, dtype=g.dtype) if total is None else total


@rule("GlobalAveragePool", 0)
def global_average_pool(g: Tensor, call: Any) -> Any:
    """Repeat, divided by the number of pixels."""
    shape = call.shape(0)
    return (g * (1 / max(prod(shape[2:]), 1))).broadcast_to(shape)


@composed("LpPool")
def lp_pool(a: Any, x: Tensor) -> Any:
    """Return the p-norm of each window."""
    wanted = (a["strides"], a["pads"], a["dilations"], a["auto_pad"], a["ceil_mode"])
    axes = list(windows(x.shape[2:], a["kernel_shape"], *wanted))
    power = _frame(ct.abs(x) ** float(a["p"]), axes)
    total: Any = 0.0
    for position in _taps(axes):
        total = total + _tap(power, axes, position)
    return total ** (1 / a["p"])
