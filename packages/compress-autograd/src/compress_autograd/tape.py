"""The tape: what was computed from tensors that require gradients, and how to go back.

Every float result that depends on such a tensor carries an edge to the record of the operation
that made it; records point to the edges of their operands.  So the past of a tensor lives as long
as something needs it, and there is no list to clear.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from compress_tensor import InputError, Tensor
from compress_tensor.differentiable import MAKE_LEAF
from compress_tensor.promotion import FLOATS

if TYPE_CHECKING:
    from .backward import run_backward as _run_backward
    from .operator import record_operator as _record_operator
    from .views import ViewRecord as _view_record  # noqa: N813

Gradients = Sequence[Tensor | None]
Hook = Callable[[Tensor], "Tensor | None"]

#: operators that training computes otherwise: functions of operands, attributes as pairs and the
#: number of outputs, which return None for what they do not take
TRAINING: dict[str, Callable[[Sequence[Any], Any, int], list[Tensor] | None]] = {}

_NUMBERS = itertools.count()  #: records are numbered, so that backward has a fixed order


class _State(threading.local):
    enabled = True
    keeping = False


_STATE = _State()


def is_grad_enabled() -> bool:
    """Return whether operations are recorded now, in this thread."""
    return _STATE.enabled


@contextmanager
def _recording(enabled: bool) -> Iterator[None]:
    before, _STATE.enabled = _STATE.enabled, enabled
    try:
        yield
    finally:
        _STATE.enabled = before


def no_grad() -> Any:
    """Return a context in which nothing is recorded and leaves may be written to."""
    return _recording(False)


def enable_grad() -> Any:
    """Return a context in which operations are recorded, inside of ``no_grad`` too."""
    return _recording(True)


class Saved:
    """A tensor that a derivative needs; it must not be written to before that."""

    __slots__ = ("edge", "tensor", "version")

    def __init__(self, tensor: Tensor, edge: Edge | None) -> None:
        self.tensor = tensor if tensor._tape is None else tensor.detach()
        self.edge = edge
        self.version = tensor._storage.version

    def get(self, label: str, edge: Edge | None) -> Tensor:
        """Return the tensor as it was; followed as before where derivatives are recorded.

        Raises:
            InputError: if it was written to.
        """
        found = self.tensor
        if found._storage.version != self.version:
            raise InputError(
                f"{label} needs a tensor of shape {list(found.shape)} for its derivative, which "
                "was written to in place after that; write to a clone() of it"
            )
        if not _STATE.enabled or edge is None:
            return found
        alias: Tensor = found.detach()
        alias._tape = edge
        return alias


class Record:
    """One recorded operation.

    Attributes:
        number: later operations have larger ones.
        label: how messages name it.
        edges: where the gradients of the operands go; None: nowhere.
        hooks: functions to call with the gradient of an output, by its number.
        shapes: of the outputs.
    """

    __slots__ = ("__weakref__", "edges", "hooks", "label", "number", "shapes", "used")

    def __init__(self, label: str, edges: list[Edge | None], shapes: list[Any]) -> None:
        self.number = next(_NUMBERS)
        self.label = label
        self.edges = edges
        self.hooks: dict[int, list[Hook]] = {}
        self.shapes = shapes
        self.used = False

    def vjp(self, grads: Gradients) -> Gradients:
        """Return the gradients of the operands, given those of the outputs."""
        raise NotImplementedError

    def free(self) -> None:
        """Let go of what was saved."""
        self.used = True


class Edge:
    """Where the gradient of one tensor goes: to an output of a record, or to a leaf.

    Attributes:
        record: what made the tensor; None for a leaf.
        index: which of the outputs it is.
        grad: of a leaf, what `backward` has added up.
        shape: of a leaf.
    """

    __slots__ = ("__weakref__", "grad", "hooks", "index", "record", "shape")

    def __init__(self, record: Record | None, index: int, shape: tuple[int, ...]) -> None:
        self.record = record
        self.index = index
        self.grad: Tensor | None = None
        self.hooks: list[Hook] = []
        self.shape = shape

    def instead(
        self, op: str, inputs: Sequence[Any], attributes: Any, outputs: int
    ) -> list[Tensor] | None:
        """Compute and record an operator that has a version for training, if it fits."""
        version = TRAINING.get(op)
        if version is None or not _STATE.enabled:
            return None
        return version(inputs, attributes, outputs)

    def ran(
        self, op: str, inputs: Sequence[Any], attributes: Any, outputs: Sequence[Tensor]
    ) -> None:
        """Record an operator of the engine."""
        if not _STATE.enabled:
            return
        record = _record_operator(op, inputs, attributes, outputs)
        if record is not None:
            attach(record, outputs)

    def viewed(self, source: Any, view: Any) -> None:
        """Record a view."""
        if _STATE.enabled:
            attach(_view_record(source, view), [view])

    def written(self, what: str) -> None:
        """Refuse to write in place where the past would be lost.

        Raises:
            InputError: unless nothing is recorded now.
        """
        if _STATE.enabled:
            raise InputError(
                f"{what} of a write in place is followed for its gradient, which would be lost; "
                "compute a new tensor, or write under no_grad()"
            )

    def backward(self, tensor: Tensor, gradient: Tensor | None, retain_graph: bool) -> None:
        """Compute the gradients of all leaves."""
        _run_backward(tensor, gradient, retain_graph)

    def hook(self, function: Hook) -> None:
        """Have a function called with the gradient of this tensor."""
        if self.record is None:
            self.hooks.append(function)
        else:
            self.record.hooks.setdefault(self.index, []).append(function)


def attach(record: Record, outputs: Sequence[Tensor]) -> None:
    """Make float outputs carry an edge to the record that made them."""
    for index, out in enumerate(outputs):
        if out._dtype in FLOATS:
            out._tape = Edge(record, index, out._shape)


def edges_of(inputs: Sequence[Any]) -> list[Edge | None]:
    """Return the edge of every operand; None for what is not followed."""
    return [getattr(given, "_tape", None) for given in inputs]


def _leaf(tensor: Tensor) -> Edge:
    if tensor._dtype not in FLOATS:
        raise InputError(f"{tensor.dtype.label} has no gradients; floats have")
    return Edge(None, 0, tensor.shape)


def connect() -> None:
    """Import what edges call, which works on records, and let tensors have edges."""
    from .backward import run_backward
    from .operator import record_operator
    from .views import ViewRecord

    globals().update(
        _run_backward=run_backward, _record_operator=record_operator, _view_record=ViewRecord
    )
    MAKE_LEAF[:] = [_leaf]
