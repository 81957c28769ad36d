"""The table of lowerings: operator -> function that plans it as libcore records.

A lowering looks at the node's types and shapes, then emits records and defines the node's
outputs.  Where libcore has no kernel it raises `NotLowered` with the reason (what it emitted is
rolled back) and the node runs by its reference definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..graph.graph import Node

if TYPE_CHECKING:
    from .lowering import Lowering

Lower = Callable[["Lowering", Node], None]

LOWERINGS: dict[tuple[str, str], Lower] = {}

#: operators that can read codes: returns whether it did; tried before the lowering above
Integer = Callable[["Lowering", Node], bool]
INTEGERS: dict[str, Integer] = {}


class NotLowered(Exception):  # noqa: N818 - a decision, not an error
    """libcore has no kernel for this use of the operator; the text says why."""


def lower(*ops: str, domain: str = "") -> Callable[[Lower], Lower]:
    """Register the decorated function as the lowering of these operators."""

    def register(function: Lower) -> Lower:
        for op in ops:
            LOWERINGS[domain, op] = function
        return function

    return register


def on_codes(*ops: str) -> Callable[[Integer], Integer]:
    """Register the decorated function for these operators on quantized inputs."""

    def register(function: Integer) -> Integer:
        for op in ops:
            INTEGERS[op] = function
        return function

    return register


def require(condition: object, why: str) -> None:
    """Raise NotLowered with the reason unless the condition holds."""
    if not condition:
        raise NotLowered(why)
