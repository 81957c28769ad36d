"""What the engine has for the operators of a graph."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from compress_tensor.backend import reference as _reference
from compress_tensor.backend.reference.registry import REFERENCES
from compress_tensor.engine.lower import LOWERINGS
from compress_tensor.errors import UnsupportedError
from compress_tensor.graph.flow import FLOW
from compress_tensor.graph.graph import Graph, Node

_LOADED = _reference  # the package fills its table when imported
_MOST_NAMED = 8  # nodes named per missing operator


class Support(str, Enum):
    """How the engine runs an operator."""

    COMPILED = "compiled"  # kernels of libcore, where types and shapes allow
    REFERENCE = "reference"  # the numpy definition
    CONTROL = "control flow"
    MISSING = "missing"


def support_of(node: Node) -> Support:
    """Return how the engine runs the operator of a node."""
    key = (node.domain, node.op)
    if key in LOWERINGS:
        return Support.COMPILED
    if key in REFERENCES:
        return Support.REFERENCE
    if not node.domain and node.op in FLOW:
        return Support.CONTROL
    return Support.MISSING


def all_nodes(graph: Graph) -> Iterator[Node]:
    """Yield every node of a graph and its subgraphs."""
    for node in graph.nodes:
        yield node
        for inner in node.subgraphs():
            yield from all_nodes(inner)


def missing_operators(graph: Graph) -> dict[str, list[str]]:
    """Return the operators that the engine lacks, each with the labels of its nodes."""
    found: dict[str, list[str]] = {}
    for node in all_nodes(graph):
        if support_of(node) is Support.MISSING:
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
    raise UnsupportedError(
        f"{len(missing)} operators of this model are not supported: {'; '.join(lines)}"
    )
