"""The definitions of all operators; importing this package fills the table."""

from . import (
    activation,
    binary,
    cast,
    conv,
    gather,
    generate,
    matrix,
    movement,
    normalize,
    pad,
    pool,
    quantize,
    recurrent,
    reduction,
    unary,
)

__all__ = [
    "activation",
    "binary",
    "cast",
    "conv",
    "gather",
    "generate",
    "matrix",
    "movement",
    "normalize",
    "pad",
    "pool",
    "quantize",
    "recurrent",
    "reduction",
    "unary",
]
