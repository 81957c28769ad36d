"""Normalisations, as in inference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..eager import run
from ..errors import ShapeError
from ..tensor import Tensor
from . import arithmetic as _two
from . import unary
from .operands import float_tensor, scalar


def _operands(*values: Any) -> list[Any]:
    """Return operands as floats of the type of the first; None stays."""
    first = float_tensor(values[0])
    rest = [None if v is None else float_tensor(v).astype(first.dtype) for v in values[1:]]
    return [first, *rest]


def _filled(shape: Sequence[int], value: float, like: Tensor) -> Tensor:
    return scalar(value, like.dtype).broadcast_to(shape)


def _trailing(name: str, x: Tensor, shape: int | Sequence[int]) -> tuple[int, ...]:
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    if not wanted or x.shape[-len(wanted) :] != wanted:
        raise ShapeError(f"{name}: x of shape {list(x.shape)} does not end in {list(wanted)}")
    return wanted


def layer_norm(
    x: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return the trailing dimensions of x with mean 0 and variance 1, scaled and shifted."""
    x, weight, bias = _operands(x, weight, bias)
    shape = _trailing("layer_norm", x, normalized_shape)
    weight = _filled(shape, 1.0, x) if weight is None else weight
    attributes = (("axis", -len(shape)), ("epsilon", float(eps)))
    return run("LayerNormalization", (x, weight, bias), attributes)


def rms_norm(
    x: Any, normalized_shape: int | Sequence[int], weight: Any = None, eps: float = 1e-5
) -> Tensor:
    """Return the trailing dimensions of x with mean square 1, scaled."""
    x, weight = _operands(x, weight)
    shape = _trailing("rms_norm", x, normalized_shape)
    weight = _filled(shape, 1.0, x) if weight is None else weight
    return run("RMSNormalization", (x, weight), (("axis", -len(shape)), ("epsilon", float(eps))))


def group_norm(
    x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Return every group of channels of x (n, c, ...) with mean 0 and variance 1."""
    x, weight, bias = _operands(x, weight, bias)
    if x.ndim < 2:
        raise ShapeError(f"group_norm: x must be (n, c, ...), not {list(x.shape)}")
    channels = x.shape[1:2]
    weight = _filled(channels, 1.0, x) if weight is None else weight
    bias = _filled(channels, 0.0, x) if bias is None else bias
    attributes = (("num_groups", int(num_groups)), ("epsilon", float(eps)))
    return run("GroupNormalization", (x, weight, bias), attributes)


def instance_norm(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
    """Return every channel of every sample of x (n, c, ...) with mean 0 and variance 1."""
    found = float_tensor(x)
    return group_norm(found, found.shape[1] if found.ndim > 1 else 1, weight, bias, eps)


def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Tensor:
    """Return (x - mean) / sqrt(var + eps) * weight + bias by channel of x (n, c, ...)."""
    x, mean, variance, weight, bias = _operands(x, running_mean, running_var, weight, bias)
    channels = x.shape[1:2]
    for given in (mean, variance, weight, bias):
        if given is not None and given.shape != channels:
            raise ShapeError(
                f"batch_norm: {list(given.shape)} is not one number per channel of {list(x.shape)}"
            )
    weight = _filled(channels, 1.0, x) if weight is None else weight
    factor = _two.divide(weight, unary.sqrt(_two.add(variance, float(eps))))
    shift = _two.multiply(mean, factor)
    shift = unary.negative(shift) if bias is None else _two.subtract(bias, shift)
    wide = (-1, *(1 for _ in x.shape[2:]))
    return _two.add(_two.multiply(x, factor.reshape(wide)), shift.reshape(wide))


__all__ = [
    "batch_norm",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "rms_norm",
]
