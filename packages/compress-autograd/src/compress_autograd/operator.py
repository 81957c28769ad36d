"""Recording an operator of the engine with the rule of its derivative."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compress_tensor import Tensor, UnsupportedError
from compress_tensor.promotion import FLOATS

from . import tape
from .rules.registry import CONSTANT, REFUSED, RULES, Rule, definition
from .tape import Edge, Gradients, Record, Saved


class Call(Record):
    """One call of an operator.

    Attributes:
        rule: of its derivative.
        given: attributes as they were given, in pairs.
        inputs: shape and type of every operand (None: omitted), or an array that decided shapes.
        saved: what the rule asks for, by its parameter's name.
        needs: whether an operand's gradient is wanted.
    """

    __slots__ = ("given", "inputs", "needs", "rule", "saved")

    def __init__(
        self, rule: Rule, edges: list[Edge | None], inputs: Sequence[Any], attributes: Any,
        outputs: Sequence[Tensor],
    ) -> None:  # fmt: skip
        super().__init__(rule.op, edges, [out._shape for out in outputs])
        self.rule = rule
        self.given = attributes
        self.needs = [edge is not None for edge in edges]
        self.inputs: list[Any] = [
            (given._shape, given._dtype) if isinstance(given, Tensor) else given for given in inputs
        ]
        self.saved: dict[str, Any] = {}
        for name, place in rule.saves(self.needs):
            source = outputs if place.output else inputs
            if place.every:
                self.saved[name] = [_save(each, place.output, n) for n, each in enumerate(source)]
            elif place.index < len(source):
                self.saved[name] = _save(source[place.index], place.output, place.index)
            else:
                self.saved[name] = None

    @property
    def attributes(self) -> dict[str, Any]:
        """All attributes, defaults filled in."""
        given = {k: list(v) if isinstance(v, tuple) else v for k, v in self.given}
        return definition(self.rule.op).attributes(given, self.label)

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the shape of an operand."""
        found = self.inputs[index]
        return tuple(found.shape if hasattr(found, "shape") else found[0])

    def get(self, name: str) -> Any:
        """Return what was saved for a parameter of the rule."""
        held = self.saved[name]
        return [self._get(each) for each in held] if isinstance(held, list) else self._get(held)

    def _get(self, held: Any) -> Any:
        if not isinstance(held, Saved):
            return held
        edge = held.edge
        if edge is not None and edge.record is None and edge.index < 0:  # an output of this call
            index = -1 - edge.index
            edge = Edge(self, index, self.shapes[index])
        return held.get(self.label, edge)

    def vjp(self, grads: Gradients) -> Gradients:
        """Apply the rule."""
        return self.rule.apply(self, grads)

    def free(self) -> None:
        """Let go of operands and results."""
        super().free()
        self.saved = {}


def _save(given: Any, output: bool, index: int) -> Any:
    """Hold a tensor; an output is marked by number, since an edge to its own record is a cycle."""
    if not isinstance(given, Tensor):
        return given
    return Saved(given, Edge(None, -1 - index, ()) if output else given._tape)  # type: ignore[arg-type]


def record_operator(
    op: str, inputs: Sequence[Any], attributes: Any, outputs: Sequence[Tensor]
) -> Record | None:
    """Return the record of a call; None if its results do not change with the operands.

    Raises:
        UnsupportedError: if the operator has no rule.
    """
    rule = RULES.get(op)
    if rule is None:
        integers = not any(out._dtype in FLOATS for out in outputs)
        if op in CONSTANT or (integers and op not in REFUSED):
            return None
        reason = REFUSED.get(op, "it has no rule")
        raise UnsupportedError(f"{op} has no derivative: {reason}; detach() its operands")
    if not any(out._dtype in FLOATS for out in outputs):
        return None
    edges = tape.edges_of(inputs)
    return Call(rule, edges, inputs, attributes, outputs)
