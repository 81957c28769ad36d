"""From a float graph to one with FakeQuantize nodes, ready to be trained.

BatchNormalization is folded first: its statistics are those of the trained network, and what is
trained is exactly what will be quantized.  Calibration data set the ranges once, as after training;
then they are frozen (STE), or learned as parameters (LSQ).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from typing import Any

import numpy as np

from compress_autograd.trainable import trainable_constants
from compress_tensor import Graph, InputError, Node
from compress_tensor.graph.rename import renamed

from ..affine import AffineParams
from ..insert import Numbers, Writer
from ..observe import Observer, observe
from ..observe.collect import Feeds
from ..place import Choice, Placement, Scale, place
from ..prepare import prepare
from ..recipe import Recipe
from ..roles import Kind, Site
from ..static import by_scale, numbers_of
from .fake import BIAS, DOMAIN, OP

METADATA = "compress_qat"


class Method(str, Enum):
    """What becomes of the scales while the network is trained.

    * lsq: all are parameters (learned step size quantization, Esser et al., 2020).
    * ste: those of activations are frozen, those of weights follow the largest weight
      (straight-through estimator, Bengio et al., 2013; Jacob et al., 2018).
    """

    LSQ = "lsq"
    STE = "ste"


def prepare_qat(
    graph: Graph,
    data: Iterable[Feeds],
    recipe: Recipe | None = None,
    method: Method = Method.LSQ,
) -> Graph:
    """Return the graph with a FakeQuantize node wherever `convert` will put codes.

    Args:
        graph: a trained float network.
        data: calibration samples, for the ranges to start from.
        recipe: as for `quantize_static`; observer auto means MSE here.
        method: what becomes of the scales.

    Raises:
        InputError: if the graph or the data do not serve.
    """
    recipe = recipe or Recipe()
    if recipe.observer is Observer.AUTO:
        recipe = replace(recipe, observer=Observer.MSE)
    prepared = prepare(graph)
    tables = {
        node.outputs[0]: "its table is trained in floats"
        for node in prepared.nodes
        if node.op == "Gather" and node.inputs[0] in prepared.constants
    }
    choice = Choice.of(recipe, tables)
    placement = place(prepared, recipe.target, choice)
    observation = observe(
        prepared,
        data,
        placement.observed,
        memory=recipe.memory,
        threads=recipe.threads,
        keep=0,
    )
    statistics = by_scale(placement, observation)
    numbers = numbers_of(recipe, placement, statistics, recipe.observer)
    found = _FakeWriter(placement, numbers, recipe, method).write(True, True)
    found.metadata[METADATA] = json.dumps(
        {
            "target": recipe.target.value,
            "exclude": list(choice.exclude),
            "op_types": sorted(choice.op_types or ()),
            "reasons": tables,
            "per_channel": choice.per_channel,
            "bits": [recipe.weight_bits, recipe.activation_bits, recipe.edge_bits],
            "samples": observation.samples,
        },
        sort_keys=True,
    )
    return found


def scale_names(graph: Graph) -> list[str]:
    """Return the constants that hold learned scales, each once."""
    found = [n.inputs[1] for n in graph.nodes if is_fake(n) and len(n.inputs) > 1]
    return list(dict.fromkeys(found))


def trainable_names(graph: Graph) -> list[str]:
    """Return what is trained: weights and biases of the original, and the learned scales."""
    scales = set(scale_names(graph))
    plain = graph.copy()
    names = {n.outputs[0]: n.inputs[0] for n in graph.nodes if is_fake(n) or is_fake_bias(n)}
    plain.nodes = [renamed(n, names) for n in graph.nodes if not (is_fake(n) or is_fake_bias(n))]
    weights = set(trainable_constants(plain))
    return [name for name in graph.constants if name in weights or name in scales]


def is_fake(node: Node) -> bool:
    """Whether it is a FakeQuantize node."""
    return node.op == OP and node.domain == DOMAIN


def is_fake_bias(node: Node) -> bool:
    """Whether it is a FakeBias node."""
    return node.op == BIAS and node.domain == DOMAIN


class _FakeWriter(Writer):
    """Writes FakeQuantize nodes where `insert` writes codes."""

    def __init__(
        self, placement: Placement, numbers: Numbers, recipe: Recipe, method: Method
    ) -> None:
        super().__init__(placement, numbers, recipe.target)
        self.learned = method is Method.LSQ
        self.scales: dict[int, str] = {}

    def pair(self, name: str, scale: Scale) -> str:
        """Append a FakeQuantize for a value; return the result's name."""
        params = self.numbers[scale]
        if id(scale) not in self.scales:
            held = np.asarray(params.scale, np.float32).reshape(1)
            self.scales[id(scale)] = self.constant(f"{scale.values[0]}_scale", held)
        out = self.fresh(f"{name}_faked")
        attributes = {**_grid(params), "batched": 1}
        self.nodes.append(
            Node(OP, [name, self.scales[id(scale)]], [out], attributes, f"{name}_{OP}", DOMAIN)
        )
        return out

    def weights(self, site: Site, copy: Node) -> None:
        """Let a product read its weight through a FakeQuantize."""
        assert site.weight is not None
        if site.kind is Kind.LOOKUP:
            raise InputError(f"{site.node.label}: embeddings are trained in floats")
        name = site.node.inputs[site.weight]
        params = self.numbers.weight(self.placement, site, integer_bias=False).params
        inputs = [name]
        if self.learned:
            held = np.asarray(params.scale, np.float32).reshape(-1)
            inputs.append(self.constant(f"{name}_scale", held))
        attributes = _grid(params)
        if site.axis is not None:
            attributes["axis"] = site.axis
        out = self.fresh(f"{name}_faked")
        self.nodes.append(Node(OP, inputs, [out], attributes, f"{out}_{OP}", DOMAIN))
        copy.inputs[site.weight] = out
        read = self.placement.of.get(site.reads[0])
        if site.bias is not None and read is not None and self.target.integer_bias:
            self.bias(site, copy, self.scales[id(read)], inputs, attributes)

    def bias(
        self, site: Site, copy: Node, scale: str, weight: list[str], attributes: dict[str, Any]
    ) -> None:
        """Let a product, or the Add behind it, read its bias rounded to int32 codes."""
        assert site.bias is not None
        node, at = site.bias
        name = node.inputs[at]
        out = self.fresh(f"{name}_faked")
        label = f"{out}_{BIAS}"
        self.nodes.append(Node(BIAS, [name, scale, *weight], [out], attributes, label, DOMAIN))
        if node is site.node:
            copy.inputs[at] = out
        else:
            self.waiting[id(node)] = (at, out)


def _grid(params: AffineParams) -> dict[str, Any]:
    zero = int(params.zero_point.reshape(-1)[0])
    return {
        "low": params.grid.qmin - zero,
        "high": params.grid.qmax - zero,
        "zero_point": zero,
        "dtype": int(params.grid.dtype),
        "symmetric": int(params.grid.symmetric),
    }
