"""Fold BatchNormalization into the convolution before it.

With scale s = gamma / sqrt(variance + epsilon) per output channel::

    BN(conv(x, W) + b) = conv(x, W * s) + (b - mean) * s + beta

Done where weights and statistics are constants, the convolution's result has no other reader,
and nobody asked for it as an output.  Computed in float64, rounded once.
"""

from __future__ import annotations

import numpy as np

from ..graph import Array, Graph, Node


def fold_batch_norm(graph: Graph) -> Graph:
    """Return the graph with such pairs made one node."""
    if not any(node.op == "BatchNormalization" for node in graph.nodes):
        return graph
    found = graph.copy()
    producers, consumers = found.producers(), found.consumers()
    outputs = {value.name for value in found.outputs}
    taken = found.names()
    removed: set[int] = set()
    for norm in found.nodes:
        conv = producers.get(norm.inputs[0]) if norm.op == "BatchNormalization" else None
        if conv is None or conv.op != "Conv" or conv.domain or norm.domain:
            continue
        between = norm.inputs[0]
        if between in outputs or len(consumers[between]) != 1:
            continue
        if _fold(found, conv, norm, taken):
            removed.add(id(norm))
            producers[conv.outputs[0]] = conv
    found.nodes = [node for node in found.nodes if id(node) not in removed]
    return found


def _fold(graph: Graph, conv: Node, norm: Node, taken: set[str]) -> bool:
    if norm.attributes.get("training_mode", 0) or any(norm.outputs[1:]):
        return False
    names = [*conv.inputs[1:], *norm.inputs[1:]]
    if any(name and name not in graph.constants for name in names):
        return False
    weights = graph.constants[conv.inputs[1]]
    statistics = [graph.constants[name] for name in norm.inputs[1:5]]
    channels = weights.shape[0]
    if weights.dtype != np.float32 or any(s.shape != (channels,) for s in statistics):
        return False
    gamma, beta, mean, variance = (np.asarray(s, np.float64) for s in statistics)
    scale = gamma / np.sqrt(variance + float(norm.attributes.get("epsilon", 1e-5)))
    bias: Array = np.zeros(channels)
    if len(conv.inputs) > 2 and conv.inputs[2]:
        bias = np.asarray(graph.constants[conv.inputs[2]], np.float64)
    wide = scale.reshape(-1, *(1 for _ in weights.shape[1:]))
    folded_weights = np.empty_like(weights)
    # In float64, some at a time: a whole product would be twice as large as the weights.
    np.multiply(weights, wide, out=folded_weights, dtype=np.float64, casting="same_kind")
    folded_bias = ((bias - mean) * scale + beta).astype(np.float32)
    if not (np.isfinite(folded_weights).all() and np.isfinite(folded_bias).all()):
        return False
    output = norm.outputs[0]
    weight_name = graph.fresh(f"{output}/weight", taken)
    graph.constants[weight_name] = folded_weights
    bias_name = graph.fresh(f"{output}/bias", taken)
    graph.constants[bias_name] = folded_bias
    conv.inputs = [conv.inputs[0], weight_name, bias_name]
    conv.outputs = [output]
    return True
