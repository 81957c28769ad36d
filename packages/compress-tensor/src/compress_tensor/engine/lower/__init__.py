"""How each operator becomes libcore records, one module per kind of operator."""

from ..registry import LOWERINGS, NotLowered
from . import (
    conv,
    elementwise,
    index,
    integer,
    matrix,
    movement,
    normalize,
    pool,
    quant,
    recurrent,
    reduce,
    resize,
)

__all__ = [
    "LOWERINGS",
    "NotLowered",
    "conv",
    "elementwise",
    "index",
    "integer",
    "matrix",
    "movement",
    "normalize",
    "pool",
    "quant",
    "recurrent",
    "reduce",
    "resize",
]
