"""Functions with a derivative of their own."""

from __future__ import annotations

from typing import Any

from compress_tensor import Tensor

from . import tape
from .tape import Edge, Gradients, Record, Saved


class Function:
    """A function whose derivative is written by hand; an object is one call of it.

    ::

        class Square(Function):
            def forward(self, x):
                self.save(x)
                return x * x

            def vjp(self, g):
                (x,) = self.saved
                return (2.0 * g * x,)

        y = Square()(x)

    ``forward`` is not recorded.  What ``vjp`` computes is, where second derivatives are asked for.
    """

    def __init__(self) -> None:
        self._saved: list[Saved | None] = []
        self.needs: list[bool] = []

    def forward(self, *inputs: Any) -> Any:
        """Return a tensor, or a tuple of tensors."""
        raise NotImplementedError

    def vjp(self, *grads: Any) -> Any:
        """Return a gradient (or None) per input, given one per output (None: it is 0)."""
        raise NotImplementedError

    def save(self, *tensors: Tensor | None) -> None:
        """Keep operands for ``vjp``; they must not be written to."""
        self._saved = [None if t is None else Saved(t, t._tape) for t in tensors]  # type: ignore[arg-type]

    @property
    def saved(self) -> list[Any]:
        """What `save` was given."""
        label = type(self).__name__
        return [None if s is None else s.get(label, s.edge) for s in self._saved]

    def __call__(self, *inputs: Any) -> Any:
        """Compute, and record if an input is followed."""
        edges = tape.edges_of(inputs)
        self.needs = [edge is not None for edge in edges]
        with tape.no_grad():
            found = self.forward(*inputs)
        if not tape.is_grad_enabled() or not any(self.needs):
            return found
        outputs = list(found) if isinstance(found, (tuple, list)) else [found]
        outputs = [out.detach() if out._tape is not None else out for out in outputs]
        tape.attach(_FunctionRecord(self, edges, outputs), outputs)
        return tuple(outputs) if isinstance(found, (tuple, list)) else outputs[0]


class _FunctionRecord(Record):
    __slots__ = ("function",)

    def __init__(self, function: Function, edges: list[Edge | None], outputs: list[Tensor]) -> None:
        super().__init__(type(function).__name__, edges, [out._shape for out in outputs])
        self.function: Function | None = function

    def vjp(self, grads: Gradients) -> Gradients:
        assert self.function is not None
        found: Any = self.function.vjp(*grads)
        return found if isinstance(found, (tuple, list)) else (found,)

    def free(self) -> None:
        super().free()
        self.function = None
