"""Bringing a float graph into the form that quantizes well.

1. Half precision becomes float32; constants are folded, nodes without effect removed.
2. BatchNormalization, and constants per channel, go into the convolution before them.
3. Layer normalization and GELU that are spelled out become one node: in between there is nothing
   to gain from codes, and consumers know the operators.
"""

from __future__ import annotations

import numpy as np

from compress_tensor import CompressError, DType, Graph, InputError
from compress_tensor.engine.fuse import SPELLED_OUT, fuse
from compress_tensor.graph.infer import infer
from compress_tensor.graph.passes import (
    fold_batch_norm,
    fold_constants,
    remove_dead,
    remove_identities,
)

from .fold_channelwise import fold_channelwise
from .in_float32 import in_float32

_QUANTIZED = frozenset(
    {
        *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
        *("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"),
    }
)


def prepare(graph: Graph) -> Graph:
    """Return the graph ready for placement.

    Raises:
        InputError: if it is already quantized, or a constant has a NaN or an infinity.
    """
    require_float(graph)
    for step in (
        in_float32,
        remove_identities,
        fold_constants,
        fold_batch_norm,
        fold_channelwise,
        remove_dead,
        _spelled_out,
    ):
        graph = step(graph)
    return remove_dead(graph)


def require_float(graph: Graph) -> None:
    """Refuse what cannot be quantized at all.

    Raises:
        InputError: see `prepare`.
    """
    for node in graph.nodes:
        if node.op in _QUANTIZED or node.op.startswith("QLinear"):
            raise InputError(
                f"the graph is already quantized ({node.label}); give the original float model"
            )
    for name, array in graph.constants.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            reader = next((n.label for n in graph.nodes if name in n.inputs), "nothing")
            what = "NaN" if np.isnan(array).any() else "infinite"
            raise InputError(
                f"constant {name!r} (read by {reader}) has {what} elements; repair the model"
            )


def _spelled_out(graph: Graph) -> Graph:
    """Return the graph with LayerNormalization and Gelu as single nodes."""
    symbols = {dim for value in graph.inputs for dim in value.shape or () if isinstance(dim, str)}
    try:
        infos = infer(graph, symbols=dict.fromkeys(symbols, 2))
    except CompressError:
        return graph  # shapes that hang on data: the patterns stay as they are
    found = graph.copy()
    if any(infos[v.name].dtype is not DType.FLOAT32 for v in graph.outputs):
        return found
    found.nodes = [node.copy() for node in fuse(found.nodes, infos, found.constants, SPELLED_OUT)]
    return found
