"""How a session computes, where there is a choice."""

from __future__ import annotations

from dataclasses import dataclass

TILES = (2, 4)  #: of Winograd's minimal filtering: outputs down and across


@dataclass(frozen=True, slots=True)
class Options:
    """What `compile` was asked for.

    Attributes:
        half: products of floats take bfloat16 operands.
        winograd: the largest tile of Winograd's minimal filtering that 3 x 3 convolutions of
            floats may use: 0 (none), 2 or 4.
        any_strides: outputs may lie in any order of their dimensions.
    """

    half: bool = False
    winograd: int = 2
    any_strides: bool = False


DEFAULT = Options()
