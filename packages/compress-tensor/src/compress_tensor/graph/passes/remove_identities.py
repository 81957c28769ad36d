"""Remove nodes that hand on their input unchanged.

1. Identity.
2. Dropout in inference (no training input, or a false one) whose mask nobody reads.

A node whose output is a graph output stays: outputs keep their names.
"""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node
from ..rename import renamed_where


def remove_identities(graph: Graph) -> Graph:
    """Return the graph with the readers of such nodes reading their inputs instead."""
    outputs = {value.name for value in graph.outputs}
    consumers = graph.consumers()
    names: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        node = renamed_where(node, names)
        if node.outputs[0] not in outputs and _hands_on(graph, node, consumers):
            names[node.outputs[0]] = node.inputs[0]
        else:
            kept.append(node)
    return replace(graph, nodes=kept)


def _hands_on(graph: Graph, node: Node, consumers: dict[str, list[Node]]) -> bool:
    if node.domain or not node.outputs[0]:
        return False
    if node.op == "Identity":
        return True
    if node.op != "Dropout" or any(name in consumers for name in node.outputs[1:] if name):
        return False
    if any(value.name in node.outputs[1:] for value in graph.outputs):
        return False
    if len(node.inputs) < 3 or not node.inputs[2]:
        return True
    training = graph.constants.get(node.inputs[2])
    return training is not None and not training.any()
