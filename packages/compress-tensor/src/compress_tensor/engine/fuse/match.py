"""Matching expressions: patterns over the operators that make a value.

A pattern is a variable (a string: the same name must stand for the same value everywhere), a
constant (`Number`, `Constant`), or an operator with patterns for its inputs, as in
``("Mul", "x", Number(0.5))``.  Add and Mul match in either order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from math import isclose

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

    def match(
        self, pattern: Pattern, name: str, bound: Bindings | None = None
    ) -> Iterator[Bindings]:
        """Yield the bindings under which ``name`` is made as ``pattern`` says."""
        bound = bound or {}
        if isinstance(pattern, str):
            if bound.setdefault(pattern, name) == name:
                yield bound
        elif isinstance(pattern, Number):
            value = self.constants.get(name)
            scalar = float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None
            if scalar is not None and isclose(scalar, pattern.value, rel_tol=1e-5):
                yield bound
        elif isinstance(pattern, Constant):
            if name in self.constants and bound.get(pattern.name, name) == name:
                yield {**bound, pattern.name: name}
        elif isinstance(pattern, tuple):
            yield from self._match_node(pattern, name, bound)

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
        """Return the first match, or None."""
        return next(self.match(pattern, name), None)

    def sole(self, name: str, op: str) -> Node | None:
        """Return the node of ONNX's operator ``op`` that makes ``name`` for one reader, or None."""
        found = self.producers.get(name)
        alone = self.readers[name] == 1 and name not in self.outputs
        return found if found and found.op == op and not found.domain and alone else None

    def _match_node(
        self, pattern: tuple[Pattern, ...], name: str, bound: Bindings
    ) -> Iterator[Bindings]:
        node = self.producers.get(name)
        if node is None or node.op != pattern[0] or node.domain:
            return
        inputs = node.inputs[: len(pattern) - 1]
        if len(inputs) != len(pattern) - 1:
            return
        orders = [inputs, inputs[::-1]] if node.op in COMMUTATIVE else [inputs]
        for order in orders:
            yield from self._match_all(list(pattern[1:]), order, dict(bound))

    def _match_all(
        self, patterns: list[Pattern], names: list[str], bound: Bindings
    ) -> Iterator[Bindings]:
        if not patterns:
            yield bound
            return
        for more in self.match(patterns[0], names[0], dict(bound)):
            yield from self._match_all(patterns[1:], names[1:], more)
