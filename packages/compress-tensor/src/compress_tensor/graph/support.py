"""Which operators of a graph nobody can compute."""

from __future__ import annotations

from collections.abc import Iterator

from ..backend import reference as _reference
from ..backend.reference.registry import REFERENCES
from ..errors import UnsupportedError
from .flow import FLOW
from .graph import Graph, Node

_LOADED = _reference  # the package fills its table when imported
_MOST_NAMED = 8  # nodes named per missing operator


def is_known(node: Node) -> bool:
    """Whether the operator of a node has a definition."""
    return (node.domain, node.op) in REFERENCES or (not node.domain and node.op in FLOW)


def all_nodes(graph: Graph) -> Iterator[Node]:
    """Yield every node of a graph and its subgraphs."""
    for node in graph.nodes:
        yield node
        for inner in node.subgraphs():
            yield from all_nodes(inner)


def reachable_nodes(graph: Graph) -> Iterator[Node]:
    """Yield every node but those in branches that a constant condition rules out."""
    for node in graph.nodes:
        yield node
        inside = node.subgraphs()
        decides = node.op == "If" and not node.domain and node.inputs
        condition = graph.constants.get(node.inputs[0]) if decides else None
        if condition is not None and condition.size:
            taken = "then_branch" if condition.reshape(-1)[0] else "else_branch"
            branch = node.attributes.get(taken)
            inside = [branch] if isinstance(branch, Graph) else []
        for inner in inside:
            yield from reachable_nodes(inner)


def missing_operators(graph: Graph) -> dict[str, list[str]]:
    """Return the operators without definition, each with the labels of its nodes."""
    found: dict[str, list[str]] = {}
    for node in reachable_nodes(graph):
        if not is_known(node):
            name = f"{node.domain}.{node.op}" if node.domain else node.op
            found.setdefault(name, []).append(node.label)
    return found


def require_operators(graph: Graph) -> None:
    """Raise one UnsupportedError that names every missing operator and its nodes."""
    missing = missing_operators(graph)
    if not missing:
        return
    lines = []
    for op, labels in missing.items():
        more = f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else ""
        lines.append(f"{op} ({', '.join(labels[:_MOST_NAMED])}{more})")
    are = "operator of this model is" if len(missing) == 1 else "operators of this model are"
    raise UnsupportedError(f"{len(missing)} {are} not supported: {'; '.join(lines)}")
