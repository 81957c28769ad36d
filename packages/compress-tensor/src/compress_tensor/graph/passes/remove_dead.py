"""Remove nodes and constants that no output depends on."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, captured
from ..stored import chosen


def remove_dead(graph: Graph) -> Graph:
    """Return the graph without nodes and constants that nothing reads."""
    needed = {value.name for value in graph.outputs}
    kept = []
    for node in reversed(graph.nodes):
        if any(name in needed for name in node.outputs):
            kept.append(node)
            needed.update([*node.inputs, *captured(node)])
    return replace(graph, nodes=kept[::-1], constants=chosen(graph.constants, needed))
