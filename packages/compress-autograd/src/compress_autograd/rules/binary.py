"""Derivatives of functions of several tensors that broadcast."""

from __future__ import annotations

from typing import Any

import compress_tensor as ct
from compress_tensor import Tensor

from ..unbroadcast import unbroadcast
from .registry import binary, rule


def _exponent(g: Tensor, y: Tensor, a: Tensor) -> Tensor:
    """Return the gradient of the exponent: 0 where the base is not positive."""
    return g * y * ct.log(ct.where(a > 0, a, 1.0))


def _base(g: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return the gradient of the base, which is 0 for the exponent 0, at a base of 0 too."""
    power = ct.power(a, ct.where(b == 0, 1.0, b - 1.0).astype(a.dtype))
    return g * b.astype(a.dtype) * power


def _quotient(a: Tensor, b: Tensor, fmod: int) -> Tensor:
    return ct.trunc(a / b) if fmod else ct.floor(a / b)


binary(
    {
        "Add": (lambda g: g, lambda g: g),
        "Sub": (lambda g: g, lambda g: -g),
        "Mul": (lambda g, b: g * b, lambda g, a: g * a),
        "Div": (lambda g, b: g / b, lambda g, y, b: -g * y / b),
        "Pow": (_base, _exponent),
        "Mod": (lambda g: g, lambda g, a, b, *, fmod: -g * _quotient(a, b, fmod)),
        "PRelu": (
            lambda g, a, b: ct.where(a < 0, g * b, g),
            lambda g, a: ct.where(a < 0, g * a, 0.0),
        ),
    }
)


@rule("Where", 1)
def where_true(g: Tensor, condition: Tensor, call: Any) -> Tensor:
    """Pass what was chosen."""
    return unbroadcast(ct.where(condition, g, 0.0), call.shape(1))


@rule("Where", 2)
def where_false(g: Tensor, condition: Tensor, call: Any) -> Tensor:
    """Pass what was chosen."""
    return unbroadcast(ct.where(condition, 0.0, g), call.shape(2))


@rule("Clip", 0)
def clip(g: Tensor, x: Tensor, min: Any, max: Any) -> Tensor:  # noqa: A002 - ONNX's names
    """Pass what is inside the bounds, which belong to it."""
    inside = g if min is None else ct.where(_tensor(min, x) <= x, g, 0.0)
    return inside if max is None else ct.where(x <= _tensor(max, x), inside, 0.0)


@rule("Clip", 1)
def clip_low(g: Tensor, x: Tensor, min: Any, call: Any) -> Tensor:  # noqa: A002
    """Give the lower bound what it replaced."""
    return ct.sum(ct.where(x < min, g, 0.0)).reshape(call.shape(1))


@rule("Clip", 2)
def clip_high(g: Tensor, x: Tensor, max: Any, call: Any) -> Tensor:  # noqa: A002
    """Give the upper bound what it replaced."""
    return ct.sum(ct.where(x > max, g, 0.0)).reshape(call.shape(2))


def _tensor(bound: Any, like: Tensor) -> Tensor:
    return ct.asarray(bound).astype(like.dtype)


def _sums(g: Tensor, call: Any, factor: float = 1.0) -> list[Tensor | None]:
    g = g if factor == 1.0 else g * factor
    return [unbroadcast(g, call.shape(n)) if need else None for n, need in enumerate(call.needs)]


@rule("Sum")
def sum_all(g: Tensor, call: Any) -> list[Tensor | None]:
    """Pass to every operand."""
    return _sums(g, call)


@rule("Mean")
def mean_all(g: Tensor, call: Any) -> list[Tensor | None]:
    """Pass to every operand in equal parts."""
    return _sums(g, call, 1 / len(call.needs))


def extreme(g: Tensor, y: Tensor, xs: Any, call: Any) -> list[Tensor | None]:
    """Pass to the operand that won; those that are equal share."""
    hits = [(x == y).astype(g.dtype) for x in xs]
    share = hits[0]
    for hit in hits[1:]:
        share = share + hit
    g = g / ct.maximum(share, 1.0)
    needed = zip(hits, call.needs, strict=True)
    return [
        unbroadcast(g * hit, call.shape(n)) if need else None
        for n, (hit, need) in enumerate(needed)
    ]


rule("Max")(extreme)
rule("Min")(extreme)
