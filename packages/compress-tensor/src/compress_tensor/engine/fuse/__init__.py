"""Fusions on specialised nodes: several operators that spell out one become that one."""

from __future__ import annotations

from ...graph.graph import Array, Node
from ...graph.rules.registry import Info
from .attention import attention
from .gelu import gelu
from .layer_norm import layer_norm
from .match import Matcher

__all__ = ["fuse"]


def fuse(nodes: list[Node], infos: dict[str, Info], constants: dict[str, Array]) -> list[Node]:
    """Return the nodes with the root of each pattern replaced by the fused operator.

    What only the pattern read is left behind unread; `without_dead` removes it.
    """
    matcher = Matcher(nodes, infos, constants)
    fusions = (layer_norm, gelu, attention)
    return [next(filter(None, (f(matcher, node) for f in fusions)), node) for node in nodes]
