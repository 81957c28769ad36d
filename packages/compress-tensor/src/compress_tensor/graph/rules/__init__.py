"""The shape rules of all operators; importing this package fills the table."""

from . import (
    attention,
    elementwise,
    generate,
    gradient,
    index,
    linear,
    movement,
    plane,
    recurrent_gradient,
    select,
)

__all__ = [
    "attention",
    "elementwise",
    "generate",
    "gradient",
    "index",
    "linear",
    "movement",
    "plane",
    "recurrent_gradient",
    "select",
]
