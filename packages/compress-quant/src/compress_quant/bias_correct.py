"""Fast bias correction: quantizing shifts the mean of a product's outputs; the bias takes it back.

For each output channel c, over samples and positions, with x̂ and Ŵ what codes stand for::

    b'_c = b_c + mean(W x)_c - mean(Ŵ x̂)_c

(Nagel et al., 2019, Data-free quantization through weight equalization and bias correction,
section 4.2, https://arxiv.org/abs/1906.04721, with measured means).  Each product is compared on
the float network's own inputs, so all are done in one run and none corrects what another one did.
"""

from __future__ import annotations

import numpy as np

from compress_tensor import Graph, Node, Value, compile  # noqa: A004

from .affine import Array, dequantize
from .insert import Numbers
from .observe import Observation
from .place import Placement
from .roles import Site


def corrected(
    placement: Placement, numbers: Numbers, observation: Observation, threads: int
) -> Graph | None:
    """Return the float graph with biases that make up for quantization; None: nothing to do."""
    graph, twins = _twins(placement, numbers)
    if not twins:
        return None
    session = compile(graph, threads=threads)
    sums: dict[str, Array] = {output: np.zeros(()) for output in twins}
    batches = 0
    for batch in observation.batches():
        rows = len(next(iter(batch.values()))) if observation.rows else 1
        for output, means in session.run(batch).items():
            sums[output] = sums[output] + np.asarray(means, np.float64) * rows
        batches += rows
    found = placement.graph.copy()
    for output, site in twins.items():
        shift = np.asarray(sums[output] / batches)
        assert site.bias is not None
        node, at = site.bias
        name = node.inputs[at]
        fresh = found.fresh(f"{name}/corrected")
        found.constants[fresh] = (found.constants[name].astype(np.float64) + shift).astype(
            np.float32
        )
        index = next(i for i, n in enumerate(placement.graph.nodes) if n is node)
        found.nodes[index].inputs[at] = fresh
    return found


def _twins(placement: Placement, numbers: Numbers) -> tuple[Graph, dict[str, Site]]:
    """Return a graph that gives, per product with a bias, the mean shift of each channel."""
    graph = placement.graph.copy()
    outputs: dict[str, Site] = {}
    values: list[Value] = []
    for site in placement.sites.values():
        node = site.node
        if site.weight != 1 or site.bias is None or node.op not in ("Conv", "Gemm", "MatMul"):
            continue
        scale = placement.of.get(node.inputs[0])
        if scale is None:
            continue
        params = numbers[scale]
        made = numbers.weight(placement, site, integer_bias=True)
        tag = node.outputs[0]
        constants = {
            f"{tag}/twin/scale": params.scale.reshape(()),
            f"{tag}/twin/zero": params.zero_point.astype(params.grid.dtype.numpy).reshape(()),
            f"{tag}/twin/weight": dequantize(made.codes, made.params),
        }
        graph.constants.update(constants)
        names = [*constants]
        codes, floats, twin = (f"{tag}/twin/{n}" for n in ("codes", "floats", "output"))
        plain = f"{tag}/twin/plain"
        graph.nodes += [
            Node("QuantizeLinear", [node.inputs[0], *names[:2]], [codes]),
            Node("DequantizeLinear", [codes, *names[:2]], [floats]),
            Node(node.op, [floats, names[2]], [twin], dict(node.attributes)),
            Node(node.op, node.inputs[:2], [plain], dict(node.attributes)),
        ]
        graph.nodes += _mean_difference(graph, site, plain, twin, f"{tag}/twin/shift")
        outputs[f"{tag}/twin/shift"] = site
        values.append(Value(f"{tag}/twin/shift"))
    graph.outputs = values
    return graph, outputs


def _mean_difference(graph: Graph, site: Site, a: str, b: str, out: str) -> list[Node]:
    """Return nodes for the mean of a - b over all axes but the channels'."""
    # Channels come second in a convolution, last in a matrix product: bring them to the front.
    weight = graph.constants[site.node.inputs[1]]
    channels = site.node.op == "Conv"
    flat = f"{out}/flat"
    shape = f"{out}/shape"
    if channels:
        graph.constants[shape] = np.array([0, weight.shape[0], -1], np.int64)
        axes = np.array([0, 2], np.int64)
    else:
        width = weight.shape[0 if site.node.attributes.get("transB", 0) else -1]
        graph.constants[shape] = np.array([-1, width], np.int64)
        axes = np.array([0], np.int64)
    graph.constants[f"{out}/axes"] = axes
    return [
        Node("Sub", [a, b], [f"{out}/difference"]),
        Node("Reshape", [f"{out}/difference", shape], [flat]),
        Node("ReduceMean", [flat, f"{out}/axes"], [out], {"keepdims": 0}),
    ]
