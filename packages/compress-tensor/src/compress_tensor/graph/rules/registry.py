"""The table of shape rules: what an operator's outputs look like before it runs.

A rule has the signature of the reference definition, with `Info` in place of arrays::

    @rule("Transpose")
    def transpose(data: Info, *, perm: list[int] | None = None) -> Info:
        ...

Shapes in an ``Info`` are plain ints: inference always runs with every symbol bound.
A rule that needs the *value* of an input (Reshape's ``shape``) calls ``info.need(...)``, which
raises `NeedsValue` when it is not known yet; one whose output shape depends on the data itself
(NonZero) returns an Info with ``shape=None``.  A rule checks what it uses and raises ShapeError
with the numbers that do not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ...dtype import DType
from ...errors import CompressError
from ..graph import Array
from ..stored import Stored

Rule = Callable[..., Any]
F = TypeVar("F", bound=Rule)


class NeedsValue(CompressError):  # noqa: N818 - a question, not an error
    """The shape of an output depends on the contents of ``name``, which are not known."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the contents of {name!r} are needed to know shapes")
        self.name = name


@dataclass(slots=True)  # a frozen one takes three times as long to make
class Info:
    """What is known of a value while shapes are inferred.  Never changed once made.

    Attributes:
        dtype: element type.
        shape: ints, or None when it depends on data.
        value: the contents, when they are known (constants, folded shape arithmetic).
        name: the value's name, for messages.
        stored: where a large constant's contents lie, whose `value` is then None.
    """

    dtype: DType
    shape: tuple[int, ...] | None
    value: Array | None = None
    name: str = ""
    stored: Stored | None = None

    def need(self) -> Array:
        """Return the contents or raise NeedsValue."""
        if self.stored is not None:
            return self.stored.load()
        if self.value is None:
            raise NeedsValue(self.name)
        return self.value

    @property
    def dims(self) -> tuple[int, ...]:
        """Return the shape or raise NeedsValue, since it depends on data."""
        if self.shape is None:
            raise NeedsValue(self.name)
        return self.shape

    @property
    def rank(self) -> int:
        """Return the number of dimensions."""
        return len(self.dims)


RULES: dict[tuple[str, str], Rule] = {}


def rule(*ops: str, domain: str = "") -> Callable[[F], F]:
    """Register the decorated function as the shape rule of these operators."""

    def register(function: F) -> F:
        for op in ops:
            RULES[domain, op] = function
        return function

    return register
