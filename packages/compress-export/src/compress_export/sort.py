"""Topological order for nodes that a file lists in another one."""

from __future__ import annotations

import heapq

from compress_tensor.errors import GraphError
from compress_tensor.graph.graph import Graph, captured


def sort_nodes(graph: Graph) -> None:
    """Put the nodes of a graph and its subgraphs in topological order, in place.

    Nodes keep the file's order as far as possible; an ordered graph is left as it is.

    Raises:
        GraphError: if there is a cycle, naming one node on it.
    """
    made_by = {out: i for i, node in enumerate(graph.nodes) for out in node.outputs if out}
    ordered = True
    for position, node in enumerate(graph.nodes):
        for inner in node.subgraphs():
            sort_nodes(inner)
        for name in node.inputs if ordered else ():
            ordered = ordered and made_by.get(name, -1) < position
        if ordered and node.attributes:
            ordered = all(made_by.get(name, -1) < position for name in captured(node))
    if ordered:
        return
    needs: list[set[int]] = []
    for position, node in enumerate(graph.nodes):
        reads = [*node.inputs, *captured(node)]
        found = {made_by[name] for name in reads if name in made_by}
        if position in found:
            raise GraphError(f"{node.label} reads its own output; the network has a cycle")
        needs.append(found)
    waiting = [len(found) for found in needs]
    readers: list[list[int]] = [[] for _ in needs]
    for position, found in enumerate(needs):
        for source in found:
            readers[source].append(position)
    ready = [position for position, count in enumerate(waiting) if not count]
    order: list[int] = []
    while ready:
        position = heapq.heappop(ready)
        order.append(position)
        for reader in readers[position]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(needs):
        stuck = next(position for position, count in enumerate(waiting) if count)
        raise GraphError(f"{graph.nodes[stuck].label} waits for its own output: there is a cycle")
    graph.nodes = [graph.nodes[position] for position in order]
