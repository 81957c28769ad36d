"""What a tensor offers to automatic differentiation, which compress-autograd brings.

A tensor whose operations are followed carries an `Edge`: the place that its gradient goes to.
Whoever computes with such a tensor tells the edge; all others cost one comparison with None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .errors import InputError, MissingExtraError, ShapeError

if TYPE_CHECKING:
    from .tensor import Tensor

Hook = Callable[["Tensor"], "Tensor | None"]


class Edge(Protocol):
    """The end of a tensor's past, as compress-autograd's tape records it."""

    grad: Any

    def instead(
        self, op: str, inputs: Sequence[Any], attributes: Any, outputs: int
    ) -> list[Tensor] | None:
        """Compute and take note of an operator, if training computes it otherwise."""

    def ran(
        self, op: str, inputs: Sequence[Any], attributes: Any, outputs: Sequence[Tensor]
    ) -> None:
        """Take note of an operator that was computed."""

    def viewed(self, source: Any, view: Any) -> None:
        """Take note of a view that was made."""

    def written(self, what: str) -> None:
        """Refuse writing in place, unless nothing is followed now."""

    def backward(self, tensor: Tensor, gradient: Tensor | None, retain_graph: bool) -> None:
        """Compute gradients of all leaves."""

    def hook(self, function: Hook) -> None:
        """Have a function called with the gradient."""


#: makes the edge of a leaf; filled when compress_autograd is imported
MAKE_LEAF: list[Callable[[Any], Edge]] = []


class Differentiable:
    """Gradients, as in torch."""

    __slots__ = ("_tape",)

    _tape: Edge | None

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are followed; set it to start or stop that.

        Raises:
            MissingExtraError: if compress_autograd was not imported.
            InputError: if the elements are no floats.
        """
        return self._tape is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if not wanted:
            self._tape = None
        elif self._tape is None:
            if not MAKE_LEAF:
                raise MissingExtraError(
                    "gradients need compress-autograd: import compress_autograd"
                )
            self._tape = MAKE_LEAF[0](self)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` has added up here; None before, or to start anew."""
        found: Tensor | None = None if self._tape is None else self._tape.grad
        return found

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if self._tape is None:
            raise InputError("a tensor without requires_grad has no gradient")
        mine: Any = self
        if value is not None and value.shape != mine.shape:
            raise ShapeError(
                f"a gradient of shape {list(value.shape)} does not fit {list(mine.shape)}"
            )
        self._tape.grad = value

    def backward(self, gradient: Tensor | None = None, *, retain_graph: bool = False) -> None:
        """Add the derivatives of this tensor to ``grad`` of every leaf that it depends on.

        Args:
            gradient: what to multiply with, of this tensor's shape; by default 1 for one element.
            retain_graph: keep what was recorded, so that it can be done again.

        Raises:
            InputError: if nothing was recorded, it was used already, or a recorded tensor was
                written to since.
        """
        if self._tape is None:
            raise InputError("nothing was recorded for this tensor: no operand requires_grad")
        mine: Any = self
        self._tape.backward(mine, gradient, retain_graph)

    def register_hook(self, function: Hook) -> None:
        """Call ``function`` with the gradient of this tensor; what it returns replaces it."""
        if self._tape is None:
            raise InputError("a tensor without requires_grad has no gradient to hook into")
        self._tape.hook(function)

    def detach(self) -> Any:
        """Return a view that is not followed."""
        mine: Any = self
        return mine._make(mine._storage, mine._dtype, mine._shape, mine._strides, mine._offset)


def require_untracked(*operands: Any) -> None:
    """Refuse to write in place what is followed, or from what is.

    Raises:
        InputError: if an operand is followed.
    """
    for given in operands:
        edge = getattr(given, "_tape", None)
        if edge is not None:
            edge.written("the target" if given is operands[0] else "an operand")
