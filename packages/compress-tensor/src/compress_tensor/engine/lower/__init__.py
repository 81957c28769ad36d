"""How each operator becomes libcore records, one module per kind of operator."""

from ..registry import LOWERINGS, NotLowered
from . import (
    attention,
    codes,
    conv,
    elementwise,
    gradient,
    index,
    integer,
    integer_products,
    matrix,
    movement,
    normalize,
    pool,
    quant,
    recurrent,
    recurrent_gradient,
    reduce,
    resize,
)

__all__ = [
    "LOWERINGS",
    "NotLowered",
    "attention",
    "codes",
    "conv",
    "elementwise",
    "gradient",
    "index",
    "integer",
    "integer_products",
    "matrix",
    "movement",
    "normalize",
    "pool",
    "quant",
    "recurrent",
    "recurrent_gradient",
    "reduce",
    "resize",
]
