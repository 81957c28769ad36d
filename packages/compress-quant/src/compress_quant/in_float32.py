"""A half-precision graph as a float32 one: what is quantized is what float32 would compute.

Constants are widened, which is exact; casts to half precision become casts to float32; inputs and
outputs keep their types, with a Cast at the border.
"""

from __future__ import annotations

import numpy as np

from compress_tensor import DType, Graph, Node
from compress_tensor.codec import decode
from compress_tensor.graph.rename import renamed
from compress_tensor.graph.stored import unread

from .affine import Array

HALVES = frozenset({DType.FLOAT16, DType.BFLOAT16})
_FLOAT = int(DType.FLOAT32)


def in_float32(graph: Graph) -> Graph:
    """Return the graph with its float16 and bfloat16 arithmetic in float32; itself if it has none.

    Nodes with graphs of their own (If, Loop, Scan) are left as they are where they hold halves:
    nothing inside them is quantized.
    """
    halves = [
        name for name, array in unread(graph.constants).items() if DType.of(array.dtype) in HALVES
    ]
    given = [value for value in graph.inputs if value.dtype in HALVES]
    casts = any(_makes_half(node) for node in graph.nodes)
    inner = any(node.subgraphs() for node in graph.nodes)
    if inner or not (halves or given or casts):
        return graph
    found = graph.copy()
    for name in halves:
        found.constants[name] = _wide(found.constants[name])
    names = {value.name: found.fresh(f"{value.name}/float32") for value in given}
    nodes = [Node("Cast", [old], [new], {"to": _FLOAT}) for old, new in names.items()]
    for node in found.nodes:
        copy = renamed(node, names)
        copy.attributes = {name: _attribute(node, name, a) for name, a in copy.attributes.items()}
        nodes.append(copy)
    found.nodes = nodes
    _narrow_outputs(found, set(names))
    found.values = {n: v for n, v in found.values.items() if v.dtype not in HALVES}
    return found


def _narrow_outputs(graph: Graph, inputs: set[str]) -> None:
    """Append a Cast before every half-precision output, which keeps its name and type."""
    for value in graph.outputs:
        if value.dtype not in HALVES or value.name in inputs:
            continue
        wide = graph.fresh(f"{value.name}/float32")
        graph.nodes = [renamed(node, {value.name: wide}) for node in graph.nodes]
        graph.nodes.append(Node("Cast", [wide], [value.name], {"to": int(value.dtype)}))


def _makes_half(node: Node) -> bool:
    return any(_attribute(node, name, a) is not a for name, a in node.attributes.items())


def _attribute(node: Node, name: str, value: object) -> object:
    """Return an attribute that asks for half precision as one that asks for float32."""
    if name in ("to", "dtype") and value in HALVES:
        return _FLOAT
    if node.op == "ConstantOfShape" and isinstance(value, np.ndarray):
        return _wide(value) if DType.of(value.dtype) in HALVES else value
    return value


def _wide(array: Array) -> Array:
    wide: Array = decode(array).astype(np.float32)
    wide.flags.writeable = False
    return wide
