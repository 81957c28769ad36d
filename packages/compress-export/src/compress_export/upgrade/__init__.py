"""Rewrites a graph of any older opset to the semantics of opset 21."""

from __future__ import annotations

from compress_tensor.dtype import DType
from compress_tensor.graph.graph import OPSET, Graph, Node, captured
from compress_tensor.graph.stored import unread

from . import arithmetic, layers, shapes
from .registry import Names, Scope, upgrade_node

__all__ = ["Names", "Versions", "arithmetic", "layers", "shapes", "upgrade_graph"]

#: ``id(node)`` to the node itself and the opset that it was written for
Versions = dict[int, tuple[Node, int]]

# What an operator's outputs hold, where it is not what its first input holds.
_INT64 = ("Shape", "Size", "ArgMax", "ArgMin", "NonZero", "NonMaxSuppression")
_BOOL = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not")
_FIXED = {
    **dict.fromkeys(_INT64, DType.INT64),
    **dict.fromkeys((*_BOOL, "IsNaN", "IsInf"), DType.BOOL),
}
_UNKNOWN = frozenset({"If", "Loop", "Scan", "Optional", "SequenceAt", "OptionalGetElement"})
_OF_INPUT_1 = frozenset({"Where", "CastLike", "DequantizeLinear"})


def upgrade_graph(
    graph: Graph, versions: Versions, names: Names, outer: Scope | None = None
) -> None:
    """Rewrite ``graph`` and its subgraphs in place.

    Args:
        graph: nodes in topological order.
        versions: the nodes of older opsets; those rewritten are taken out.
        names: all names in use in the model.
        outer: the scope of the enclosing graph.
    """
    if outer is None and all(version == OPSET for _, version in versions.values()):
        versions.clear()
        return
    reads = {name for node in graph.nodes for name in [*node.inputs, *captured(node)]}
    reads.update(value.name for value in graph.outputs)
    scope = Scope(graph, names, reads, dict(outer.dtypes) if outer else {}, outer)
    known = [*graph.values.values(), *graph.inputs]
    scope.dtypes.update({v.name: v.dtype for v in known if v.dtype is not None})
    scope.dtypes.update({name: DType.of(a.dtype) for name, a in unread(graph.constants).items()})
    nodes: list[Node] = []
    for node in graph.nodes:
        _, version = versions.pop(id(node), (node, OPSET))
        if version < 6:
            node.attributes.pop("consumed_inputs", None)
        for inner in node.subgraphs():
            upgrade_graph(inner, versions, names, scope)
        made = upgrade_node(node, version, scope)
        for each in made:
            _note_dtypes(each, scope)
        if len(made) > 1 and node.metadata:
            for each in made:
                each.metadata = each.metadata or dict(node.metadata)
        nodes.extend(made)
    graph.nodes = nodes


def _note_dtypes(node: Node, scope: Scope) -> None:
    """Remember what the outputs of a node hold, as far as that is plain to see."""
    dtype: DType | None
    if node.op == "Cast":
        number = node.attributes.get("to")
        dtype = DType(number) if number in list(DType) else None
    elif node.op in _FIXED:
        dtype = _FIXED[node.op]
    elif node.op in _UNKNOWN or node.domain:
        dtype = None
    else:
        position = 1 if node.op in _OF_INPUT_1 else 0
        dtype = scope.dtypes.get(node.inputs[position]) if len(node.inputs) > position else None
    if dtype is not None:
        for name in node.outputs[:1]:
            scope.dtypes.setdefault(name, dtype)
