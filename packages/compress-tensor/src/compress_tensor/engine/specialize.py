"""Binding a graph to concrete shapes: every shape known, shape arithmetic folded, Ifs decided.

The walk stops where the next node's shapes depend on contents that are not known yet.  What is
before the cut can be planned; what is behind it waits for the value.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ..errors import ShapeError
from ..graph.graph import Array, Graph, Node, captured
from ..graph.infer import infer_node, info_of
from ..graph.rename import renamed
from ..graph.rules.registry import Info, NeedsValue
from ..graph.stored import unread


@dataclass
class Specialized:
    """The part of a graph whose shapes are all known.

    Attributes:
        infos: type, shape and perhaps contents of every value met.
        constants: contents known while planning.
        nodes: what is left to compute, in order.
        rest: the nodes behind the cut; empty if there is none.
        needs: the value whose contents the first of them asks for, or "".
        stable: the constants that are the same in every plan.
    """

    infos: dict[str, Info]
    constants: dict[str, Array]
    nodes: list[Node] = field(default_factory=list)
    rest: list[Node] = field(default_factory=list)
    needs: str = ""
    stable: frozenset[str] = frozenset()


def specialize(
    graph: Graph, infos: dict[str, Info], stable: frozenset[str] = frozenset()
) -> Specialized:
    """Walk the graph with its inputs described by ``infos``.

    Raises:
        ShapeError: if shapes, types or attributes do not fit an operator.
        UnsupportedError: for an operator without definition.
    """
    found = Specialized(dict(infos), graph.constants.copy(), stable=stable)
    for name, array in unread(graph.constants).items():
        found.infos[name] = info_of(array, name)
    for name, info in infos.items():
        if info.value is not None:
            found.constants[name] = info.value
    todo = deque(graph.nodes)
    while todo:
        node = todo.popleft()
        try:
            if node.op == "If" and not node.domain:
                branch, more = _branch(node, found.infos)
                found.stable |= more.keys()
                for name, array in more.items():
                    found.constants[name] = array
                    found.infos[name] = info_of(array, name)
                todo.extendleft(reversed(branch))
                continue
            given = [found.infos[name] if name else None for name in node.inputs]
            results = infer_node(node, given, len(node.outputs), found.infos)
        except NeedsValue as need:
            found.rest, found.needs = [node, *todo], need.name
            return found
        for name, info in zip(node.outputs, results, strict=False):
            if name:
                found.infos[name] = info
        made = {name: found.infos[name] for name in node.outputs if name}
        values = {name: info.value for name, info in made.items() if info.value is not None}
        if len(values) == len(made):
            found.constants.update(values)
            continue
        found.nodes.append(node)
        if None in [info.shape for info in made.values()]:
            found.rest = list(todo)
            return found
    return found


def _branch(node: Node, infos: dict[str, Info]) -> tuple[list[Node], dict[str, Array]]:
    """Return the nodes and constants of the branch that an If takes, under unique names.

    Names say which If and which branch, so that packed weights, cached by name, stay apart.

    Raises:
        NeedsValue: if the condition is not known.
        ShapeError: if there is no condition, or the branch does not fit the outputs.
    """
    condition = infos[node.inputs[0]].need() if node.inputs and node.inputs[0] else None
    if condition is None or condition.size != 1:
        raise ShapeError(f"{node.label}: the condition must be one truth value")
    taken = "then" if condition.reshape(-1)[0] else "else"
    graph = node.attributes.get(f"{taken}_branch")
    if not isinstance(graph, Graph) or len(graph.outputs) != len(node.outputs):
        raise ShapeError(f"{node.label}: its {taken}_branch must make {len(node.outputs)} values")
    prefix = f"{node.outputs[0] or node.name}/{taken}/"
    names = {name: prefix + name for name in graph.names()}
    nodes = [renamed(inner, names) for inner in graph.nodes]
    for value, name in zip(graph.outputs, node.outputs, strict=True):
        if name:
            nodes.append(Node("Identity", [names.get(value.name, value.name)], [name]))
    return nodes, {names[name]: array for name, array in graph.constants.items()}


def without_dead(nodes: list[Node], wanted: set[str]) -> list[Node]:
    """Return the nodes that ``wanted`` values depend on."""
    needed = set(wanted)
    kept: list[Node] = []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.outputs):
            kept.append(node)
            needed.update(node.inputs, captured(node))
            needed.discard("")
    return kept[::-1]
