"""The table of upgrade rules: how an operator of an old opset is said in opset 21.

A rule takes a node that follows the semantics just below ``below`` and returns the nodes that
mean the same from ``below`` on.  Rules are applied in rising order of ``below`` until the node
is up to date, so each states one step::

    @upgrade("Squeeze", "Unsqueeze", below=13)
    def axes_become_an_input(node: Node, scope: Scope) -> list[Node]:
        ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from compress_tensor.dtype import DType
from compress_tensor.errors import CompressError, ShapeError, UnsupportedError
from compress_tensor.graph.graph import OPSET, Array, Graph, Node

#: For rules about operators that were removed: they hold at every version.
ALWAYS = 1 << 30
#: operators that no longer exist and are rewritten whatever opset the file names
REMOVED = frozenset({"Upsample", "Scatter"})


class Names:
    """Hands out value names that nothing in the whole model uses yet."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._given = taken
        self._next: dict[str, int] = {}

    @cached_property
    def _taken(self) -> set[str]:
        return set(self._given)  # most files never ask

    def fresh(self, hint: str) -> str:
        """Return ``hint``, or ``hint_1``, ``hint_2`` ... if it is taken."""
        name, number = hint, self._next.get(hint, 0)
        while name in self._taken:
            number += 1
            name = f"{hint}_{number}"
        self._next[hint] = number
        self._taken.add(name)
        return name


@dataclass
class Scope:
    """The graph around the node that a rule rewrites.

    Attributes:
        graph: the graph the node lies in; rules add constants to it.
        names: names in use in the whole model.
        reads: names that some node or output of this graph reads.
        dtypes: element types known so far, enclosing graphs included.
        outer: the scope of the enclosing graph.
    """

    graph: Graph
    names: Names
    reads: set[str]
    dtypes: dict[str, DType] = field(default_factory=dict)
    outer: Scope | None = None

    def array(self, name: str) -> Array | None:
        """Return the contents of a constant, or None if ``name`` is none."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.graph.constants:
                return scope.graph.constants[name]
            scope = scope.outer
        return None

    def constant(self, hint: str, value: Any, dtype: Any = np.int64) -> str:
        """Add a constant and return its name."""
        array = np.asarray(value, dtype)
        array.flags.writeable = False
        name = self.names.fresh(hint)
        self.graph.constants[name] = array
        self.dtypes[name] = DType.of(array.dtype)
        return name

    def like(self, hint: str, value: float, other: str) -> tuple[str, list[Node]]:
        """Return a scalar constant in the element type of ``other``, and nodes that make it."""
        dtype = self.dtypes.get(other)
        if dtype is not None and dtype.is_float and not dtype.numpy.names:
            return self.constant(hint, value, dtype.numpy), []
        if dtype is not None and dtype.is_int and not dtype.numpy.names:
            low, high = dtype.integer_range
            return self.constant(hint, min(max(int(value), low), high), dtype.numpy), []
        made = self.constant(hint, value, np.float32)
        name = self.names.fresh(f"{hint}_cast")
        return name, [Node("CastLike", [made, other], [name])]

    def apply(self, op: str, *inputs: str, hint: str, **attributes: Any) -> Node:
        """Return a node with one new output whose name starts with ``hint``."""
        return Node(op, list(inputs), [self.names.fresh(hint)], attributes)


Rule = Callable[[Node, Scope], "list[Node] | None"]
RULES: dict[str, list[tuple[int, Rule]]] = {}


R = TypeVar("R", bound=Rule)


def upgrade(*ops: str, below: int) -> Callable[[R], R]:
    """Register a rule for these operators of files whose opset is lower than ``below``.

    The rule may change the node in place and return None, or return its replacements.
    """

    def register(rule: R) -> R:
        for op in ops:
            RULES.setdefault(op, []).append((below, rule))
            RULES[op].sort(key=lambda entry: entry[0])
        return rule

    return register


def upgrade_node(node: Node, version: int, scope: Scope) -> list[Node]:
    """Return the nodes that say in opset 21 what ``node`` says in opset ``version``."""
    if node.domain or (version >= OPSET and node.op not in REMOVED):
        return [node]
    done: list[Node] = []
    pending = [(node, version)]
    while pending:
        current, now = pending.pop()
        step = next((s for s in RULES.get(current.op, ()) if s[0] > now), None)
        if step is None:
            done.append(current)
            continue
        below, rule = step
        label = current.label
        try:
            made = rule(current, scope)
        except CompressError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise ShapeError(
                f"{label} does not have the inputs and attributes of {node.op} in opset {version}; "
                "the file is damaged"
            ) from error
        after = [current] if made is None else made
        # A replacement made of new operators is already up to date.
        reached = below if below is not ALWAYS else max(now, OPSET)
        pending.extend((n, reached) for n in reversed(after))
    return done


def move_to_inputs(
    node: Node, scope: Scope, names: Mapping[str, int], dtype: Any = np.int64
) -> None:
    """Turn attributes into constant inputs at the given positions."""
    for name, position in names.items():
        value = node.attributes.pop(name, None)
        if value is None or (isinstance(value, list) and not value):
            continue
        while len(node.inputs) <= position:
            node.inputs.append("")
        if not node.inputs[position]:
            hint = f"{node.outputs[0]}_{name}"
            node.inputs[position] = scope.constant(hint, value, dtype)


def require_unused(node: Node, first: int, scope: Scope, why: str) -> None:
    """Drop the outputs from ``first`` on, which nothing may read."""
    for name in node.outputs[first:]:
        if name in scope.reads:
            raise UnsupportedError(f"{node.label} is asked for its output {name!r}, {why}")
    del node.outputs[first:]
