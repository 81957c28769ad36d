"""The shape rules of all operators; importing this package fills the table."""

from . import elementwise, generate, index, linear, movement, plane

__all__ = ["elementwise", "generate", "index", "linear", "movement", "plane"]
