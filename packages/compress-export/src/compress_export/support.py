"""What the engine has for the operators of a graph."""

from __future__ import annotations

from enum import Enum

from compress_tensor.engine.lower import LOWERINGS
from compress_tensor.graph.flow import FLOW
from compress_tensor.graph.graph import Node
from compress_tensor.graph.support import is_known


class Support(str, Enum):
    """How the engine runs an operator."""

    COMPILED = "compiled"  # kernels of libcore, where types and shapes allow
    REFERENCE = "reference"  # the numpy definition
    CONTROL = "control flow"
    MISSING = "missing"


def support_of(node: Node) -> Support:
    """Return how the engine runs the operator of a node."""
    if (node.domain, node.op) in LOWERINGS:
        return Support.COMPILED
    if not is_known(node):
        return Support.MISSING
    return Support.CONTROL if not node.domain and node.op in FLOW else Support.REFERENCE
