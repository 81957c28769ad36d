"""Activation functions, Softmax and its relatives."""

from __future__ import annotations

import math

import numpy as np

from ...graph.graph import Array
from .common import accumulated, axis_of, widened
from .registry import reference
from .special import erf


@reference("Relu")
@widened
def relu(X: Array) -> Array:
    """Return max(X, 0)."""
    return np.asarray(np.maximum(X, X.dtype.type(0)))


@reference("LeakyRelu")
@widened
def leaky_relu(X: Array, *, alpha: float = 0.01) -> Array:
    """Return X where it is positive, alpha * X elsewhere."""
    return np.where(X < 0, X * X.dtype.type(alpha), X)


@reference("PRelu")
@widened
def prelu(X: Array, slope: Array) -> Array:
    """Return X where it is positive, slope * X elsewhere."""
    return np.where(X < 0, X * slope, X)


@reference("Elu")
@widened
def elu(X: Array, *, alpha: float = 1.0) -> Array:
    """Return X where it is positive, alpha * (exp(X) - 1) elsewhere."""
    return np.where(X < 0, X.dtype.type(alpha) * np.expm1(np.minimum(X, 0)), X)


@reference("Celu")
@widened
def celu(X: Array, *, alpha: float = 1.0) -> Array:
    """Return max(0, X) + min(0, alpha * (exp(X / alpha) - 1))."""
    a = X.dtype.type(alpha)
    return np.asarray(np.maximum(X, 0) + np.minimum(0, a * np.expm1(X / a)))


@reference("Selu")
@widened
def selu(
    X: Array, *, alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805
) -> Array:
    """Return gamma * Elu(X, alpha)."""
    return np.asarray(X.dtype.type(gamma) * np.asarray(elu(X, alpha=alpha)))


@reference("ThresholdedRelu")
@widened
def thresholded_relu(X: Array, *, alpha: float = 1.0) -> Array:
    """Return X where it is above alpha, 0 elsewhere."""
    return np.where(X > alpha, X, X.dtype.type(0))


@reference("HardSigmoid")
@widened
def hard_sigmoid(X: Array, *, alpha: float = 0.2, beta: float = 0.5) -> Array:
    """Return clip(alpha * X + beta, 0, 1)."""
    return np.asarray(np.clip(X * X.dtype.type(alpha) + X.dtype.type(beta), 0, 1))


@reference("HardSwish")
@widened
def hard_swish(X: Array) -> Array:
    """Return X * clip(X / 6 + 0.5, 0, 1)."""
    return np.asarray(X * np.clip(X * X.dtype.type(1 / 6) + X.dtype.type(0.5), 0, 1))


@reference("Sigmoid")
@widened
def sigmoid(X: Array) -> Array:
    """Return 1 / (1 + exp(-X)), without overflow."""
    small = np.exp(-np.abs(X))
    return np.asarray(np.where(X < 0, small, X.dtype.type(1)) / (1 + small))


@reference("Softplus")
@widened
def softplus(X: Array) -> Array:
    """Return log(1 + exp(X)), without overflow."""
    return np.maximum(X, 0) + np.log1p(np.exp(-np.abs(X)))


@reference("Softsign")
@widened
def softsign(input: Array) -> Array:
    """Return X / (1 + |X|)."""
    return np.asarray(input / (1 + np.abs(input)))


@reference("Gelu")
@widened
def gelu(X: Array, *, approximate: str = "none") -> Array:
    """Return X times the normal distribution's cumulative function, or its tanh form."""
    one, half = X.dtype.type(1), X.dtype.type(0.5)
    if approximate == "tanh":
        inner = X.dtype.type(math.sqrt(2 / math.pi)) * (X + X.dtype.type(0.044715) * X * X * X)
        return np.asarray(half * X * (one + np.tanh(inner)))
    return np.asarray(half * X * (one + erf(X * X.dtype.type(math.sqrt(0.5)))))


@reference("Mish")
@widened
def mish(X: Array) -> Array:
    """Return X * tanh(softplus(X))."""
    return X * np.tanh(softplus(X))


@reference("Swish")
@widened
def swish(X: Array, *, alpha: float = 1.0) -> Array:
    """Return X * sigmoid(alpha * X)."""
    return np.asarray(X * np.asarray(sigmoid(X * X.dtype.type(alpha))))


@reference("SwiGLU")
@widened
def swiglu(A: Array, B: Array, *, alpha: float = 1.0) -> Array:
    """Return Swish(A) * B."""
    return np.asarray(swish(A, alpha=alpha)) * B


@reference("Shrink")
@widened
def shrink(input: Array, *, bias: float = 0.0, lambd: float = 0.5) -> Array:
    """Return X moved towards 0 by bias outside [-lambd, lambd], and 0 inside."""
    shifted = input - np.sign(input) * np.asarray(bias).astype(input.dtype)
    return np.where(np.abs(input) > lambd, shifted, 0).astype(input.dtype)


@reference("Clip")
@widened
def clip(input: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """Return min(max(X, min), max)."""
    result = input if min is None else np.maximum(input, min)
    return result if max is None else np.minimum(result, max)


@reference("Softmax")
@widened
def softmax(input: Array, *, axis: int = -1) -> Array:
    """Return exp(X) divided by its sum along an axis."""
    axis = axis_of(axis, input.ndim)
    if input.size == 0:
        return input
    power = np.exp(input - input.max(axis=axis, keepdims=True))
    return np.asarray(power / power.sum(axis=axis, keepdims=True))


@reference("LogSoftmax")
@accumulated
def log_softmax(input: Array, *, axis: int = -1) -> Array:
    """Return log(Softmax(X))."""
    axis = axis_of(axis, input.ndim)
    if input.size == 0:
        return input
    shifted = input - input.max(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


@reference("Hardmax")
@widened
def hardmax(input: Array, *, axis: int = -1) -> Array:
    """Return 1 at the first maximum along an axis, 0 elsewhere."""
    axis = axis_of(axis, input.ndim)
    result = np.zeros_like(input)
    if input.size:
        where = np.expand_dims(input.argmax(axis=axis), axis)
        np.put_along_axis(result, where, 1, axis)
    return result
