"""Convolutions and their transposes, in floats and in quantized integers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ...codec import decode
from ...errors import ShapeError
from ...graph.graph import Array
from .common import accumulated, places
from .matrix import requantize
from .registry import reference
from .spatial import Window, transposed, windows


def pad_spatial(X: Array, axes: Sequence[Window], value: float = 0) -> Array:
    """Return (N, C, ...) with the borders that the windows read."""
    if all(w.begin == 0 and w.padded_end == 0 for w in axes):
        return X
    size = [w.size + max(w.begin, 0) + max(w.padded_end, 0) for w in axes]
    padded = np.full((*X.shape[:2], *size), value, X.dtype)
    inner = [slice(max(w.begin, 0), max(w.begin, 0) + w.size) for w in axes]
    padded[places(*inner)] = X
    return np.asarray(padded[places(*(slice(max(-w.begin, 0), None) for w in axes))])


def offsets(axes: Sequence[Window]) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Yield each kernel position with the slices of a padded tensor that it meets."""
    for position in product(*(range(w.kernel) for w in axes)):
        yield (
            position,
            tuple(
                slice(
                    at * w.dilation,
                    at * w.dilation + max((w.output - 1) * w.stride + 1, 0),
                    w.stride,
                )
                if w.output
                else slice(0, 0)
                for at, w in zip(position, axes, strict=True)
            ),
        )


def convolve(X: Array, W: Array, axes: Sequence[Window], group: int) -> Array:
    """Return the convolution of (N, C, ...) with (M, C / group, ...), summed in X's type."""
    count, channels = X.shape[:2]
    filters, depth = W.shape[:2]
    out = [w.output for w in axes]
    padded = pad_spatial(X, axes)
    result = np.zeros((count, filters, *out), np.result_type(X, W))
    if result.size == 0:
        return result
    if depth == 1 and group == channels:
        split = result.reshape(count, group, filters // group, *out)
        for position, where in offsets(axes):
            weight = W[places(0, *position, whole=1)].reshape(
                group, filters // group, *[1] * len(out)
            )
            split += padded[(slice(None), slice(None), None, *where)] * weight
        return result
    spatial = tuple(range(1, 1 + len(out)))
    reach = tuple(w.reach for w in axes)
    matrix = W.reshape(group, filters // group, -1)
    steps = (
        slice(None),
        *(slice(None, (w.output - 1) * w.stride + 1, w.stride) for w in axes),
        *(slice(None, None, w.dilation) for w in axes),
    )
    order = (0, *(1 + len(out) + i for i in range(len(out))), *spatial)
    for n in range(count):
        view = sliding_window_view(padded[n], reach, axis=spatial)[steps]
        columns = view.transpose(order).reshape(group, matrix.shape[2], prod(out))
        np.matmul(matrix, columns, out=result[n].reshape(group, -1, prod(out)))
    return result


def _check(X: Array, W: Array, group: int, kernel_shape: Sequence[int] | None) -> None:
    if kernel_shape and list(kernel_shape) != list(W.shape[2:]):
        raise ShapeError(f"kernel_shape {list(kernel_shape)} is not that of weights {W.shape}")
    if X.shape[1] != W.shape[1] * group or W.shape[0] % group:
        raise ShapeError(f"input {X.shape}, weights {W.shape} and group {group} do not fit")


def _with_bias(result: Array, B: Array | None) -> Array:
    return result if B is None else result + B.reshape(-1, *[1] * (result.ndim - 2))


@reference("Conv")
@accumulated
def conv(
    X: Array,
    W: Array,
    B: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Array:
    """Return the cross-correlation of X with the filters W, plus a bias per filter."""
    _check(X, W, group, kernel_shape)
    axes = windows(X.shape[2:], W.shape[2:], strides, pads, dilations, auto_pad)
    return _with_bias(convolve(X, W, axes, group), B)


@reference("ConvInteger")
def conv_integer(
    x: Array,
    w: Array,
    x_zero_point: Array | None = None,
    w_zero_point: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Array:
    """Return the convolution of x - x_zero_point with w - w_zero_point in int32."""
    _check(x, w, group, kernel_shape)
    axes = windows(x.shape[2:], w.shape[2:], strides, pads, dilations, auto_pad)
    left, right = x.astype(np.float64), w.astype(np.float64)
    if x_zero_point is not None:
        left -= x_zero_point.astype(np.float64)
    if w_zero_point is not None:
        zero = w_zero_point.astype(np.float64)
        right -= zero.reshape(-1, *[1] * (w.ndim - 1)) if zero.size > 1 else zero
    return convolve(left, right, axes, group).astype(np.int64).astype(np.int32)


@reference("QLinearConv")
def qlinear_conv(
    x: Array,
    x_scale: Array,
    x_zero_point: Array,
    w: Array,
    w_scale: Array,
    w_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    B: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Array:
    """Return the convolution of quantized tensors, quantized; the bias is int32."""
    total = conv_integer(
        x,
        w,
        x_zero_point,
        w_zero_point,
        auto_pad=auto_pad,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    scale = decode(x_scale) * decode(w_scale) / decode(y_scale)
    if scale.size > 1:
        scale = scale.reshape(-1, *[1] * (x.ndim - 2))
    return requantize(_with_bias(total, B), scale.astype(np.float32), y_zero_point)


@reference("ConvTranspose")
@accumulated
def conv_transpose(
    X: Array,
    W: Array,
    B: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    output_padding: list[int] | None = None,
    output_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Array:
    """Return the gradient of a convolution by its input: every X spreads the filter W."""
    if X.shape[1] != W.shape[0] or W.shape[0] % group:
        raise ShapeError(f"input {X.shape}, weights {W.shape} and group {group} do not fit")
    axes = transposed(
        X.shape[2:],
        W.shape[2:],
        strides,
        pads,
        dilations,
        auto_pad,
        output_padding,
        output_shape,
    )
    count, depth = X.shape[0], W.shape[0] // group
    filters = W.shape[1]
    full = [
        max((w.output - 1) * w.stride + w.reach, max(w.begin, 0) + w.size - min(w.begin, 0))
        for w in axes
    ]
    canvas = np.zeros((count, group * filters, *full), np.result_type(X, W))
    columns = X.reshape(count, group, depth, -1)
    for position, where in offsets(axes):
        matrix = W[places(*position, whole=2)].reshape(group, depth, filters)
        part = np.matmul(matrix.transpose(0, 2, 1), columns)
        canvas[places(*where)] += part.reshape(count, group * filters, *X.shape[2:])
    front = [(max(-w.begin, 0), 0) for w in axes]
    if any(before for before, _ in front):
        canvas = np.pad(canvas, [(0, 0), (0, 0), *front])
    inner = tuple(slice(max(w.begin, 0), max(w.begin, 0) + w.size) for w in axes)
    return _with_bias(canvas[places(*inner)], B)


@reference("CausalConvWithState")
@accumulated
def causal_conv_with_state(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    past_state: Array | None = None,
    *,
    activation: str = "none",
) -> tuple[Array, Array]:
    """Return a depthwise convolution over time that only looks back, and its new state."""
    keep = weight.shape[-1] - 1
    if past_state is None:
        past_state = np.zeros((*input.shape[:2], keep), input.dtype)
    longer = np.concatenate([past_state, input], axis=-1)
    axes = windows(longer.shape[2:], weight.shape[2:])
    result = _with_bias(convolve(longer, weight, axes, weight.shape[0]), bias)
    if activation in ("silu", "swish"):
        result = result / (1 + np.exp(-result))
    return result, longer[..., longer.shape[-1] - keep :]
