"""From a graph with FakeQuantize nodes to codes: the same form that `quantize_static` gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from compress_tensor import DType, Graph, InputError, Node, Tensor
from compress_tensor.graph.rename import renamed
from compress_tensor.graph.stored import chosen

from ..affine import AffineParams
from ..bits import Bits, ends_of
from ..grid import Grid
from ..insert import Numbers, insert
from ..ledger import Ledger, decisions
from ..place import Choice, Placement, place
from ..target import Target
from ..warn import warnings_for
from .fake import LEAST_SCALE, covering
from .prepare import METADATA, is_fake, is_fake_bias


def convert(graph: Graph) -> tuple[Graph, Ledger]:
    """Return the graph with QuantizeLinear and DequantizeLinear, and one decision per node.

    Args:
        graph: what `prepare_qat` made, trained or not.

    Raises:
        InputError: if it is none, or a trained constant is no finite number.
    """
    said = graph.metadata.get(METADATA)
    if said is None or not any(is_fake(node) for node in graph.nodes):
        raise InputError("this graph was not made by prepare_qat; there is nothing to convert")
    made: dict[str, Any] = json.loads(said)
    _require_finite(graph)
    plain, fakes = _stripped(graph)
    target = Target(made["target"])
    choice = Choice(
        tuple(made["exclude"]),
        frozenset(made["op_types"]) or None,
        made["reasons"],
        per_channel=made["per_channel"],
    )
    placement = place(plain, target, choice)
    numbers = _numbers(graph, placement, fakes, made["bits"])
    quantized = insert(placement, numbers, target)
    quantized.metadata.pop(METADATA, None)
    ledger = Ledger(samples=int(made["samples"]), observer="training")
    ledger.decisions = list(decisions(placement, numbers))
    ledger.warnings = warnings_for(placement, numbers, target)
    quantized.check()
    return quantized, ledger


def _require_finite(graph: Graph) -> None:
    for name, array in graph.constants.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise InputError(
                f"constant {name!r} has NaN or infinite elements after training; "
                "go back to an earlier checkpoint"
            )


def _stripped(graph: Graph) -> tuple[Graph, dict[str, list[Node]]]:
    """Return the graph without its FakeQuantize nodes, and these by the value that they read."""
    found = graph.copy()
    names: dict[str, str] = {}
    fakes: dict[str, list[Node]] = {}
    found.nodes = []
    for node in graph.nodes:
        if is_fake(node):
            names[node.outputs[0]] = node.inputs[0]
            fakes.setdefault(node.inputs[0], []).append(node)
        elif is_fake_bias(node):
            names[node.outputs[0]] = node.inputs[0]
        else:
            found.nodes.append(renamed(node, names))
    scales = {node.inputs[1] for each in fakes.values() for node in each if len(node.inputs) > 1}
    found.constants = chosen(found.constants, found.constants.keys() - scales)
    return found, fakes


def _numbers(
    graph: Graph, placement: Placement, fakes: dict[str, list[Node]], widths: list[int]
) -> Numbers:
    of = {}
    for scale in placement.scales:
        nodes = [node for name in scale.values for node in fakes.get(name, ())]
        if not nodes:
            raise InputError(f"value {scale.values[0]!r} has lost its FakeQuantize node")
        of[scale.values[0]] = _params(graph, nodes[0], ())
    weights = {}
    for key, shape, node in _weight_nodes(graph, placement, fakes):
        weights[key] = _params(graph, node, shape)
    weight, activation, edge = widths
    return Numbers(of, Bits(weight, activation, edge, ends_of(placement)), weights)


def _weight_nodes(
    graph: Graph, placement: Placement, fakes: dict[str, list[Node]]
) -> Iterator[tuple[str, tuple[int, ...], Node]]:
    """Yield each product's first output, the shape of its weight's scales, and their node."""
    for site in placement.sites.values():
        if site.weight is None:
            continue
        name = site.node.inputs[site.weight]
        nodes = [n for n in fakes.get(name, ()) if n.attributes.get("axis") == site.axis]
        if not nodes:
            raise InputError(f"weight {name!r} has lost its FakeQuantize node")
        array = graph.constants[name]
        shape = [1] * array.ndim
        if site.axis is not None:
            shape[site.axis] = array.shape[site.axis]
        yield site.node.outputs[0], tuple(shape), nodes[0]


def _params(graph: Graph, node: Node, shape: tuple[int, ...]) -> AffineParams:
    a = node.attributes
    zero = int(a["zero_point"])
    grid = Grid(
        int(a["low"]) + zero, int(a["high"]) + zero, DType(int(a["dtype"])), bool(a["symmetric"])
    )
    if len(node.inputs) > 1:
        held = np.maximum(graph.constants[node.inputs[1]], np.float32(LEAST_SCALE))
    else:
        weight = Tensor.from_numpy(graph.constants[node.inputs[0]])
        held = covering(weight, int(a["high"]), a.get("axis")).numpy()
    scale = np.asarray(held, np.float32).reshape(shape)
    return AffineParams(scale, np.full(shape, zero, np.int32), grid)
