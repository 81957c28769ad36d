"""Normalisations: by batch, instance, group, layer, norm and neighbourhood."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...dtype import DType
from ...errors import ShapeError
from ...graph.graph import Array
from .common import accumulated, axis_of, mean, single, to_dtype
from .registry import reference


def _per_channel(values: Array, rank: int) -> Array:
    return values.reshape(-1, *[1] * (rank - 2)) if rank > 1 else values


@reference("BatchNormalization")
def batch_normalization(
    X: Array,
    scale: Array,
    B: Array,
    input_mean: Array,
    input_var: Array,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
    n_outputs: int = 1,
) -> tuple[Array, ...]:
    """Return (X - mean) / sqrt(var + epsilon) * scale + B; in training, of this batch."""
    wide = single(X)
    center, var = single(input_mean), single(input_var)
    if training_mode:
        axes = (0, *range(2, wide.ndim))
        batch_mean = mean(wide, axes, keepdims=False)
        apart = wide - mean(wide, axes)
        batch_var = mean(apart * apart, axes, keepdims=False)
        keep = center.dtype.type(momentum)
        running = (
            batch_mean.astype(center.dtype) * (1 - keep) + center * keep,
            batch_var.astype(var.dtype) * (1 - keep) + var * keep,
        )
        center, var = batch_mean, batch_var
    factor = single(scale) / np.sqrt(var + var.dtype.type(epsilon))
    shift = single(B) - center * factor
    result = wide * _per_channel(factor, X.ndim) + _per_channel(shift, X.ndim)
    result = to_dtype(result, DType.of(X.dtype))
    if not training_mode or n_outputs < 2:
        return (result,)
    held = DType.of(input_mean.dtype)
    return result, to_dtype(running[0], held), to_dtype(running[1], held)


@reference("InstanceNormalization")
@accumulated
def instance_normalization(input: Array, scale: Array, B: Array, *, epsilon: float = 1e-5) -> Array:
    """Return each plane with mean 0 and variance 1, scaled and shifted by channel."""
    axes = tuple(range(2, input.ndim))
    normal = _normal(input, axes, epsilon)[0]
    return normal * _per_channel(scale, input.ndim) + _per_channel(B, input.ndim)


def _normal(X: Array, axes: Sequence[int], epsilon: float) -> tuple[Array, Array, Array]:
    """Return X with mean 0 and variance 1 over the axes, the mean, and 1 / deviation."""
    over = tuple(axes)
    center = mean(X, over)
    centred = X - center
    var = mean(centred * centred, over)
    inverse = X.dtype.type(1) / np.sqrt(var + X.dtype.type(epsilon))
    return np.asarray(centred * inverse), center, np.asarray(inverse)


@reference("LayerNormalization")
def layer_normalization(
    X: Array,
    Scale: Array,
    B: Array | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    n_outputs: int = 1,
) -> tuple[Array, ...]:
    """Return X normalised over all axes from ``axis`` on, the means, and 1 / deviations."""
    first = axis_of(axis, X.ndim)
    wide = _stashed(X, stash_type)
    normal, center, inverse = _normal(wide, range(first, X.ndim), epsilon)
    result = normal * _stashed(Scale, stash_type)
    if B is not None:
        result = result + _stashed(B, stash_type)
    result = to_dtype(result, DType.of(X.dtype))
    stash = DType(stash_type)
    return result, to_dtype(center, stash), to_dtype(inverse, stash)


def _stashed(values: Array, stash_type: int) -> Array:
    """Return values in the precision of the computation (at least single)."""
    wide = single(values)
    return wide.astype(np.float64) if stash_type == DType.FLOAT64 else wide


@reference("RMSNormalization")
def rms_normalization(
    X: Array, scale: Array, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Array:
    """Return X divided by its root mean square over all axes from ``axis`` on, scaled."""
    first = axis_of(axis, X.ndim)
    wide = _stashed(X, stash_type)
    square = mean(wide * wide, range(first, X.ndim))
    normal = wide / np.sqrt(square + wide.dtype.type(epsilon))
    held = DType.of(scale.dtype)
    return to_dtype(normal * _stashed(scale, stash_type), held)


@reference("GroupNormalization")
@accumulated
def group_normalization(
    X: Array,
    scale: Array,
    bias: Array,
    *,
    num_groups: int,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> Array:
    """Return each group of channels with mean 0 and variance 1, scaled and shifted by channel."""
    if num_groups < 1 or X.shape[1] % num_groups:
        raise ShapeError(f"{X.shape[1]} channels do not divide into {num_groups} groups")
    groups = X.reshape(X.shape[0], num_groups, -1)
    normal = _normal(groups, (2,), epsilon)[0].reshape(X.shape)
    if scale.size == num_groups and scale.size != X.shape[1]:
        scale = np.repeat(scale, X.shape[1] // num_groups)
        bias = np.repeat(bias, X.shape[1] // num_groups)
    return normal * _per_channel(scale, X.ndim) + _per_channel(bias, X.ndim)


@reference("LpNormalization")
@accumulated
def lp_normalization(input: Array, *, axis: int = -1, p: int = 2) -> Array:
    """Return the input divided by its p-norm along an axis; 0 where the norm is 0."""
    axis = axis_of(axis, input.ndim)
    size = np.abs(input)
    if p == 1:
        norm = size.sum(axis=axis, keepdims=True)
    else:
        norm = np.sqrt((size * size).sum(axis=axis, keepdims=True))
    return np.asarray(np.where(norm == 0, input.dtype.type(0), input / norm))


@reference("LRN")
@accumulated
def lrn(
    X: Array, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0
) -> Array:
    """Return X / (bias + alpha / size * sum of neighbouring channels' squares) ** beta."""
    square = X * X
    total = np.zeros_like(X)
    channels = X.shape[1]
    for step in range(-((size - 1) // 2), size // 2 + 1):
        here = slice(max(0, -step), channels - max(0, step))
        there = slice(max(0, step), channels - max(0, -step))
        if abs(step) < channels:
            total[:, here] += square[:, there]
    kind = X.dtype.type
    return np.asarray(X / (kind(bias) + kind(alpha / size) * total) ** kind(beta))


@reference("MeanVarianceNormalization")
@accumulated
def mean_variance_normalization(X: Array, *, axes: list[int] | None = None) -> Array:
    """Return (X - mean) / (deviation + 1e-9) over the axes, by default all but channels."""
    over = tuple(axes) if axes is not None else (0, 2, 3)
    center = mean(X, over)
    deviation = np.sqrt(np.maximum(mean(X * X, over) - center * center, 0))
    return np.asarray((X - center) / (deviation + X.dtype.type(1e-9)))
