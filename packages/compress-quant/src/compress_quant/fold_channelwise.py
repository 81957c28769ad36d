"""Fold a Mul or Add of one constant per channel into the convolution before it.

Older exporters write the bias of a convolution, or the scale and shift of a normalization, as
operators of their own::

    conv(x, W) * s + b = conv(x, W * s) + b

Done where the convolution's result has no other reader.  Computed in float64, rounded once.
"""

from __future__ import annotations

import numpy as np

from compress_tensor import Graph, Node

from .affine import Array


def fold_channelwise(graph: Graph) -> Graph:
    """Return the graph with such pairs made one node."""
    found = graph.copy()
    producers, consumers = found.producers(), found.consumers()
    outputs = {value.name for value in found.outputs}
    removed: set[int] = set()
    for node in found.nodes:
        if node.op not in ("Mul", "Add") or node.domain or len(node.inputs) != 2:
            continue
        at = next((i for i, name in enumerate(node.inputs) if name in found.constants), None)
        conv = None if at is None else producers.get(node.inputs[1 - at])
        if at is None or conv is None or conv.op != "Conv" or conv.domain:
            continue
        between = conv.outputs[0]
        if between in outputs or len(consumers[between]) != 1:
            continue
        if _fold(found, conv, node, found.constants[node.inputs[at]]):
            removed.add(id(node))
            producers[node.outputs[0]] = conv
    found.nodes = [node for node in found.nodes if id(node) not in removed]
    return found


def _fold(graph: Graph, conv: Node, node: Node, values: Array) -> bool:
    weight = graph.constants.get(conv.inputs[1])
    named = conv.inputs[2] if len(conv.inputs) > 2 else ""
    if weight is None or weight.dtype != np.float32 or (named and named not in graph.constants):
        return False
    channels = weight.shape[0]
    per = (channels, *[1] * (weight.ndim - 2))
    if values.dtype != np.float32 or values.shape not in ((), (1,), per, (1, *per)):
        return False
    wide = np.broadcast_to(values.astype(np.float64).reshape(-1), (channels,))
    bias: Array = np.zeros(channels)
    if named:
        bias = graph.constants[named].astype(np.float64)
    scaled = weight
    if node.op == "Mul":
        scaled = (weight * wide.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32)
        bias = bias * wide
    else:
        bias = bias + wide
    shifted = bias.astype(np.float32)
    if not (np.isfinite(scaled).all() and np.isfinite(shifted).all()):
        return False
    output = node.outputs[0]
    names = [graph.fresh(f"{output}/weight"), graph.fresh(f"{output}/bias")]
    graph.constants.update(zip(names, (scaled, shifted), strict=True))
    conv.inputs = [conv.inputs[0], *names]
    conv.outputs = [output]
    return True
