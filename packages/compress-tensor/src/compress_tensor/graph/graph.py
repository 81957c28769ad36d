"""Graph: the one kind of model.  Operators are ONNX's; values are known by name.

A graph is plain data.  Whoever changes one works on a ``copy()``; passes and compilers never
touch the graph they are given.  All operators follow the semantics of opset ``OPSET``: readers
of older files rewrite them on the way in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..dtype import DType
from ..errors import GraphError

OPSET = 21  #: the operator set whose semantics every Graph has

Array = np.ndarray[Any, np.dtype[Any]]

Dim = int | str | None  #: a number, a symbol that several values share, or unknown
Shape = tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a value: its name, element type and shape (None: unknown)."""

    name: str
    dtype: DType | None = None
    shape: Shape | None = None


#: int, float, str, bytes, Array, Graph, or a list of one of the first three
Attribute = Any


@dataclass(slots=True)
class Node:
    """One operator applied to named values.  An omitted optional input or output is ""."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    name: str = ""
    domain: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Node:
        """Return a node that shares only attribute values (never changed in place)."""
        return Node(  # not by dataclasses.replace, which takes four times as long
            self.op,
            list(self.inputs),
            list(self.outputs),
            dict(self.attributes),
            self.name,
            self.domain,
            dict(self.metadata),
        )

    @property
    def label(self) -> str:
        """How messages name this node: its name, or else operator and first output."""
        return f"{self.op} {self.name!r}" if self.name else f"{self.op} -> {self.outputs[0]!r}"

    def subgraphs(self) -> list[Graph]:
        """Return the graphs among the attributes (branches, bodies)."""
        values = self.attributes.values()
        if Graph not in map(type, values):
            return []  # as most have
        return [value for value in values if isinstance(value, Graph)]


@dataclass(slots=True)
class Graph:
    """A model: nodes in topological order, typed inputs and outputs, constants by name.

    Attributes:
        nodes: each node after those whose outputs it reads.
        inputs: what a run must be given; never also a constant.
        outputs: what a run returns; may be an input or a constant.
        constants: read-only arrays (initializers); large ones of a file are read on demand.
        values: what a file says of intermediate values; may be empty.
        metadata: the file's key-value properties, kept both ways.
    """

    nodes: list[Node] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    name: str = "graph"
    doc: str = ""
    metadata: dict[str, str] = field(default_factory=dict)

    def copy(self) -> Graph:
        """Return a graph that can be changed freely; arrays are shared, not copied."""
        return replace(
            self,
            nodes=[node.copy() for node in self.nodes],
            inputs=list(self.inputs),
            outputs=list(self.outputs),
            constants=self.constants.copy(),
            values=dict(self.values),
            metadata=dict(self.metadata),
        )

    def producers(self) -> dict[str, Node]:
        """Return the node that makes each value."""
        return {out: node for node in self.nodes for out in node.outputs if out}

    def consumers(self) -> dict[str, list[Node]]:
        """Return the nodes that read each value, subgraph captures included, in order."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys([*node.inputs, *captured(node)]):
                if name:
                    found.setdefault(name, []).append(node)
        return found

    def names(self) -> set[str]:
        """Return every value name of this graph (not those inside subgraphs)."""
        found = {v.name for v in self.inputs} | set(self.constants)
        for node in self.nodes:
            found.update(node.outputs)
        found.discard("")
        return found

    def fresh(self, hint: str, taken: set[str] | None = None) -> str:
        """Return a value name derived from ``hint`` that is not yet in use.

        Args:
            hint: the name itself, or what it starts with.
            taken: the names in use, of a caller that asks often; the new one is added.
        """
        taken = self.names() if taken is None else taken
        name, number = hint, 0
        while name in taken:
            number += 1
            name = f"{hint}_{number}"
        taken.add(name)
        return name

    def check(self, outer: frozenset[str] = frozenset()) -> None:
        """Verify that names are unique and nodes are in topological order.

        Args:
            outer: names that an enclosing graph provides (for subgraphs).

        Raises:
            GraphError: naming the value and node that break a rule.
        """
        known = set(outer)
        for value in self.inputs:
            if value.name in self.constants:
                raise GraphError(f"value {value.name!r} is both an input and a constant")
            _define(known - outer, value.name, "graph input")
            known.add(value.name)
        known.update(self.constants)
        made = known - outer
        for node in self.nodes:
            for name in node.inputs:
                if name and name not in known:
                    raise GraphError(f"{node.label} reads {name!r}, but {self._why(name)}")
            graphs = node.subgraphs()
            for name in captured(node) if graphs else ():
                if name not in known:
                    raise GraphError(f"{node.label} reads {name!r}, but {self._why(name)}")
            for name in node.outputs:
                if name:
                    if name in made:
                        _define(made, name, node.label)
                    made.add(name)
                    known.add(name)
            for graph in graphs:
                graph.check(frozenset(known))
        for value in self.outputs:
            if value.name not in known:
                raise GraphError(f"graph output {value.name!r} is made by no node")

    def _why(self, name: str) -> str:
        """Return why a value is not known where a node reads it."""
        later = any(name in node.outputs for node in self.nodes)
        return "a cycle or a wrong order" if later else "nothing makes it"


def captured(node: Node) -> list[str]:
    """Return the names that a node's subgraphs read from the graph around them."""
    graphs = node.subgraphs()
    if not graphs:
        return []  # as most do
    found: list[str] = []
    for graph in graphs:
        inside = graph.names()
        reads = [name for n in graph.nodes for name in [*n.inputs, *captured(n)]]
        reads += [value.name for value in graph.outputs]
        found += [name for name in reads if name and name not in inside]
    return list(dict.fromkeys(found))


def _define(taken: set[str], name: str, where: str) -> None:
    if name in taken:
        raise GraphError(f"value {name!r} is defined twice, again by {where}")
