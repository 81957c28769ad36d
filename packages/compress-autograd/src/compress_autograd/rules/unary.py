"""Derivatives of functions of one tensor: ``g`` times the slope at ``x``, where ``y`` came out."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import compress_tensor as ct
from compress_tensor import Tensor
from compress_tensor.eager import run

from ..tape import is_grad_enabled
from .registry import elementwise

_HALF_ROOT = sqrt(0.5)
_DENSITY = 1 / sqrt(2 * pi)
_TANH = sqrt(2 / pi)


def _where(condition: Tensor, x: Any, y: Any, g: Tensor) -> Tensor:
    """Return g times x where the condition holds, else g times y."""
    return g * ct.where(condition, x, y)


def _sigmoid_slope(x: Tensor, alpha: float) -> Tensor:
    """Return the slope of x * sigmoid(alpha x)."""
    s = ct.sigmoid(x * alpha)
    return s * (1.0 + x * alpha * (1.0 - s))


def _gelu(g: Tensor, x: Tensor, *, approximate: str) -> Tensor:
    if not is_grad_enabled():
        return _fused("GeluTanh" if approximate == "tanh" else "Gelu", x, g)
    if approximate == "tanh":
        t = ct.tanh(_TANH * (x + 0.044715 * x * x * x))
        inner = _TANH * (1.0 + 3 * 0.044715 * x * x)
        return g * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner)
    density = _DENSITY * ct.exp(-0.5 * x * x)
    return g * (0.5 * (1.0 + ct.erf(x * _HALF_ROOT)) + x * density)


def _mish(g: Tensor, x: Tensor) -> Tensor:
    t = ct.tanh(ct.softplus(x))
    return g * (t + x * (1.0 - t * t) * ct.sigmoid(x))


def _softmax(g: Tensor, y: Tensor, *, axis: int) -> Tensor:
    if not is_grad_enabled() and axis in (-1, y.ndim - 1):
        return run("compress::SoftmaxGrad", (y, g))
    return y * (g - ct.sum(g * y, axis, keepdims=True))


def _fused(function: str, value: Tensor, g: Tensor, **attributes: Any) -> Tensor:
    """Return what one kernel computes; its own derivative is that of the formula beside it."""
    return run("compress::UnaryGrad", (value, g), (("function", function), *attributes.items()))


elementwise(
    {
        "Identity": lambda g: g,
        "Neg": lambda g: -g,
        "Abs": lambda g, x: g * ct.sign(x),
        "Exp": lambda g, y: g * y,
        "Log": lambda g, x: g / x,
        "Sqrt": lambda g, y: g / (2.0 * y),
        "Reciprocal": lambda g, y: -g * y * y,
        "Erf": lambda g, x: g * ct.exp(-x * x) * (2 / sqrt(pi)),
        "Sin": lambda g, x: g * ct.cos(x),
        "Cos": lambda g, x: -g * ct.sin(x),
        "Tan": lambda g, y: g * (1.0 + y * y),
        "Asin": lambda g, x: g / ct.sqrt(1.0 - x * x),
        "Acos": lambda g, x: -g / ct.sqrt(1.0 - x * x),
        "Atan": lambda g, x: g / (1.0 + x * x),
        "Sinh": lambda g, x: g * ct.cosh(x),
        "Cosh": lambda g, x: g * ct.sinh(x),
        "Tanh": lambda g, y: g * (1.0 - y * y) if is_grad_enabled() else _fused("Tanh", y, g),
        "Asinh": lambda g, x: g / ct.sqrt(x * x + 1.0),
        "Acosh": lambda g, x: g / ct.sqrt(x * x - 1.0),
        "Atanh": lambda g, x: g / (1.0 - x * x),
        "Relu": lambda g, y: ct.where(y > 0, g, 0.0) if is_grad_enabled() else _fused("Relu", y, g),
        "LeakyRelu": lambda g, x, *, alpha: _where(x < 0, alpha, 1.0, g),
        "Elu": lambda g, x, *, alpha: ct.where(x < 0, g * alpha * ct.exp(x), g),
        "Celu": lambda g, x, *, alpha: ct.where(x < 0, g * ct.exp(x / alpha), g),
        "Selu": lambda g, x, *, alpha, gamma: gamma * ct.where(x > 0, g, g * alpha * ct.exp(x)),
        "ThresholdedRelu": lambda g, x, *, alpha: ct.where(x > alpha, g, 0.0),
        "Shrink": lambda g, x, *, lambd: ct.where(ct.abs(x) > lambd, g, 0.0),
        "Sigmoid": lambda g, y: g * y * (1.0 - y) if is_grad_enabled() else _fused("Sigmoid", y, g),
        "HardSigmoid": lambda g, y, *, alpha: _where((y > 0) & (y < 1), alpha, 0.0, g),
        "HardSwish": lambda g, x: g * ct.where(x < -3, 0.0, ct.where(x > 3, 1.0, x / 3 + 0.5)),
        "Swish": lambda g, x, *, alpha: (
            g * _sigmoid_slope(x, alpha)
            if is_grad_enabled()
            else _fused("Swish", x, g, alpha=alpha)
        ),
        "Softplus": lambda g, x: g * ct.sigmoid(x),
        "Softsign": lambda g, x: g / ct.square(1.0 + ct.abs(x)),
        "Gelu": _gelu,
        "Mish": _mish,
        "Softmax": _softmax,
        "LogSoftmax": lambda g, y, *, axis: g - ct.exp(y) * ct.sum(g, axis, keepdims=True),
        "Cast": lambda g, call: g.astype(call.inputs[0][1]),
        "CastLike": lambda g, call: g.astype(call.inputs[0][1]),
        "Dropout": lambda g: g,  # as in inference; Trainable drops by a function of its own
    }
)
