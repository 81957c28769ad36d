"""Fusions on specialised nodes: several operators that spell out one become that one."""

from __future__ import annotations

from ...graph.graph import Array, Node
from ...graph.rules.registry import Info
from .gelu import gelu
from .layer_norm import layer_norm
from .match import Matcher

__all__ = ["fuse"]


def fuse(nodes: list[Node], infos: dict[str, Info], constants: dict[str, Array]) -> list[Node]:
    """Return the nodes with the root of each pattern replaced by the fused operator.

    What only the pattern read is left behind unread; `without_dead` removes it.
    """
    matcher = Matcher(nodes, infos, constants)
    return [layer_norm(matcher, node) or gelu(matcher, node) or node for node in nodes]
