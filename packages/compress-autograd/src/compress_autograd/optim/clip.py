"""Keeping gradients small."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import compress_tensor as ct
from compress_tensor import Tensor

from ..tape import no_grad


def clip_grad_norm(parameters: Mapping[str, Tensor], limit: float) -> float:
    """Scale all gradients so that their common norm is at most ``limit``.

    Pascanu, Mikolov and Bengio, 2013.

    Returns:
        The norm before.
    """
    held = [(p, p.grad) for p in parameters.values() if p.grad is not None]
    with no_grad():
        total = sqrt(sum(float(ct.norm(g).item()) ** 2 for _, g in held))
        if total > limit:
            factor = limit / (total + 1e-6)
            for p, g in held:
                p.grad = ct.multiply(g, factor)
    return total


def clip_grad_value(parameters: Mapping[str, Tensor], limit: float) -> None:
    """Bring every element of every gradient to at most ``limit`` in size."""
    with no_grad():
        for p in parameters.values():
            if p.grad is not None:
                p.grad = ct.clip(p.grad, -limit, limit)
