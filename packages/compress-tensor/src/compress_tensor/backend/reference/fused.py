"""Operators that only the engine's own fusions make: what each stands for."""

from __future__ import annotations

import numpy as np

from ...graph.graph import Array
from .activation import softmax
from .matrix import matmul
from .quantize import dequantize_linear, quantize_linear
from .registry import reference

DOMAIN = "compress.fused"
ATTENTION = "Attention"
ATTENTION_ON_CODES = "AttentionOnCodes"


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
    return np.asarray(matmul(_weights(Q, K, mask, divisor, factor), V))


@reference(ATTENTION_ON_CODES, domain=DOMAIN)
def attention_on_codes(
    Q: Array,
    K: Array,
    V: Array,
    weight_scale: Array,
    weight_zero_point: Array | None = None,
    mask: Array | None = None,
    *,
    divisor: float = 0.0,
    factor: float = 0.0,
) -> Array:
    """Return the same with the softmax quantized to uint8 and dequantized again before V."""
    weights = _weights(Q, K, mask, divisor, factor)
    codes = quantize_linear(weights, weight_scale, weight_zero_point)
    return np.asarray(matmul(dequantize_linear(codes, weight_scale, weight_zero_point), V))


def _weights(Q: Array, K: Array, mask: Array | None, divisor: float, factor: float) -> Array:
    scores = np.asarray(matmul(Q, K))
    if divisor:
        scores = scores / scores.dtype.type(divisor)
    elif factor:
        scores = scores * scores.dtype.type(factor)
    if mask is not None:
        scores = scores + mask
    return np.asarray(softmax(scores))
