"""Cross-layer equalization: channels of a value between two products get comparable ranges.

For products W1 then W2 with nothing but a Relu between, any s > 0 per channel leaves the network
as it is::

    W1[i] / s_i,  b1[i] / s_i,  W2[:, i] * s_i

and with r1, r2 the largest weights of a channel on either side, s_i = sqrt(r1_i / r2_i) makes both
equal (Nagel et al., 2019, equations 9 to 11, https://arxiv.org/abs/1906.04721).  Pairs are done in
order, a few times over, since a product may belong to two of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compress_tensor import Graph, Node

from .affine import Array

#: sweeps over all pairs; the paper iterates until nothing moves, a chain settles in a few
_SWEEPS = 4
#: s stays within this factor of 1, so that dead channels do not blow up
_MOST = 2.0**10


@dataclass(frozen=True)
class Pair:
    """Two products that share channels."""

    first: Node
    second: Node


def pairs(graph: Graph) -> list[Pair]:
    """Return the products whose result only one other product reads, at most a Relu between."""
    consumers = graph.consumers()
    outputs = {value.name for value in graph.outputs}
    found = []
    for node in graph.nodes:
        if node.op != "Conv" or not _constant(graph, node):
            continue
        name = node.outputs[0]
        after = consumers.get(name, [])
        if len(after) == 1 and after[0].op == "Relu" and name not in outputs:
            name = after[0].outputs[0]
            after = consumers.get(name, [])
        if name in outputs or len(after) != 1 or after[0].op != "Conv":
            continue
        if after[0].inputs[0] == name and _constant(graph, after[0]):
            found.append(Pair(node, after[0]))
    return found


def equalize(graph: Graph) -> Graph | None:
    """Return the equalized graph, which computes the same; None if it has no pairs."""
    found = graph.copy()
    todo = pairs(found)
    if not todo:
        return None
    for node in {id(n): n for pair in todo for n in (pair.first, pair.second)}.values():
        _own(found, node)
    for _ in range(_SWEEPS):
        for pair in todo:
            _balance(found, pair)
    for node in {id(n): n for pair in todo for n in (pair.first, pair.second)}.values():
        for name in node.inputs[1:]:
            if name:
                found.constants[name] = found.constants[name].astype(np.float32)
    return found


def _constant(graph: Graph, node: Node) -> bool:
    names = [name for name in node.inputs[1:] if name]
    return all(
        name in graph.constants and graph.constants[name].dtype == np.float32 for name in names
    )


def _own(graph: Graph, node: Node) -> None:
    """Give a node constants that no other node reads, in float64 while they are worked on."""
    for i, name in enumerate(node.inputs[1:], 1):
        if name:
            fresh = graph.fresh(f"{name}/equalized")
            graph.constants[fresh] = graph.constants[name].astype(np.float64)
            node.inputs[i] = fresh


def _balance(graph: Graph, pair: Pair) -> None:
    first = graph.constants[pair.first.inputs[1]]
    second = _by_input(graph.constants[pair.second.inputs[1]], pair.second)
    if second is None or second.shape[0] != first.shape[0]:
        return
    r1 = np.abs(first).reshape(first.shape[0], -1).max(axis=1)
    r2 = np.abs(second).reshape(second.shape[0], -1).max(axis=1)
    both = (r1 > 0) & (r2 > 0)
    s = np.ones(len(r1))
    s[both] = np.clip(np.sqrt(r1[both] / r2[both]), 1 / _MOST, _MOST)
    graph.constants[pair.first.inputs[1]] = first / s.reshape(-1, *[1] * (first.ndim - 1))
    if len(pair.first.inputs) > 2 and pair.first.inputs[2]:
        graph.constants[pair.first.inputs[2]] = graph.constants[pair.first.inputs[2]] / s
    second *= s.reshape(-1, *[1] * (second.ndim - 1))  # a view: the constant changes


def _by_input(weight: Array, node: Node) -> Array | None:
    """Return a view with the input channel first; None for groups other than depthwise."""
    group = int(node.attributes.get("group", 1))
    if group == 1:
        return np.swapaxes(weight, 0, 1)
    if weight.shape[1] == 1 and group == weight.shape[0]:
        return weight
    return None
