"""Derivative rules of the engine's operators, by kind."""

from __future__ import annotations

from . import (
    attention,
    binary,
    composed,
    convolution,
    movement,
    normalize,
    product,
    recurrent,
    recurrent_training,
    reduction,
    unary,
)
from .registry import CONSTANT, REFUSED, RULES

_LOADED = (unary, binary, reduction, product, movement, convolution, composed, normalize)
_LOADED_LAYERS = (recurrent, recurrent_training, attention)

__all__ = ["CONSTANT", "REFUSED", "RULES"]
