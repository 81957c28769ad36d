"""How a session computes, where there is a choice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """What `compile` was asked for.

    Attributes:
        half: products of floats take bfloat16 operands.
        winograd: 3 x 3 convolutions of floats may use Winograd's minimal filtering.
        any_strides: outputs may lie in any order of their dimensions.
    """

    half: bool = False
    winograd: bool = False
    any_strides: bool = False


DEFAULT = Options()
