"""The shape rules of all operators; importing this package fills the table."""

from . import attention, elementwise, generate, index, linear, movement, plane, select

__all__ = [
    "attention",
    "elementwise",
    "generate",
    "index",
    "linear",
    "movement",
    "plane",
    "select",
]
