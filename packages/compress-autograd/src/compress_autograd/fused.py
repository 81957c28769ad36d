"""Operators that `Trainable` runs as one where a graph spells them out: fewer passes over memory.

GELU      five operators become Gelu, whose derivative is one kernel
a linear layer    MatMul and the Add of a bias become one product that adds it as it stores
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from math import prod

from compress_tensor import DType, Graph, Node, Tensor
from compress_tensor.eager import run
from compress_tensor.engine.fuse import fuse
from compress_tensor.engine.fuse.gelu import gelu
from compress_tensor.engine.fuse.match import Matcher
from compress_tensor.engine.specialize import without_dead
from compress_tensor.graph.graph import Array
from compress_tensor.graph.rules.registry import Info

from .nodes import Operator, Value, device

_DOMAIN = "compress.fused"
_LINEAR = "Linear"
#: operators that are replaced: where somebody defines one of them anew, nothing is fused
_REPLACED = {"MatMul", "Add", "Mul", "Div", "Pow", "Erf", "Tanh", "Gelu", "Gemm"}


def fused_nodes(
    graph: Graph, trained: Collection[str], operators: Mapping[str, Operator]
) -> list[Node]:
    """Return the nodes of a graph, fused.

    Args:
        graph: what is trained.
        trained: names of its parameters.
        operators: that the user defines.
    """
    if not _REPLACED.isdisjoint(operators):
        return graph.nodes
    # Shapes are not known here: numbers without dimensions fit all of them.
    numbers = {
        name: array
        for name, array in graph.constants.items()
        if array.ndim == 0 and name not in trained
    }
    outputs = {value.name for value in graph.outputs}
    unknown = Info(DType.FLOAT32, None)
    nodes = fuse(graph.nodes, defaultdict(lambda: unknown), numbers, (gelu,))
    matcher = Matcher(nodes, {}, {})
    nodes = [_linear(matcher, node, graph.constants, outputs) or node for node in nodes]
    return without_dead(nodes, outputs)


def _linear(
    matcher: Matcher, node: Node, constants: Mapping[str, Array], outputs: set[str]
) -> Node | None:
    """Return the linear layer that an Add completes, or None."""
    found = matcher.first(("Add", ("MatMul", "x", "w"), "b"), node.outputs[0])
    if node.domain or found is None:
        return None
    product = next(name for name in node.inputs if name != found["b"])
    weight, bias = (constants.get(found[name]) for name in "wb")
    if weight is None or bias is None or matcher.readers[product] != 1 or product in outputs:
        return None
    if weight.ndim != 2 or bias.shape != weight.shape[1:] or bias.dtype != weight.dtype:
        return None
    names = [found[name] for name in "xwb"]
    return Node(_LINEAR, names, node.outputs, {}, node.name, _DOMAIN)


def linear(node: Node, *given: Value) -> Tensor:
    """Return x w + b for x (..., k), w (k, n), b (n,)."""
    x, w, b = (device(value) for value in given)
    before: Sequence[int] = x.shape[:-1]
    rows = x.reshape((prod(before), x.shape[-1]))
    return run("Gemm", (rows, w, b)).reshape((*before, w.shape[1]))


OPERATORS: Mapping[str, Operator] = {f"{_DOMAIN}::{_LINEAR}": linear}
