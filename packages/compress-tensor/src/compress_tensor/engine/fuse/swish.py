"""Swish spelled out as x * sigmoid(x) (Ramachandran, Zoph and Le, 2017): SiLU in PyTorch."""

from __future__ import annotations

from ...dtype import DType
from ...graph.graph import Node
from .match import Matcher


def swish(matcher: Matcher, node: Node) -> Node | None:
    """Return the Swish that ``node`` completes, or None; its bytes are those of the two steps."""
    if node.op != "Mul" or node.domain:
        return None
    output = node.outputs[0]
    found = matcher.first(("Mul", "x", ("Sigmoid", "x")), output)
    if found is None or matcher.infos[output].dtype is not DType.FLOAT32:
        return None
    if any(matcher.readers[name] > 1 for name in node.inputs if name != found["x"]):
        return None
    return Node("Swish", [found["x"]], [output], {"alpha": 1.0}, node.name)
