"""Insertion: a placement and parameters become QuantizeLinear and DequantizeLinear nodes.

A value with codes is followed by one pair; integer nodes read the pair's result, nodes that stay
in floats read the original where a float node makes it, else the pair's result too.  Weights are
stored as codes, each with one DequantizeLinear.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from compress_tensor import OPSET, Graph, Node
from compress_tensor.graph.rename import renamed
from compress_tensor.graph.stored import chosen

from .affine import AffineParams, Array
from .bits import Bits, weight_grid
from .place import Placement, Scale
from .roles import Kind, Site
from .target import Target
from .weights import Weights, quantize_table, quantize_weights

#: all, none, or those of these names
Chosen = bool | frozenset[str]

assert OPSET >= 19  # DequantizeLinear of int32 with a scale per channel


@dataclass(frozen=True)
class Numbers:
    """All numbers of a placement.

    Attributes:
        of: the parameters of each scale, by its first value.
        bits: the widths.
        weights: parameters of weights that do not follow from the weights alone, by the first
            output of the product.
    """

    of: Mapping[str, AffineParams] = field(default_factory=dict)
    bits: Bits = field(default_factory=Bits)
    weights: Mapping[str, AffineParams] = field(default_factory=dict)

    def __getitem__(self, scale: Scale) -> AffineParams:
        return self.of[scale.values[0]]

    def weight(self, placement: Placement, site: Site, *, integer_bias: bool) -> Weights:
        """Return weight and bias of a product as codes."""
        read = placement.of.get(site.reads[0])
        return quantize_weights(
            placement.graph,
            site,
            1.0 if read is None else float(self[read].scale),
            weight_grid(self.bits.of_site(site)),
            integer_bias=integer_bias and read is not None,
            learned=self.weights.get(site.node.outputs[0]),
        )


def insert(
    placement: Placement,
    numbers: Numbers,
    target: Target,
    *,
    weights: Chosen = True,
    activations: Chosen = True,
) -> Graph:
    """Return the graph with explicit quantization.

    Args:
        placement: what gets codes.
        numbers: their scales and zero points.
        target: who will read the file.
        weights: whether constants become codes, or the first outputs of the products whose do
            (for measuring some without the others).
        activations: whether values computed at run time do, or which.
    """
    return Writer(placement, numbers, target).write(weights, activations)


class Writer:
    """The working state of `insert`; whoever marks values otherwise overrides `pair`, `weights`."""

    def __init__(self, placement: Placement, numbers: Numbers, target: Target) -> None:
        self.placement = placement
        self.numbers = numbers
        self.target = target
        self.graph = placement.graph.copy()
        self.taken = self.graph.names()
        self.readers = placement.graph.consumers()
        self.outputs = {value.name for value in placement.graph.outputs}
        self.nodes: list[Node] = []
        self.names: dict[int, tuple[str, str]] = {}  # scale -> constants
        self.shared: dict[tuple[object, ...], str] = {}
        self.waiting: dict[int, tuple[int, str]] = {}  # bias of an Add behind a MatMul

    def write(self, weights: Chosen, activations: Chosen) -> Graph:
        """Return the graph: see `insert`."""
        placement = self.placement
        by_site: dict[str, str] = {}  # what integer nodes read instead
        by_all: dict[str, str] = {}  # what every node reads instead
        ends = {name for site in placement.sites.values() for name in site.makes}

        def encode(name: str) -> None:
            if name in placement.of and _is_chosen(activations, name):
                coded = self.pair(name, placement.of[name])
                by_site[name] = coded
                if name in ends:
                    by_all[name] = coded

        for value in self.graph.inputs:
            encode(value.name)
        for node in placement.graph.nodes:
            site = placement.sites.get(id(node))
            names = dict(by_all)
            if site is not None:
                names.update({name: by_site[name] for name in site.reads if name in by_site})
            copy = renamed(node, names)
            coded = _is_chosen(weights, node.outputs[0])
            if site is not None and coded and site.kind is Kind.LOOKUP:
                self.nodes += self._lookup(site, copy)
                continue
            if site is not None and coded and site.weight is not None:
                self.weights(site, copy)
            elif site is None:
                self._pending_bias(node, copy)
            self.nodes.append(copy)
            for name in node.outputs:
                if name:
                    encode(name)
        self.graph.nodes = self.nodes
        used = {name for node in self.nodes for name in node.inputs}
        used |= {value.name for value in self.graph.outputs}
        used |= {name for node in self.nodes for g in node.subgraphs() for name in _inside(g)}
        self.graph.constants = chosen(self.graph.constants, used)
        return self.graph

    def pair(self, name: str, scale: Scale) -> str:
        """Append QuantizeLinear and DequantizeLinear for a value; return the result's name."""
        if id(scale) not in self.names:
            params = self.numbers[scale]
            first = scale.values[0]
            self.names[id(scale)] = (
                self.constant(f"{first}_scale", params.scale.reshape(())),
                self.constant(f"{first}_zero_point", _zeros(params).reshape(())),
            )
        name = self._narrowed(name, self.numbers[scale])
        parameters = [*self.names[id(scale)]]
        codes, floats = self.fresh(f"{name}_quantized"), self.fresh(f"{name}_dequantized")
        self.nodes.append(
            Node("QuantizeLinear", [name, *parameters], [codes], {}, f"{name}_QuantizeLinear")
        )
        self.nodes.append(
            Node("DequantizeLinear", [codes, *parameters], [floats], {}, f"{name}_DequantizeLinear")
        )
        return floats

    def _narrowed(self, name: str, params: AffineParams) -> str:
        """Clip a value to a grid of fewer steps than its type has; return the result's name.

        QuantizeLinear saturates at the ends of the type only.  A Relu before it, if nothing else
        reads it, is what the Clip does anyhow.
        """
        grid = params.grid
        low, high = grid.dtype.integer_range
        if grid.qmax == high and grid.qmin - low <= 1:
            return name
        scale, zero = np.float32(params.scale.reshape(())), int(params.zero_point.reshape(()))
        bounds = [
            self.constant(f"{name}_{end}", np.asarray(scale * np.float32(code - zero)))
            for end, code in (("low", grid.qmin), ("high", grid.qmax))
        ]
        clipped = self.fresh(f"{name}_clipped")
        last = self.nodes[-1] if self.nodes else None
        alone = len(self.readers.get(name, ())) == 1 and name not in self.outputs
        relu = last is not None and last.op == "Relu" and last.outputs == [name]
        if last is not None and relu and alone and grid.qmin == zero:
            self.nodes[-1] = Node("Clip", [last.inputs[0], *bounds], [clipped], {}, last.name)
            return clipped
        self.nodes.append(Node("Clip", [name, *bounds], [clipped], {}, f"{name}_Clip"))
        return clipped

    def weights(self, site: Site, copy: Node) -> None:
        """Let a product read its weight and bias from codes."""
        assert site.weight is not None
        name = site.node.inputs[site.weight]
        made = self.numbers.weight(self.placement, site, integer_bias=self.target.integer_bias)
        key = (name, site.axis, made.params.scale.tobytes())
        if key not in self.shared:
            self.shared[key] = self._dequantize(name, made.codes, made.params.scale,
                                                _zeros(made.params), site.axis)  # fmt: skip
        copy.inputs[site.weight] = self.shared[key]
        if made.bias is None or made.bias_scale is None or site.bias is None:
            return
        node, at = site.bias
        bias_name = node.inputs[at]
        floats = self._dequantize(
            bias_name,
            made.bias.reshape(self.placement.graph.constants[bias_name].shape),
            made.bias_scale,
            None,
            0,
        )
        if node is site.node:
            copy.inputs[at] = floats
        else:
            self.waiting[id(node)] = (at, floats)

    def _lookup(self, site: Site, copy: Node) -> list[Node]:
        """Return nodes that take rows of codes and turn them into floats."""
        name = site.node.inputs[0]
        made = quantize_table(self.placement.graph.constants[name])
        key = (name, "table")
        if key not in self.shared:
            self.shared[key] = self.constant(f"{name}_quantized", made.codes)
        codes = self.fresh(f"{copy.outputs[0]}_quantized")
        scale = self.constant(f"{name}_scale", made.params.scale.reshape(()))
        zero = self.constant(f"{name}_zero_point", _zeros(made.params).reshape(()))
        given = [self.shared[key], copy.inputs[1]]
        rows = Node("Gather", given, [codes], copy.attributes, copy.name)
        label = f"{copy.outputs[0]}_DequantizeLinear"
        floats = Node("DequantizeLinear", [codes, scale, zero], copy.outputs, {}, label)
        return [rows, floats]

    def _pending_bias(self, node: Node, copy: Node) -> None:
        """Let the Add behind a MatMul read the bias from codes."""
        if id(node) in self.waiting:
            at, floats = self.waiting[id(node)]
            copy.inputs[at] = floats

    def _dequantize(
        self, name: str, codes: Array, scale: Array, zeros: Array | None, axis: int | None
    ) -> str:
        """Append a DequantizeLinear of constants; return the result's name."""
        scale = np.asarray(scale, np.float32).reshape(-1)
        one = scale.size == 1
        inputs = [
            self.constant(f"{name}_quantized", codes),
            self.constant(f"{name}_scale", scale.reshape(()) if one else scale),
        ]
        if zeros is not None:
            inputs.append(
                self.constant(f"{name}_zero_point", zeros.reshape(()) if one else zeros.ravel())
            )
        floats = self.fresh(f"{name}_dequantized")
        attributes = {} if one or axis is None else {"axis": axis}
        self.nodes.append(Node("DequantizeLinear", inputs, [floats], attributes, floats))
        return floats

    def constant(self, hint: str, array: Array) -> str:
        """Add a constant; return its name, which is the hint if that is free."""
        name = self.fresh(hint)
        array = np.ascontiguousarray(array).reshape(array.shape)
        array.flags.writeable = False
        self.graph.constants[name] = array
        return name

    def fresh(self, hint: str) -> str:
        """Return a name that is not taken, the hint if it can be."""
        name, number = hint, 1
        while name in self.taken:
            name, number = f"{hint}_{number}", number + 1
        self.taken.add(name)
        return name


def _is_chosen(chosen: Chosen, name: str) -> bool:
    return chosen if isinstance(chosen, bool) else name in chosen


def _zeros(params: AffineParams) -> Array:
    return params.zero_point.astype(params.grid.dtype.numpy)


def _inside(graph: Graph) -> list[str]:
    found = [name for node in graph.nodes for name in node.inputs]
    found += [value.name for value in graph.outputs]
    for node in graph.nodes:
        for inner in node.subgraphs():
            found += _inside(inner)
    return found
