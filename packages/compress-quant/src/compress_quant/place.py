"""Placement: which nodes compute in integers, which values get codes, which share a scale.

Four kinds of nodes:

* **products** (Conv, ConvTranspose, Gemm, MatMul) are why one quantizes: they read codes;
* **followers** (residual Add, pooling, activations, data movement) stay in integers between
  products: where all they read comes as codes, and a product or another follower reads the result;
* **lookups** (Gather of rows of a constant: embeddings) move codes of their table, give floats;
* everything else stays in floats.

A product swallows what follows it alone: a constant bias, Relu, Clip.  Codes are made once, at the
end of that tail.  Followers that only move values share scale and zero point between what they
read and what they make, so that they move codes; Concat makes all its inputs share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase

import numpy as np

from compress_tensor import Graph, InputError, Node

from .recipe import Recipe
from .roles import COMBINES, MOVES, POOLS, PRODUCTS, TABLES, TAIL, Kind, Site
from .sites import follower, lookup, product
from .target import Target


@dataclass
class Scale:
    """One scale and zero point, and the values that share it.

    Attributes:
        values: their names, in graph order.
        sources: those that are not merely moved from another one of them.
        symmetric: whether the zero point must be 0, because a product reads it as its right side.
    """

    values: list[str]
    sources: list[str]
    symmetric: bool = False


@dataclass
class Placement:
    """Everything that is decided before numbers are known.

    Attributes:
        sites: by the id of the node.
        scales: one per group of values.
        of: the scale of each value that gets codes.
        reasons: why each node that could be quantized is not, by the id of the node.
    """

    graph: Graph
    sites: dict[int, Site]
    scales: list[Scale]
    of: dict[str, Scale]
    reasons: dict[int, str]

    @property
    def observed(self) -> list[str]:
        """The values whose statistics decide the scales."""
        return [name for scale in self.scales for name in scale.sources]


@dataclass(frozen=True)
class Choice:
    """What must stay in floats.

    Attributes:
        exclude: patterns of node names, operators or output names.
        op_types: products and followers of these operators only; None: all.
        reasons: node by its first output: why it stays in floats.
        open: values that get no codes where a product makes them.
        per_channel: whether the weights of a product have one scale per output channel.
    """

    exclude: tuple[str, ...] = ()
    op_types: frozenset[str] | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    open: frozenset[str] = frozenset()
    per_channel: bool = True

    @classmethod
    def of(cls, recipe: Recipe, reasons: Mapping[str, str] | None = None) -> Choice:
        """Return what a recipe says, with further reasons."""
        floats = tuple(each.node for each in recipe.overrides if each.keep_float)
        return cls(
            (*recipe.exclude, *floats),
            frozenset(recipe.op_types) or None,
            reasons or {},
            per_channel=recipe.per_channel,
        )

    def why_not(self, node: Node) -> str:
        """Return why a node stays in floats, or ""."""
        if node.outputs[0] in self.reasons:
            return self.reasons[node.outputs[0]]
        for pattern in self.exclude:
            if any(fnmatchcase(t, pattern) for t in (node.name, node.outputs[0]) if t):
                return f"excluded by {pattern!r}"
        if self.op_types is not None and node.op not in self.op_types:
            return f"{node.op} is not among the operator types to quantize"
        return ""


def place(graph: Graph, target: Target, choice: Choice | None = None) -> Placement:
    """Return the placement for a graph.

    Raises:
        InputError: if an exclusion names nothing, or there is nothing to quantize.
    """
    choice = choice or Choice()
    _check_names(graph, choice)
    return _Placer(graph, target, choice).place()


def _check_names(graph: Graph, choice: Choice) -> None:
    names = [t for node in graph.nodes for t in (node.name, node.outputs[0]) if t]
    for pattern in choice.exclude:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = get_close_matches(pattern, names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"the exclusion {pattern!r} names no node of this graph{hint}")
    unknown = (choice.op_types or frozenset()) - PRODUCTS - MOVES - COMBINES - POOLS - TABLES
    if unknown:
        raise InputError(f"operator type {min(unknown)!r} is not one that can be quantized")


class _Placer:
    """The working state of `place`."""

    def __init__(self, graph: Graph, target: Target, choice: Choice) -> None:
        self.graph = graph
        self.target = target
        self.choice = choice
        self.consumers = graph.consumers()
        self.producers = graph.producers()
        self.outputs = {value.name for value in graph.outputs}
        self.reasons: dict[int, str] = {}
        self.sites: dict[int, Site] = {}

    def place(self) -> Placement:
        candidates: dict[int, Site] = {}
        coded: set[str] = {v.name for v in self.graph.inputs}  # may come as codes
        inputs = frozenset(coded)
        swallowed: set[int] = set()
        for node in self.graph.nodes:
            if id(node) in swallowed:
                continue
            why = self.choice.why_not(node)
            made = self._stands_alone(node)
            site = made if isinstance(made, Site) else None
            if site is None and not isinstance(made, str):
                site = follower(self.graph, node)
                if site and not all(
                    name in coded and (name not in inputs or site.kind is Kind.MOVE)
                    for name in site.reads
                ):
                    site = None
            if site is None or why:
                wanted = isinstance(made, str) or node.op in PRODUCTS or (why and site is not None)
                if wanted:
                    self.reasons[id(node)] = why or str(made)
                continue
            self._swallow(site)
            swallowed.update(id(n) for n in site.tail)
            candidates[id(node)] = site
            if site.kind is not Kind.LOOKUP:
                coded.update(site.makes)
        self._choose(candidates)
        if not any(site.kind is Kind.PRODUCT for site in self.sites.values()):
            raise InputError(
                "there is nothing to quantize: no Conv, Gemm or MatMul with float32 weights "
                "is left in this graph"
            )
        return self._scales()

    def _stands_alone(self, node: Node) -> Site | str | None:
        """Return how a node is quantized whatever is around it, or why it is not."""
        if node.op in PRODUCTS:
            found = product(self.graph, node)
            if isinstance(found, Site) and not self.choice.per_channel:
                found.axis = None
            return found
        # TensorRT takes codes between QuantizeLinear and DequantizeLinear only.
        return None if self.target is Target.TENSORRT else lookup(self.graph, node)

    def _swallow(self, site: Site) -> None:
        """Take in the bias behind a MatMul and a Relu or Clip that read nothing else."""
        if site.kind not in (Kind.PRODUCT, Kind.COMBINE):
            return
        value = site.node.outputs[0]
        while value not in self.outputs and len(self.consumers.get(value, ())) == 1:
            (after,) = self.consumers[value]
            if self.choice.why_not(after) and after.op not in TAIL:
                return
            if after.op == "Add" and not site.tail and site.node.op == "MatMul":
                at = self._bias_position(site, after, value)
                if at is None:
                    return
                site.bias = (after, at)
            elif (
                after.op not in TAIL
                or after.inputs[0] != value
                or after.domain
                or any(name and name not in self.graph.constants for name in after.inputs[1:])
            ):
                return
            site.tail.append(after)
            if after.op in TAIL:
                return
            value = after.outputs[0]

    def _bias_position(self, site: Site, add: Node, value: str) -> int | None:
        """Return which input of an Add is a constant vector over the last axis."""
        if site.weight != 1 or add.inputs.count(value) != 1:
            return None
        at = 1 - add.inputs.index(value)
        bias = self.graph.constants.get(add.inputs[at])
        width = self.graph.constants[site.node.inputs[1]].shape[-1]
        fits = bias is not None and bias.dtype == np.float32 and bias.shape == (width,)
        return at if fits else None

    def _choose(self, candidates: dict[int, Site]) -> None:
        """Keep products, and the followers whose results a kept site reads."""
        wanted: set[str] = set()
        for node in reversed(self.graph.nodes):
            site = candidates.get(id(node))
            if site is None:
                continue
            alone = site.kind in (Kind.PRODUCT, Kind.LOOKUP)
            if alone or any(name in wanted for name in site.makes):
                self.sites[id(node)] = site
                wanted.update(site.reads)
            else:
                self.reasons[id(node)] = "no product reads its result: floats are finer here"
        order = [id(node) for node in self.graph.nodes]
        self.sites = {key: self.sites[key] for key in order if key in self.sites}

    def _scales(self) -> Placement:
        """Decide which values get codes, and group them."""
        values: dict[str, None] = {}
        for site in self.sites.values():
            for name in [*self._coded_reads(site), *self._coded_makes(site)]:
                values.setdefault(name)
        parent = {name: name for name in values}

        def root(name: str) -> str:
            while parent[name] != name:
                name = parent[name]
            return name

        moved: set[str] = set()
        symmetric: set[str] = set()
        for site in self.sites.values():
            if site.kind is Kind.MOVE:
                ends = [name for name in site.makes if name in values]
                moved.update(ends)
                first, *others = [root(name) for name in [*site.reads, *ends]]
                for other in others:
                    parent[root(other)] = root(first)
            right = self._right_sides(site)
            symmetric.update(right)
        groups: dict[str, Scale] = {}
        for name in values:
            scale = groups.setdefault(root(name), Scale([], []))
            scale.values.append(name)
            if name not in moved:
                scale.sources.append(name)
            scale.symmetric |= name in symmetric
        of = {name: groups[root(name)] for name in values}
        return Placement(self.graph, self.sites, list(groups.values()), of, self.reasons)

    def _right_sides(self, site: Site) -> list[str]:
        """Return the values that a MatMul reads where a weight would be."""
        if site.node.op != "MatMul" or 1 not in site.activations:
            return []
        return [site.node.inputs[1]]

    def _coded_reads(self, site: Site) -> list[str]:
        """Return the values that the site reads as codes on this target."""
        if self.target is Target.TENSORRT and site.node.op == "Add":
            # TensorRT adds inside the convolution: that branch has no codes, the other one has.
            for name in site.reads:
                maker = self._maker(name)
                if maker is not None and len(self.consumers[name]) == 1 and not maker.tail:
                    return [other for other in site.reads if other != name]
        return site.reads

    def _maker(self, name: str) -> Site | None:
        node = self.producers.get(name)
        site = self.sites.get(id(node)) if node is not None else None
        return site if site is not None and site.kind is Kind.PRODUCT else None

    def _coded_makes(self, site: Site) -> list[str]:
        """Return the values that the site makes as codes."""
        if site.kind is Kind.LOOKUP:
            return []
        return [
            name for name in site.makes if name not in self.choice.open and self._coded(site, name)
        ]

    def _coded(self, site: Site, name: str) -> bool:
        readers = self.consumers.get(name, [])
        sites = [self.sites[id(n)] for n in readers if id(n) in self.sites]
        if any(name in self._coded_reads(s) for s in sites if name in s.reads):
            return True
        if site.kind is Kind.MOVE:
            return True
        if any(name in s.reads for s in sites) or name in self.outputs:
            return False
        # onnxruntime computes a Conv in integers only if codes follow; on the way to an output
        # it may as well stay exact.
        return site.node.op == "Conv" and not self._ends(name)

    def _ends(self, name: str) -> bool:
        """Whether nothing but movement and averaging lies between a value and the outputs."""
        if name in self.outputs:
            return True
        readers = self.consumers.get(name, [])
        return all(node.op in MOVES | POOLS and self._ends(node.outputs[0]) for node in readers)
