"""Operators of our own that training needs: gradients with kernels, in the domain ``compress``."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from ...errors import ShapeError
from ...graph.graph import Array
from .activation import log_softmax, sigmoid, softmax
from .common import accumulated, mean, places
from .conv import offsets, pad_spatial
from .pool import max_pool
from .registry import reference
from .spatial import windows
from .special import erf

DOMAIN = "compress"


@reference("ConvWeightGrad", DOMAIN)
def conv_weight_grad(
    X: Array,
    G: Array,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Array:
    """Return the gradient of Conv's W, (OC, C / group, kernel), given that of its result."""
    axes = windows(X.shape[2:], kernel_shape, strides, pads, dilations, auto_pad)
    count, channels, out = X.shape[0], X.shape[1], G.shape[1]
    depth = channels // group
    pixels = prod(G.shape[2:])
    result = np.zeros((group, out // group, depth, prod(kernel_shape)), G.dtype)
    padded = pad_spatial(X, axes)
    rows: Array = G.reshape(count, group, out // group, pixels).transpose(1, 2, 0, 3)
    left = rows.reshape(group, out // group, count * pixels)
    for n, (_, where) in enumerate(offsets(axes)):
        seen = padded[places(*where)].reshape(count, group, depth, pixels).transpose(1, 0, 3, 2)
        result[..., n] = np.matmul(left, seen.reshape(group, count * pixels, depth))
    return result.reshape(out, depth, *kernel_shape)


def _axes(X: Array) -> tuple[int, ...]:
    return (0, *range(2, X.ndim))


@reference("BatchNorm", DOMAIN)
@accumulated
def batch_norm(
    X: Array,
    scale: Array,
    B: Array,
    residual: Array | None = None,
    *,
    epsilon: float = 1e-5,
    relu: int = 0,
) -> tuple[Array, Array, Array]:
    """Return (N, C, ...) normalised by channel as in training, and the means and variances.

    A residual is added to the result; with ``relu`` it is at least 0.
    """
    wide = (-1, *[1] * (X.ndim - 2))
    apart = X - mean(X, _axes(X))
    variance = mean(apart * apart, _axes(X), keepdims=False)
    factor = scale / np.sqrt(variance + variance.dtype.type(epsilon))
    result = apart * factor.reshape(wide) + B.reshape(wide)
    result = result if residual is None else result + residual
    result = np.maximum(result, 0) if relu else result
    return result, mean(X, _axes(X), keepdims=False), variance


@reference("BatchNormGrad", DOMAIN)
@accumulated
def batch_norm_grad(
    X: Array, G: Array, mean: Array, inverse: Array, scale: Array
) -> tuple[Array, Array, Array]:
    """Return the gradients of X, scale and bias of a batch normalisation in training.

    Args:
        X: what was normalised, (N, C, ...).
        G: the gradient of the result.
        mean: of each channel.
        inverse: 1 / sqrt(variance + epsilon) of each channel.
        scale: of each channel.
    """
    wide = (-1, *[1] * (X.ndim - 2))
    normal = (X - mean.reshape(wide)) * inverse.reshape(wide)
    total, along = G.sum(axis=_axes(X)), (G * normal).sum(axis=_axes(X))
    count = X.size // X.shape[1]
    inner = G - (total.reshape(wide) + normal * along.reshape(wide)) / count
    return (scale * inverse).reshape(wide) * inner, along, total


@reference("MaxPoolGrad", DOMAIN)
def max_pool_grad(
    X: Array,
    G: Array,
    *,
    kernel_shape: list[int],
    strides: list[int],
    pads: list[int],
    dilations: list[int],
) -> Array:
    """Return the gradient of X: each of G goes to the first of the largest in its window."""
    _, indices = max_pool(
        X, kernel_shape=kernel_shape, strides=strides, pads=pads, dilations=dilations, n_outputs=2
    )
    result = np.zeros(X.size, G.dtype)
    seen = indices >= 0
    np.add.at(result, indices[seen], G[seen])
    return result.reshape(X.shape)


@reference("LayerNormGrad", DOMAIN)
@accumulated
def layer_norm_grad(
    X: Array, G: Array, scale: Array, *, axis: int = -1, epsilon: float = 1e-5
) -> tuple[Array, Array, Array]:
    """Return the gradients of X, scale and bias of a layer normalisation.

    Args:
        X: what was normalised.
        G: the gradient of the result.
        scale: of the shape of the dimensions that are normalised.
        axis: the first of them.
        epsilon: added to the variance.
    """
    axes = tuple(range(axis % X.ndim, X.ndim))
    apart = X - mean(X, axes)
    inverse = 1 / np.sqrt(mean(apart * apart, axes) + X.dtype.type(epsilon))
    normal, inner = apart * inverse, G * scale
    before = tuple(range(axis % X.ndim))
    result = inverse * (inner - mean(inner, axes) - normal * mean(inner * normal, axes))
    return result, (G * normal).sum(axis=before), G.sum(axis=before)


@reference("SoftmaxGrad", DOMAIN)
@accumulated
def softmax_grad(Y: Array, G: Array) -> Array:
    """Return the gradient of softmax over the last axis, whose result is Y, given that of Y."""
    return np.asarray(Y * (G - (G * Y).sum(axis=-1, keepdims=True)))


@reference("AttentionGrad", DOMAIN)
@accumulated
def attention_grad(
    Q: Array,
    K: Array,
    V: Array,
    G: Array,
    mask: Array | None = None,
    *,
    divisor: float = 0.0,
    factor: float = 0.0,
) -> tuple[Array, Array, Array]:
    """Return the gradients of Q, K and V of softmax(Q K' / divisor + mask) V.

    Args:
        Q: (batch, queries, heads, size).
        K: (batch, keys, heads, size).
        V: (batch, keys, heads, width).
        G: the gradient of the result, (batch, queries, heads, width).
        mask: broadcasts to (batch, heads, queries, keys).
        divisor: of the scores; 0: none.
        factor: of the scores, where there is no divisor; 0: none.
    """
    scale = Q.dtype.type(1 / divisor if divisor else factor or 1)
    q, k, v, g = (np.swapaxes(each, 1, 2) for each in (Q, K, V, G))
    scores = np.matmul(q, np.swapaxes(k, 2, 3)) * scale
    weights = np.asarray(softmax(scores if mask is None else scores + mask))
    slope = np.matmul(g, np.swapaxes(v, 2, 3))
    slope = scale * weights * (slope - (slope * weights).sum(axis=-1, keepdims=True))
    found = np.matmul(slope, k), np.matmul(np.swapaxes(slope, 2, 3), q)
    dq, dk, dv = (*found, np.matmul(np.swapaxes(weights, 2, 3), g))
    return np.swapaxes(dq, 1, 2), np.swapaxes(dk, 1, 2), np.swapaxes(dv, 1, 2)


def _normal(x: Array) -> Array:
    return np.asarray(np.exp(x.dtype.type(-0.5) * x * x) * x.dtype.type(1 / np.sqrt(2 * np.pi)))


def _gelu(x: Array) -> Array:
    half = x.dtype.type(0.5)
    return np.asarray(half * (1 + erf(x * x.dtype.type(np.sqrt(0.5)))) + x * _normal(x))


def _gelu_tanh(x: Array) -> Array:
    root, cube = x.dtype.type(np.sqrt(2 / np.pi)), x.dtype.type(0.044715)
    t = np.tanh(root * (x + cube * x * x * x))
    half = x.dtype.type(0.5)
    return np.asarray(half * (1 + t) + half * x * (1 - t * t) * root * (1 + 3 * cube * x * x))


def _swish(x: Array, alpha: float) -> Array:
    a = x.dtype.type(alpha)
    s = np.asarray(sigmoid(a * x))
    return np.asarray(s * (1 + a * x * (1 - s)))


#: what `UnaryGrad` multiplies with, by function: of the result (y) or of the operand (x)
SLOPES: dict[str, Callable[[Array, float], Array]] = {
    "Relu": lambda y, alpha: (y > 0).astype(y.dtype),
    "Sigmoid": lambda y, alpha: y * (1 - y),
    "Tanh": lambda y, alpha: 1 - y * y,
    "Gelu": lambda x, alpha: _gelu(x),
    "GeluTanh": lambda x, alpha: _gelu_tanh(x),
    "Swish": _swish,
}


@reference("UnaryGrad", DOMAIN)
@accumulated
def unary_grad(V: Array, G: Array, *, function: str, alpha: float = 1.0) -> Array:
    """Return G times the slope of a function, whose result (or operand, see `SLOPES`) is V."""
    if function not in SLOPES:
        raise ShapeError(f"function {function!r} is not one of {', '.join(SLOPES)}")
    slope = SLOPES[function](V, alpha)
    return np.where(V > 0, G, 0).astype(G.dtype) if function == "Relu" else G * slope


def _is_kept(labels: Array, classes: int, ignore_index: int | None) -> Array:
    """Return which labels count.

    Raises:
        ShapeError: if one is no class.
    """
    kept = np.ones(labels.shape, np.bool_) if ignore_index is None else labels != ignore_index
    if ((labels < 0) | (labels >= classes))[kept].any():
        raise ShapeError(f"a label lies outside of {classes} classes")
    return np.asarray(kept)


@reference("CrossEntropy", DOMAIN)
@accumulated
def cross_entropy(
    scores: Array, labels: Array, *, smoothing: float = 0.0, ignore_index: int | None = None
) -> Array:
    """Return -(1 - smoothing) log p[label] - smoothing mean(log p) per row, p = softmax(scores).

    Args:
        scores: (n, classes).
        labels: (n,), int64.
        smoothing: the part of the target that is spread over all classes.
        ignore_index: rows with this label have the loss 0.
    """
    kept = _is_kept(labels, scores.shape[1], ignore_index)
    log_prob = np.asarray(log_softmax(scores, axis=1))
    picked = np.take_along_axis(log_prob, np.where(kept, labels, 0)[:, None], 1)[:, 0]
    share = scores.dtype.type(smoothing)
    loss = -(1 - share) * picked - share * log_prob.mean(axis=1)
    return np.where(kept, loss, 0).astype(scores.dtype)


@reference("CrossEntropyGrad", DOMAIN)
@accumulated
def cross_entropy_grad(
    scores: Array,
    labels: Array,
    factor: Array,
    *,
    smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> Array:
    """Return the gradient of `cross_entropy` times a number."""
    classes = scores.shape[1]
    kept = _is_kept(labels, classes, ignore_index)
    target = np.full(scores.shape, smoothing / max(classes, 1), scores.dtype)
    target[np.arange(len(labels))[kept], labels[kept]] += 1 - smoothing
    found = (np.exp(log_softmax(scores, axis=1)) - target) * factor
    return np.where(kept[:, None], found, 0).astype(scores.dtype)
