"""Going back: gradients of recorded operations, the latest first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any

import compress_tensor as ct
from compress_tensor import InputError, ShapeError, Tensor
from compress_tensor.eager import run_in_place

from . import tape
from .tape import Edge, Gradients, Record, no_grad
from .views import Layout, Piece


class _Sum:
    """A gradient that is being added up; memory of its own is added to in place."""

    __slots__ = ("layout", "own", "total")

    def __init__(self) -> None:
        self.total: Tensor | None = None
        self.own = False
        self.layout: Layout | None = None  #: of the source, if the total is laid out like it

    def add(self, g: Tensor | Piece) -> None:
        if isinstance(g, Piece):
            self._place(g)
        elif self.total is None:
            self.total = g
        elif self.own and g._tape is None and run_in_place("Add", (self.total, g)):
            pass
        else:
            self.total = ct.add(self.total, g)
            self.own = self.total._tape is None
            self.layout = None

    def _place(self, piece: Piece) -> None:
        if self.total is None or self.layout != piece.source:
            canvas = piece.canvas()
            if self.total is not None:
                canvas.copy_(self.total)
            self.total, self.own, self.layout = canvas, True, piece.source
        piece.add_to(self.total)


class _Parts(_Sum):
    """Gradients that somebody else adds up, so that the order of additions stays the same."""

    __slots__ = ()

    def add(self, g: Tensor | Piece) -> None:
        """Take note of a gradient."""
        held: Any = self.total
        self.total = [g] if held is None else [*held, g]  # type: ignore[assignment]


class _Sweep:
    """The gradients on their way, and the records that wait for theirs."""

    def __init__(self) -> None:
        self.sums: dict[Record, list[_Sum]] = {}
        self.leaves: dict[Edge, _Sum] = {}
        self._waiting: list[tuple[int, Record]] = []

    def add(self, edge: Edge, g: Tensor | Piece, label: str) -> None:
        """Add to the gradient of an edge."""
        record = edge.record
        shape = edge.shape if record is None else record.shapes[edge.index]
        if g.shape != shape:
            raise ShapeError(f"{label} gave a gradient of shape {list(g.shape)} for {list(shape)}")
        if record is None:
            self.leaves.setdefault(edge, _Sum()).add(g)
            return
        if record not in self.sums:
            self.sums[record] = [_Sum() for _ in record.shapes]
            heapq.heappush(self._waiting, (-record.number, record))
        self.sums[record][edge.index].add(g)

    def run(
        self, retain_graph: bool, wanted: set[Record], first: int = -1
    ) -> dict[Record, list[Tensor | None]]:
        """Go through all records above number ``first``; returns gradients of those wanted."""
        kept: dict[Record, list[Tensor | None]] = {}
        while self._waiting:
            _, record = heapq.heappop(self._waiting)
            if record.number <= first:
                kept[record] = [each.total for each in self.sums.pop(record)]
                continue
            if record.used:
                raise InputError(
                    f"the past of this tensor ({record.label}) was used by an earlier backward and "
                    "let go of; pass retain_graph=True to that one"
                )
            sums = self.sums.pop(record)
            grads = [_hooked(record.hooks.get(n), each.total) for n, each in enumerate(sums)]
            if record in wanted:
                kept[record] = grads
            for edge, g in zip(record.edges, record.vjp(grads), strict=False):
                if edge is not None and g is not None:
                    for part in g if isinstance(g, list) else [g]:
                        self.add(edge, part, record.label)
            if not retain_graph:
                record.free()
        return kept


def _hooked(hooks: Sequence[Any] | None, g: Tensor | None) -> Tensor | None:
    for hook in hooks or ():
        if g is not None:
            changed = hook(g)
            g = g if changed is None else changed
    return g


def _seed(tensor: Tensor, gradient: Tensor | None) -> Tensor:
    if gradient is None:
        if tensor.size != 1:
            raise ShapeError(
                f"backward starts at one number, not at shape {list(tensor.shape)}; reduce it to a "
                "loss, or pass its gradient"
            )
        return ct.ones(tensor.shape, dtype=tensor.dtype)
    if gradient.shape != tensor.shape:
        raise ShapeError(
            f"a gradient of shape {list(gradient.shape)} is none of {list(tensor.shape)}"
        )
    return gradient


def run_backward(tensor: Tensor, gradient: Tensor | None, retain_graph: bool) -> None:
    """Add the derivatives of a tensor to ``grad`` of the leaves it depends on."""
    with no_grad():
        sweep = _Sweep()
        edge: Any = tensor._tape
        sweep.add(edge, _seed(tensor, gradient), "backward")
        sweep.run(retain_graph, set())
        # Taken out one by one: all the copies beside all that is copied would be twice the memory.
        for leaf in list(sweep.leaves):
            added = sweep.leaves.pop(leaf)
            g = _hooked(leaf.hooks, added.total)
            if g is not None:
                total = _Sum()
                if leaf.grad is not None:
                    total.total, total.own = leaf.grad, True
                    total.add(g)
                    leaf.grad = total.total
                else:
                    leaf.grad = g if added.own else g.clone()


def grad(
    output: Tensor,
    inputs: Sequence[Tensor],
    gradient: Tensor | None = None,
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> list[Tensor]:
    """Return the derivatives of ``output`` with respect to tensors, without touching ``grad``.

    Args:
        output: what to differentiate.
        inputs: leaves or intermediate tensors; where there is no dependence the result is 0.
        gradient: what to multiply with, of the shape of ``output``; 1 for one element.
        create_graph: record the computation too, so that it can be differentiated again.
        retain_graph: keep what was recorded; by default as ``create_graph``.

    Raises:
        InputError: if nothing was recorded for ``output`` or an input.
    """
    edges: list[Any] = tape.edges_of(inputs)
    if output._tape is None or None in edges:
        raise InputError("a tensor was not followed: set requires_grad before it is computed with")
    kept_alive = create_graph if retain_graph is None else retain_graph
    with tape.enable_grad() if create_graph else no_grad():
        sweep = _Sweep()
        start: Any = output._tape
        sweep.add(start, _seed(output, gradient), "grad")
        kept = sweep.run(kept_alive, {e.record for e in edges if e.record is not None})
        found: list[Tensor] = []
        for given, edge in zip(inputs, edges, strict=True):
            if edge.record is None:
                total = sweep.leaves[edge].total if edge in sweep.leaves else None
            else:
                total = kept[edge.record][edge.index] if edge.record in kept else None
            found.append(ct.zeros(given.shape, dtype=given.dtype) if total is None else total)
        return found


def pull(
    function: Callable[..., Any],
    operands: Sequence[Any],
    needs: Sequence[bool],
    gs: Gradients,
    *,
    parts: bool = False,
) -> list[Any]:
    """Return the gradients of operands of a function, by computing it again on the tape.

    Args:
        function: of the operands; returns a tensor or several.
        operands: tensors and anything else.
        needs: which gradients are wanted.
        gs: gradients of its results; None: it is 0.
        parts: return what adds up to each gradient as a list, in order, instead of the sum.
    """
    again = tape.is_grad_enabled()
    with tape.enable_grad():
        inner: list[Any] = list(operands)
        for n, given in enumerate(operands):
            if isinstance(given, Tensor) and n < len(needs) and needs[n]:
                inner[n] = given._view(given.shape, given.strides)  # its own end of the tape
                if inner[n]._tape is None:
                    inner[n].requires_grad = True
        edges: list[Any] = tape.edges_of(inner)
        first = max((e.record.number for e in edges if e and e.record), default=-1)
        found = function(*inner)
    outputs = found if isinstance(found, (tuple, list)) else [found]
    with tape.enable_grad() if again else no_grad():
        sweep = _Sweep()
        if parts and not again:
            sweep.leaves = {edge: _Parts() for edge in edges if edge is not None}
        for out, g in zip(outputs, gs, strict=False):
            edge: Any = out._tape
            if g is not None and edge is not None:
                sweep.add(edge, g, "a composed rule")
        kept = sweep.run(again, set(), first)
    results: list[Any] = []
    for edge in edges:
        if edge is None:
            results.append(None)
        elif edge.record is None:
            results.append(sweep.leaves[edge].total if edge in sweep.leaves else None)
        else:
            results.append(kept[edge.record][edge.index] if edge.record in kept else None)
    return results


def hessian_vector_product(
    loss: Tensor, parameters: Sequence[Tensor], vectors: Sequence[Tensor]
) -> list[Tensor]:
    """Return the second derivatives of ``loss`` times a vector (Pearlmutter, 1994).

    Args:
        loss: one number.
        parameters: leaves that it depends on.
        vectors: one per parameter, of its shape.
    """
    first = grad(loss, parameters, create_graph=True)
    total: Any = None
    for g, v in zip(first, vectors, strict=True):
        part = ct.sum(g * v)
        total = part if total is None else total + part
    if total is None or total._tape is None:  # linear: no second derivatives
        return [ct.zeros(p.shape, dtype=p.dtype) for p in parameters]
    return grad(total, parameters)
