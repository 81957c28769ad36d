"""Static quantization: a float graph and calibration data in, integers and a ledger out.

::

    graph, ledger = quantize_static(read_onnx("model.onnx"), feeds)

The steps: prepare, place, observe in one pass, choose ranges, let go what is too sensitive,
equalize and correct biases where that helps, insert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from compress_tensor import Graph, InputError

from .affine import AffineParams, params_from_range
from .bias_correct import corrected
from .bits import Bits, activation_grid, ends_of
from .equalize import equalize
from .insert import Numbers, insert
from .ledger import Ledger, decisions
from .measure import Judge
from .observe import Observation, Observer, Statistics, combined, observe, params_for
from .observe.collect import Feeds
from .observe.ranges import CANDIDATES
from .place import Choice, Placement, Scale, place
from .prepare import prepare
from .recipe import Override, Recipe, When
from .sensitive import SAMPLES, keep_in_floats, spread_text
from .warn import warnings_for

#: told what is done: a step, how much of it is done, how much there is (None: unknown)
Progress = Callable[[str, int, int | None], None]

#: decibels by which a step must improve the network to be kept
_WORTH = 0.1
_WORTH_A_PASS = 0.5


def quantize_static(
    graph: Graph,
    data: Iterable[Feeds],
    recipe: Recipe | None = None,
    *,
    progress: Progress = lambda step, done, total: None,
) -> tuple[Graph, Ledger]:
    """Return the graph with explicit INT8 quantization (QDQ), and one decision per node.

    Args:
        graph: a float network.
        data: calibration samples: feeds, each an array per input; read once.
        recipe: how; by default `Recipe`'s defaults.
        progress: told what is done.

    Raises:
        InputError: if the graph or the data do not serve: see `prepare`, `place`, `observe`.
        LedgerError: with ``recipe.strict``, if a product stays in floats.
    """
    return _Static(recipe or Recipe(), progress).run(graph, data)


class _Static:
    """The working state of `quantize_static`."""

    def __init__(self, recipe: Recipe, progress: Progress) -> None:
        self.recipe = recipe
        self.progress = progress
        self.ledger = Ledger()

    def run(self, graph: Graph, data: Iterable[Feeds]) -> tuple[Graph, Ledger]:
        recipe = self.recipe
        prepared = prepare(graph)
        choice = Choice.of(recipe)
        _check_overrides(prepared, recipe)
        placement = place(prepared, recipe.target, choice)
        observation = self._observe(placement, data)
        judge = Judge(prepared, observation, recipe.threads)
        other = self._equalized(prepared, data, choice, observation, judge)
        if other is not None:
            placement = place(other, recipe.target, choice)
            observation = self._observe(placement, data)
        return self._finish(placement, choice, observation, judge)

    def _observe(self, placement: Placement, data: Iterable[Feeds]) -> Observation:
        return observe(
            placement.graph,
            data,
            placement.observed,
            memory=self.recipe.memory,
            threads=self.recipe.threads,
            progress=lambda done: self.progress("observing", done, None),
        )

    def _finish(
        self, placement: Placement, choice: Choice, observation: Observation, judge: Judge
    ) -> tuple[Graph, Ledger]:
        """Go from statistics to the quantized graph."""
        recipe, ledger = self.recipe, self.ledger
        ledger.samples = observation.samples
        placement, numbers = self._ranges(placement, choice, observation, judge)
        quantized = insert(placement, numbers, recipe.target)
        ledger.decibels = judge.decibels(quantized)
        if recipe.bias_correction is not When.OFF:
            placement, quantized = self._correct(placement, numbers, observation, judge, quantized)
        self._uncertainty(placement, observation)
        ledger.decisions = list(decisions(placement, numbers))
        ledger.warnings = warnings_for(placement, numbers, recipe.target)
        if recipe.strict:
            ledger.require()
        quantized.check()
        return quantized, ledger

    def _equalized(
        self,
        graph: Graph,
        data: Iterable[Feeds],
        choice: Choice,
        observation: Observation,
        judge: Judge,
    ) -> Graph | None:
        """Return the equalized graph if it is better on the samples kept, or if it must be.

        It has other ranges, so the data are read a second time: not done for one-time iterators.
        """
        when = self.recipe.equalize
        other = None if when is When.OFF else equalize(graph)
        if other is None:
            return None
        if iter(data) is data:
            if when is When.ON:
                raise InputError(
                    "equalization reads the calibration data twice; give a list, not an iterator"
                )
            return None
        found = []
        for each in (graph, other):
            placement = place(each, self.recipe.target, choice)
            small = observe(each, observation.batches(), placement.observed, keep=0)
            observer = Observer.MSE if self.recipe.observer is Observer.AUTO else None
            numbers = self._numbers(
                placement, by_scale(placement, small), observer or self.recipe.observer
            )
            found.append(judge.decibels(insert(placement, numbers, self.recipe.target)))
        self.ledger.tried["without equalization"], self.ledger.tried["equalization"] = found
        return other if when is When.ON or found[1] > found[0] + _WORTH_A_PASS else None

    def _ranges(
        self, placement: Placement, choice: Choice, observation: Observation, judge: Judge
    ) -> tuple[Placement, Numbers]:
        """Choose what stays in floats, then the observer."""
        recipe = self.recipe
        automatic = recipe.observer is Observer.AUTO
        names = CANDIDATES if automatic else (recipe.observer,)
        statistics = by_scale(placement, observation)
        # Where much is lost an observer that cuts ranges may look best: search with one that
        # does each value justice, compare observers once the rest is sound.
        searching = Observer.MSE if automatic else recipe.observer
        numbers = self._numbers(placement, statistics, searching)
        few = Judge(placement.graph, observation, recipe.threads, SAMPLES)

        def describe(scale: Scale) -> str:
            return spread_text(statistics[scale.values[0]].histogram, float(numbers[scale].scale))

        found = keep_in_floats(
            placement,
            choice,
            numbers,
            recipe.target,
            few,
            least=-np.inf if numbers.bits.narrow else recipe.least_decibels,
            describe=describe,
            progress=lambda done, total: self.progress("measuring values", done, total),
        )
        # A value that lost its partners keeps the statistics that it shared with them.
        before = {v: statistics[s.values[0]] for s in placement.scales for v in s.values}
        statistics = {s.values[0]: before[s.values[0]] for s in found.placement.scales}
        return found.placement, self._best(found.placement, statistics, judge, names)

    def _best(
        self,
        placement: Placement,
        statistics: Mapping[str, Statistics],
        judge: Judge,
        observers: tuple[Observer, ...],
    ) -> Numbers:
        """Return the numbers of the observer whose network is nearest to the float one."""
        best, reached = None, -np.inf
        for done, observer in enumerate(observers):
            numbers = self._numbers(placement, statistics, observer)
            if len(observers) == 1:
                self.ledger.observer = observer.value
                return numbers
            decibels = judge.decibels(insert(placement, numbers, self.recipe.target))
            self.ledger.tried[f"observer {observer.value}"] = decibels
            if best is None or decibels > reached:
                best, reached, self.ledger.observer = numbers, decibels, observer.value
            self.progress("choosing ranges", done + 1, len(observers))
        assert best is not None
        return best

    def _numbers(
        self, placement: Placement, statistics: Mapping[str, Statistics], observer: Observer
    ) -> Numbers:
        return numbers_of(self.recipe, placement, statistics, observer)

    def _correct(
        self,
        placement: Placement,
        numbers: Numbers,
        observation: Observation,
        judge: Judge,
        quantized: Graph,
    ) -> tuple[Placement, Graph]:
        """Correct biases; keep that if it helps, or if the recipe says so."""
        graph = corrected(placement, numbers, observation, self.recipe.threads)
        if graph is None:
            return placement, quantized
        again = moved(placement, graph)
        made = insert(again, numbers, self.recipe.target)
        decibels = judge.decibels(made)
        self.ledger.tried["bias correction"] = decibels
        kept = decibels > self.ledger.decibels + _WORTH
        if not kept and self.recipe.bias_correction is not When.ON:
            return placement, quantized
        self.ledger.decibels = decibels
        return again, made

    def _uncertainty(self, placement: Placement, observation: Observation) -> None:
        """Compare the ranges of the two halves of the samples; half of what differs remains."""
        found: dict[str, float] = {}
        for scale in placement.scales:
            halves = [
                [observation.statistics[name].halves[i] for name in scale.sources
                 if name in observation.statistics]
                for i in (0, 1)
            ]  # fmt: skip
            spans = [
                max((h.high for h in half if not h.empty), default=0.0)
                - min((h.low for h in half if not h.empty), default=0.0)
                for half in halves
            ]
            largest = max(spans)
            if min(spans) > 0.0:
                found[scale.values[0]] = abs(spans[0] - spans[1]) / (2.0 * largest)
        if found:
            worst = max(found, key=lambda name: found[name])
            self.ledger.uncertainty = float(np.median(list(found.values()))), found[worst]
            self.ledger.uncertain = worst


def numbers_of(
    recipe: Recipe,
    placement: Placement,
    statistics: Mapping[str, Statistics],
    observer: Observer,
) -> Numbers:
    """Return the parameters of all scales as an observer (not AUTO) chooses them."""
    found: dict[str, AffineParams] = {}
    makers = placement.graph.producers()
    bits = bits_of(placement, recipe)
    for scale in placement.scales:
        width = bits.of_scale(placement, scale)
        grid = activation_grid(recipe.target, recipe.activations, scale.symmetric, width)
        override = _override(recipe, makers, placement, scale)
        if override is not None and override.low is not None and override.high is not None:
            bounds = np.array(override.low), np.array(override.high)
            found[scale.values[0]] = params_from_range(*bounds, grid)
            continue
        chosen = override.observer if override and override.observer else observer
        chosen = Observer.MSE if chosen is Observer.AUTO else chosen
        found[scale.values[0]] = params_for(
            statistics[scale.values[0]], chosen, grid, recipe.percentile
        )
    return Numbers(found, bits)


def bits_of(placement: Placement, recipe: Recipe) -> Bits:
    """Return the widths that a recipe means for a placement."""
    return Bits(recipe.weight_bits, recipe.activation_bits, recipe.edge_bits, ends_of(placement))


def by_scale(placement: Placement, observation: Observation) -> dict[str, Statistics]:
    """Return the statistics of each scale, by its first value."""
    return {
        scale.values[0]: combined([observation.statistics[name] for name in scale.sources])
        for scale in placement.scales
    }


def _override(
    recipe: Recipe, makers: Mapping[str, object], placement: Placement, scale: Scale
) -> Override | None:
    """Return the last override that names a node that makes a value of the scale."""
    names: set[str] = set(scale.sources)
    for name in scale.sources:
        node = makers.get(name)
        names.add(str(getattr(node, "name", "")))
    for site in placement.sites.values():
        if any(made in scale.sources for made in site.makes):
            names.update((site.node.name, site.node.outputs[0]))
    found = [o for o in recipe.overrides if any(fnmatchcase(n, o.node) for n in names if n)]
    return found[-1] if found else None


def _check_overrides(graph: Graph, recipe: Recipe) -> None:
    names = [t for node in graph.nodes for t in (node.name, node.outputs[0]) if t]
    names += [value.name for value in graph.inputs]
    for each in recipe.overrides:
        if not any(fnmatchcase(name, each.node) for name in names):
            raise InputError(f"the override of {each.node!r} names no node of this graph")


def moved(placement: Placement, graph: Graph) -> Placement:
    """Return a placement for a graph with the same nodes and other constants."""
    twin = dict(zip(map(id, placement.graph.nodes), graph.nodes, strict=True))
    sites = {}
    for key, site in placement.sites.items():
        bias = None if site.bias is None else (twin[id(site.bias[0])], site.bias[1])
        node = twin[key]
        sites[id(node)] = replace(site, node=node, bias=bias, tail=[twin[id(n)] for n in site.tail])
    reasons = {id(twin[key]): why for key, why in placement.reasons.items() if key in twin}
    return Placement(graph, sites, placement.scales, placement.of, reasons)
