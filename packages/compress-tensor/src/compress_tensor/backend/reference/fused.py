"""Operators that only the engine's own fusions make: what each stands for."""

from __future__ import annotations

import numpy as np

from ...graph.graph import Array
from .activation import softmax
from .matrix import matmul
from .registry import reference

DOMAIN = "compress.fused"
ATTENTION = "Attention"


@reference(ATTENTION, domain=DOMAIN)
def fused_attention(
    Q: Array,
    K: Array,
    V: Array,
    mask: Array | None = None,
    *,
    divisor: float = 0.0,
    factor: float = 0.0,
) -> Array:
    """Return softmax(Q K / divisor + mask) V, or with ``factor`` times; 0: no scale."""
    scores = np.asarray(matmul(Q, K))
    if divisor:
        scores = scores / scores.dtype.type(divisor)
    elif factor:
        scores = scores * scores.dtype.type(factor)
    if mask is not None:
        scores = scores + mask
    return np.asarray(matmul(softmax(scores), V))
