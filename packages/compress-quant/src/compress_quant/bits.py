"""How many bits each product's weights and each value's codes have.

Codes of fewer than 8 bits lie in 8-bit types, on a grid of fewer steps, so that the same kernels
compute with them.  Products at the ends of a network (no other product before them, or none
behind) may keep more: they are few and what they lose nothing makes up for (Esser et al., 2020,
Learned step size quantization, section 3, https://arxiv.org/abs/1902.08153).
"""

from __future__ import annotations

from dataclasses import dataclass

from compress_tensor import DType, Graph

from .grid import Grid
from .place import Placement, Scale
from .roles import Kind, Site
from .target import Activations, Target


@dataclass(frozen=True)
class Bits:
    """The widths of a placement.

    Attributes:
        weights: of the products between the ends.
        activations: of the values that these read and make.
        edge: at least so many at the ends.
        ends: first outputs of the products at the ends.
    """

    weights: int = 8
    activations: int = 8
    edge: int = 8
    ends: frozenset[str] = frozenset()

    def of_site(self, site: Site) -> int:
        """Return the bits of a product's weights."""
        at_end = site.node.outputs[0] in self.ends
        return max(self.weights, self.edge) if at_end else self.weights

    def of_scale(self, placement: Placement, scale: Scale) -> int:
        """Return the bits of the codes of some values."""
        at_end = any(
            site.node.outputs[0] in self.ends and any(name in scale.values for name in site.reads)
            for site in placement.sites.values()
        )
        return max(self.activations, self.edge) if at_end else self.activations

    @property
    def narrow(self) -> bool:
        """Whether anything has fewer than 8 bits."""
        return min(self.weights, self.activations) < 8


def weight_grid(bits: int) -> Grid:
    """Return the symmetric codes of weights."""
    most = (1 << (bits - 1)) - 1
    return Grid(-most, most, DType.INT8, symmetric=True)


def activation_grid(target: Target, activations: Activations, symmetric: bool, bits: int) -> Grid:
    """Return the codes of an activation; ``symmetric``: a product's right side."""
    if symmetric or target is Target.TENSORRT or activations is Activations.S8_SYMMETRIC:
        return weight_grid(bits)
    if activations is Activations.S8:
        return Grid(-(1 << (bits - 1)), (1 << (bits - 1)) - 1, DType.INT8)
    return Grid(0, (1 << bits) - 1, DType.UINT8)


def ends_of(placement: Placement) -> frozenset[str]:
    """Return the first outputs of the products without another product before or behind them."""
    graph = placement.graph
    products = {k: s for k, s in placement.sites.items() if s.kind is Kind.PRODUCT}
    behind = _reached(graph, products, reverse=False)
    before = _reached(graph, products, reverse=True)
    return frozenset(
        site.node.outputs[0] for key, site in products.items()
        if key not in behind or key not in before
    )  # fmt: skip


def _reached(graph: Graph, products: dict[int, Site], *, reverse: bool) -> set[int]:
    """Return the products that have another one before (``reverse``: behind) them."""
    marked: set[str] = set()
    found = set()
    for node in reversed(graph.nodes) if reverse else graph.nodes:
        reads, makes = (node.outputs, node.inputs) if reverse else (node.inputs, node.outputs)
        reached = any(name in marked for name in reads if name)
        if reached and id(node) in products:
            found.add(id(node))
        if reached or id(node) in products:
            marked.update(name for name in makes if name)
    return found
