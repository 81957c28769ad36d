"""Compute what depends on constants only, by the reference definitions.

Left alone: DequantizeLinear (its codes are what integer kernels read), random operators, nodes
with subgraphs, results of more than 2**28 elements, and whatever its definition refuses
(compiling reports that with the node's name).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...backend.reference.registry import evaluate
from ...errors import CompressError
from ..graph import Graph, Node
from ..infer import KEPT, infer_node, info_of
from ..stored import unread

MOST_ELEMENTS = 1 << 28


def fold_constants(graph: Graph) -> Graph:
    """Return the graph with such nodes replaced by constants."""
    found = replace(graph, nodes=[], constants=graph.constants.copy())
    found.nodes = [node for node in graph.nodes if not _fold(found, node)]
    return found


def _fold(graph: Graph, node: Node) -> bool:
    """Compute the node's outputs into the constants, if that can be done."""
    if any(name and name not in graph.constants for name in node.inputs):
        return False
    if node.op in KEPT or node.subgraphs():
        return False
    if not node.inputs and node.op not in ("Constant", "EyeLike"):
        return False
    held = unread(graph.constants)
    infos = [info_of(held[name], name) if name else None for name in node.inputs]
    try:
        results = infer_node(node, infos, len(node.outputs))
        shapes = [info.shape for info in results]
        if any(s is not None and int(np.prod(s, dtype=object)) > MOST_ELEMENTS for s in shapes):
            return False
        arrays = [graph.constants[name] if name else None for name in node.inputs]
        with np.errstate(all="ignore"):
            made = evaluate(
                node.op,
                arrays,
                node.attributes,
                len(node.outputs),
                domain=node.domain,
                where=node.label,
            )
    except (CompressError, MemoryError):
        return False
    for name, array in zip(node.outputs, made, strict=False):
        if name:
            array = np.asarray(array)
            array.flags.writeable = False
            graph.constants[name] = array
    return True
