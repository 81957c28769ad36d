"""Matching expressions: patterns over the operators that make a value.

A pattern is a variable (a string: the same name must stand for the same value everywhere), a
constant (`Number`, `Constant`), or an operator with patterns for its inputs, as in
``("Mul", "x", Number(0.5))``.  Add and Mul match in either order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from math import isclose
from typing import Any

from ...graph.graph import Array, Node
from ...graph.rules.registry import Info

COMMUTATIVE = frozenset({"Add", "Mul"})
_ARITHMETIC = frozenset({"Add", "Div", "Mul", "Reciprocal", "Sub"})


@dataclass(frozen=True, slots=True)
class Number:
    """A scalar constant equal to ``value`` up to float32 rounding of how it was computed."""

    value: float


@dataclass(frozen=True, slots=True)
class Constant:
    """Any constant; bound to ``name``."""

    name: str


Pattern = object  # str | Number | Constant | tuple
Bindings = dict[str, str]
_Goals = tuple[Any, str, Any]  #: a pattern, the value that it must match, and more goals or None


@dataclass
class Matcher:
    """The nodes in which to look."""

    nodes: list[Node]
    infos: dict[str, Info]
    constants: dict[str, Array]
    outputs: Collection[str] = ()  #: of the graph, which have readers outside of it
    producers: dict[str, Node] = field(init=False)
    readers: Counter[str] = field(init=False)

    def __post_init__(self) -> None:
        self.producers = {out: node for node in self.nodes for out in node.outputs if out}
        self.readers = Counter(name for node in self.nodes for name in node.inputs if name)

    def near(self, name: str, ops: Collection[str], steps: int) -> bool:
        """Return whether one of ``ops`` is at most ``steps`` arithmetic operators before ``name``.

        Cheap: asked before patterns are tried.
        """
        node = self.producers.get(name)
        if node is None or node.op in ops:
            return node is not None
        return (
            steps > 0
            and node.op in _ARITHMETIC
            and any(self.near(each, ops, steps - 1) for each in node.inputs)
        )

    def first(self, pattern: Pattern, name: str) -> Bindings | None:
        """Return the first bindings under which ``name`` is made as ``pattern`` says, or None."""
        return self._solved((pattern, name, None), {})

    def sole(self, name: str, op: str) -> Node | None:
        """Return the node of ONNX's operator ``op`` that makes ``name`` for one reader, or None."""
        found = self.producers.get(name)
        alone = self.readers[name] == 1 and name not in self.outputs
        return found if found and found.op == op and not found.domain and alone else None

    def _solved(self, goals: _Goals | None, bound: Bindings) -> Bindings | None:
        """Return the bindings, more than ``bound``, that meet all goals; None if there are none."""
        while goals is not None:
            pattern, name, goals = goals
            if isinstance(pattern, str):
                if bound.setdefault(pattern, name) != name:
                    return None
            elif isinstance(pattern, tuple):
                node = self.producers.get(name)
                if node is None or node.op != pattern[0] or node.domain:
                    return None
                inputs, wanted = node.inputs, pattern[1:]
                if len(inputs) < len(wanted):
                    return None
                if node.op in COMMUTATIVE:
                    (one, two), (a, b) = wanted, inputs[:2]
                    found = self._solved((one, a, (two, b, goals)), dict(bound))
                    if found is not None:
                        return found
                    goals = (one, b, (two, a, goals))
                else:
                    for part, given in zip(
                        reversed(wanted), inputs[len(wanted) - 1 :: -1], strict=True
                    ):
                        goals = (part, given, goals)
            elif isinstance(pattern, Constant):
                if name not in self.constants or bound.setdefault(pattern.name, name) != name:
                    return None
            elif isinstance(pattern, Number) and not self._is(name, pattern.value):
                return None
        return bound

    def _is(self, name: str, number: float) -> bool:
        value = self.constants.get(name)
        if value is None or value.size != 1:
            return False
        return isclose(float(value.reshape(-1)[0]), number, rel_tol=1e-5)
