"""How each operator becomes libcore records, one module per kind of operator."""

from . import (
    conv,
    elementwise,
    index,
    matrix,
    movement,
    normalize,
    pool,
    quant,
    recurrent,
    reduce,
)
from ..registry import LOWERINGS, NotLowered

__all__ = [
    "LOWERINGS",
    "NotLowered",
    "conv",
    "elementwise",
    "index",
    "matrix",
    "movement",
    "normalize",
    "pool",
    "quant",
    "recurrent",
    "reduce",
]
