"""Renaming the values that a node reads and makes."""

from __future__ import annotations

from .graph import Graph, Node, Value, captured


def renamed_where(node: Node, names: dict[str, str]) -> Node:
    """Return the node itself if it has none of the names to change, else as `renamed`."""
    if names.keys().isdisjoint([*node.inputs, *node.outputs, *captured(node)]):
        return node
    return renamed(node, names)


def renamed(node: Node, names: dict[str, str]) -> Node:
    """Return a copy of a node with values renamed, inside its subgraphs too."""
    copy = node.copy()
    copy.inputs = [names.get(name, name) for name in node.inputs]
    copy.outputs = [names.get(name, name) for name in node.outputs]
    for key, value in node.attributes.items():
        if isinstance(value, Graph):
            own = value.names()
            outer = {a: b for a, b in names.items() if a not in own}
            inner = value.copy()
            inner.nodes = [renamed(n, outer) for n in value.nodes]
            inner.outputs = [
                Value(outer.get(v.name, v.name), v.dtype, v.shape) for v in value.outputs
            ]
            copy.attributes[key] = inner
    return copy
