"""Passes: graph to graph, one per file, never changing the graph they are given.

Nodes that a pass leaves alone are those of the graph that it is given.
"""

from __future__ import annotations

from ..graph import Graph
from .fold_batch_norm import fold_batch_norm
from .fold_constants import fold_constants
from .name_outputs import name_outputs
from .remove_dead import remove_dead
from .remove_identities import remove_identities

__all__ = [
    "fold_batch_norm",
    "fold_constants",
    "name_outputs",
    "optimize",
    "remove_dead",
    "remove_identities",
]


def optimize(graph: Graph) -> Graph:
    """Return the graph as it is compiled: folded, fused, without what has no effect."""
    for step in (
        remove_identities,
        fold_constants,
        fold_batch_norm,
        remove_dead,
        name_outputs,
    ):
        graph = step(graph)
    return graph
