"""Fusions on specialised nodes: several operators that spell out one become that one."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ...graph.graph import Array, Node
from ...graph.rules.registry import Info
from .attention import attention, attention_on_codes
from .gelu import gelu
from .layer_norm import layer_norm
from .match import Matcher
from .swish import swish

__all__ = ["SPELLED_OUT", "fuse"]

Fusion = Callable[[Matcher, Node], Node | None]
#: what becomes an operator of ONNX that every consumer knows
SPELLED_OUT: tuple[Fusion, ...] = (layer_norm, gelu)


def fuse(
    nodes: list[Node],
    infos: dict[str, Info],
    constants: dict[str, Array],
    fusions: tuple[Fusion, ...] = (*SPELLED_OUT, attention, attention_on_codes, swish),
    outputs: Collection[str] = (),
) -> list[Node]:
    """Return the nodes with the root of each pattern replaced by the fused operator.

    What only the pattern read is left behind unread; `without_dead` removes it.
    """
    matcher = Matcher(nodes, infos, constants, outputs)
    return [next(filter(None, (f(matcher, node) for f in fusions)), node) for node in nodes]
