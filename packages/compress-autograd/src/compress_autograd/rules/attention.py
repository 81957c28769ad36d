"""The derivative of attention that a graph spelled out and `fused` made one operator."""

from __future__ import annotations

from typing import Any

import compress_tensor as ct
from compress_tensor import Tensor
from compress_tensor.backend.reference.fused import ATTENTION, DOMAIN
from compress_tensor.eager import run_many

from ..backward import pull
from ..tape import is_grad_enabled
from .registry import rule

OPERATOR = f"{DOMAIN}::{ATTENTION}"


def attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, *, divisor: float, factor: float
) -> Tensor:
    """Return softmax(q k / divisor + mask) v, or with ``factor`` times (0: not), in steps.

    Args:
        q: (..., queries, size).
        k: (..., size, keys).
        v: (..., keys, width).
        mask: broadcasts to (..., queries, keys).
        divisor: of the scores.
        factor: of the scores, without a divisor.
    """
    scores = ct.matmul(q, k)
    if divisor:
        scores = scores / divisor
    elif factor:
        scores = scores * factor
    return ct.matmul(ct.softmax(scores if mask is None else scores + mask, -1), v)


def _tokens(x: Tensor) -> Tensor:
    """Return (..., tokens, size) as (batch, tokens, heads, size)."""
    while x.ndim < 4:
        x = x.unsqueeze(0)
    return x.transpose(0, 2, 1, 3)


@rule(OPERATOR)
def attention(gs: Any, xs: Any, call: Any) -> list[Tensor | None]:
    """Go back with scores computed again, a block at a time."""
    attributes = call.attributes
    mask = xs[3] if len(xs) > 3 else None
    if is_grad_enabled() or any(call.needs[3:]):
        return pull(lambda *given: attend(*given, *[None] * (4 - len(given)), **attributes),
                    xs, call.needs, gs)  # fmt: skip
    q, k, v = xs[:3]
    operands = [_tokens(x) for x in (q, k.swapaxes(-1, -2), v, gs[0])]
    found = run_many("compress::AttentionGrad", [*operands, mask], call.given, 3)
    dq, dk, dv = (each.transpose(0, 2, 1, 3) for each in found)
    return [dq.reshape(q.shape), dk.swapaxes(2, 3).reshape(k.shape), dv.reshape(v.shape), None]
