"""Activation functions of neural networks."""

from __future__ import annotations

from typing import Any

from ..eager import run
from ..errors import InputError
from ..promotion import FLOATS
from ..tensor import Tensor
from . import arithmetic as _two
from .operands import as_tensor, float_tensor


def relu(x: Any) -> Tensor:
    """Return max(x, 0)."""
    found = as_tensor(x)
    return run("Relu", (found,)) if found._dtype in FLOATS else _two.maximum(found, 0)


def relu6(x: Any) -> Tensor:
    """Return min(max(x, 0), 6)."""
    return _two.minimum(relu(x), 6)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Tensor:
    """Return x, times ``negative_slope`` where it is negative."""
    return run("LeakyRelu", (float_tensor(x),), (("alpha", float(negative_slope)),))


def prelu(x: Any, slope: Any) -> Tensor:
    """Return x, times ``slope`` (which broadcasts) where it is negative."""
    x, slope = _two._pair(x, slope)
    return run("PRelu", (float_tensor(x), float_tensor(slope)))


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """Return x, or alpha (exp(x) - 1) where it is negative."""
    return run("Elu", (float_tensor(x),), (("alpha", float(alpha)),))


def selu(x: Any) -> Tensor:
    """Return the self-normalising ELU."""
    return run("Selu", (float_tensor(x),))


def gelu(x: Any, approximate: str = "none") -> Tensor:
    """Return x P(X <= x) for a standard normal X.

    Args:
        x: a tensor.
        approximate: ``none`` for the error function, ``tanh`` for the usual approximation.

    Raises:
        InputError: for another name.
    """
    if approximate not in ("none", "tanh"):
        raise InputError(f"gelu: approximate must be 'none' or 'tanh', not {approximate!r}")
    return run("Gelu", (float_tensor(x),), (("approximate", approximate),))


def sigmoid(x: Any) -> Tensor:
    """Return 1 / (1 + exp(-x))."""
    return run("Sigmoid", (float_tensor(x),))


def silu(x: Any) -> Tensor:
    """Return x sigmoid(x)."""
    return run("Swish", (float_tensor(x),))


def hardsigmoid(x: Any) -> Tensor:
    """Return clip(x / 6 + 1 / 2, 0, 1)."""
    return run("HardSigmoid", (float_tensor(x),), (("alpha", 1 / 6), ("beta", 0.5)))


def hardswish(x: Any) -> Tensor:
    """Return x hardsigmoid(x)."""
    return run("HardSwish", (float_tensor(x),))


def mish(x: Any) -> Tensor:
    """Return x tanh(softplus(x))."""
    return run("Mish", (float_tensor(x),))


def softplus(x: Any) -> Tensor:
    """Return log(1 + exp(x))."""
    return run("Softplus", (float_tensor(x),))


def softsign(x: Any) -> Tensor:
    """Return x / (1 + abs(x))."""
    return run("Softsign", (float_tensor(x),))


def _along(op: str, x: Any, axis: int) -> Tensor:
    found = float_tensor(x)
    if not found.ndim:
        return _along(op, found.reshape(1), 0).reshape(())
    return run(op, (found,), (("axis", found.axis(axis)),))


def softmax(x: Any, axis: int = -1) -> Tensor:
    """Return exp(x) / sum(exp(x)) along a dimension."""
    return _along("Softmax", x, axis)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """Return log(softmax(x))."""
    return _along("LogSoftmax", x, axis)


swish = silu

__all__ = [
    "elu",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "leaky_relu",
    "log_softmax",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "swish",
]
