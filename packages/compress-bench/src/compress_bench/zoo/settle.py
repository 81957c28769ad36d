"""Batch normalisation statistics from data: what training would have left there.

With random weights and statistics 0 and 1, activations drift to one direction and size through a
deep network.  Here each normalisation gets the mean and variance of its input on a batch, all of
them in one run: during it they normalise by the batch itself (Ioffe and Szegedy, 2015).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from compress_tensor import Graph, Node, Value
from compress_tensor import compile as compile_graph

from .weights import Array


def settle(graph: Graph, feeds: Mapping[str, Array]) -> Graph:
    """Return the graph with each running mean and variance as ``feeds`` give them."""
    work, wanted = _by_batch(graph)
    if not wanted:
        return graph
    found = compile_graph(work, threads=1, outputs=list(wanted)).run(feeds)
    settled = graph.copy()
    for name, constant in wanted.items():
        settled.constants[constant] = found[name].reshape(-1)
    return settled


def _by_batch(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """Spell out each normalisation by its batch; return also which value is which statistic."""
    work = graph.copy()
    work.nodes = []
    wanted: dict[str, str] = {}
    axes = work.fresh("settle.axes")
    work.constants[axes] = np.array([0, 2, 3], np.int64)
    for node in graph.nodes:
        if node.op != "BatchNormalization":
            work.nodes.append(node)
            continue
        x, scale, bias, mean, variance = node.inputs
        base = node.outputs[0]
        names = {part: f"{base}/{part}" for part in ("mean", "d", "square", "variance", "wide")}
        names |= {part: f"{base}/{part}" for part in ("deviation", "normal", "scaled")}
        epsilon, column = f"{base}/epsilon", f"{base}/column"
        work.constants[epsilon] = np.array(node.attributes.get("epsilon", 1e-5), np.float32)
        work.constants[f"{base}/scale"] = graph.constants[scale].reshape(1, -1, 1, 1)
        work.constants[column] = graph.constants[bias].reshape(1, -1, 1, 1)
        work.nodes += [
            Node("ReduceMean", [x, axes], [names["mean"]], {"keepdims": 1}),
            Node("Sub", [x, names["mean"]], [names["d"]]),
            Node("Mul", [names["d"], names["d"]], [names["square"]]),
            Node("ReduceMean", [names["square"], axes], [names["variance"]], {"keepdims": 1}),
            Node("Add", [names["variance"], epsilon], [names["wide"]]),
            Node("Sqrt", [names["wide"]], [names["deviation"]]),
            Node("Div", [names["d"], names["deviation"]], [names["normal"]]),
            Node("Mul", [names["normal"], f"{base}/scale"], [names["scaled"]]),
            Node("Add", [names["scaled"], column], [base]),
        ]
        wanted |= {names["mean"]: mean, names["variance"]: variance}
    work.outputs = [Value(name) for name in wanted]
    return work, wanted
