"""How quantization noise accumulates over the layers of a network.

Between two values of the network lies a segment.  Each segment is quantized alone, everything else
in floats, and the error that this leaves is measured at every value behind it; then all segments
together.  Errors of different segments that are independent add in power (the variance of a sum of
independent variables is the sum of their variances), so the noise at a value should be the sum of
what the segments before it leave there: a random walk, one step per layer.  Where the measured
noise departs from that sum the errors are correlated or large enough to bend the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from compress_tensor import Graph, InputError, Value, compile  # noqa: A004

from .affine import Array
from .insert import Numbers, insert
from .observe import Observation, Observer, observe
from .observe.collect import Feeds
from .place import Choice, Placement, place
from .prepare import prepare
from .recipe import Recipe
from .static import by_scale, numbers_of


@dataclass(frozen=True)
class Accumulation:
    """Errors of a quantized network from value to value.

    Powers are sums of squares over all elements and samples, in float64.

    Attributes:
        values: n names, from the input to the output.
        signal: power of each value in the float network, shape (n,).
        noise: power of its error with every segment quantized, shape (n,).
        alone: power of the error of value ``j`` with segment ``i`` quantized alone, at ``[i, j]``;
            segment ``i`` ends where value ``i`` is made, shape (n, n), zero for ``j < i``.
    """

    values: tuple[str, ...]
    signal: Array
    noise: Array
    alone: Array

    @property
    def decibels(self) -> Array:
        """Signal to noise of each value with everything quantized, shape (n,)."""
        return _decibels(self.signal, self.noise)

    @property
    def independent(self) -> Array:
        """What `decibels` would be if the errors of the segments were independent, shape (n,)."""
        return _decibels(self.signal, self.alone.sum(axis=0))

    @property
    def own(self) -> Array:
        """Signal to noise of each value with its own segment quantized only, shape (n,)."""
        return _decibels(self.signal, np.diagonal(self.alone))

    @property
    def gain(self) -> Array:
        """Power that a segment's error gains or loses on its way to the last value, shape (n,)."""
        own = np.diagonal(self.alone)
        gain: Array = np.divide(self.alone[:, -1], own, out=np.zeros_like(own), where=own > 0)
        return gain

    @property
    def walk(self) -> Array:
        """Signal to noise by the law of the random walk, from `own` only, shape (n,).

        Each segment adds its own ratio of noise to signal, and what is there already grows or
        shrinks with the signal: ``-10 log10(sum over i <= j of 10^(-own_i / 10))``.
        """
        return -10.0 * np.log10(np.cumsum(10.0 ** (-self.own / 10.0)))


def residual_values(graph: Graph) -> list[str]:
    """Return the value behind each addition of two computed values (of its Relu, if it has one)."""
    readers = graph.consumers()
    made = {name for node in graph.nodes if node.op != "Constant" for name in node.outputs}
    made |= {value.name for value in graph.inputs}
    found = []
    for node in graph.nodes:
        if node.op != "Add" or not all(name in made for name in node.inputs):
            continue
        behind = readers.get(node.outputs[0], [])
        if len(behind) == 1 and behind[0].op in ("Relu", "Clip"):
            node = behind[0]
        found.append(node.outputs[0])
    return found


def noise_by_depth(
    graph: Graph,
    data: Iterable[Feeds],
    recipe: Recipe | None = None,
    values: Sequence[str] | None = None,
) -> Accumulation:
    """Measure how the noise of static quantization grows from value to value.

    Args:
        graph: a float network with one float output.
        data: calibration samples; what is measured is measured on those that `observe` keeps.
        recipe: widths, target, observer (AUTO: MSE), threads; equalization, bias correction and
            the search for sensitive nodes are left out, so that every layer makes its noise.
        values: names in the order of the nodes that make them; by default `residual_values`.  The
            output comes after them.

    Raises:
        InputError: if a value is not made by a node, or they are out of order.
    """
    recipe = recipe or Recipe()
    prepared = prepare(graph)
    placement = place(prepared, recipe.target, Choice.of(recipe))
    (output,) = (value.name for value in prepared.outputs)
    names = [*(residual_values(prepared) if values is None else values), output]
    segments = _segments(prepared, list(dict.fromkeys(names)))
    observation = observe(
        placement.graph, data, placement.observed, memory=recipe.memory, threads=recipe.threads
    )
    observer = Observer.MSE if recipe.observer is Observer.AUTO else recipe.observer
    numbers = numbers_of(recipe, placement, by_scale(placement, observation), observer)
    return _measured(placement, numbers, recipe, observation, segments)


@dataclass(frozen=True)
class _Segment:
    """What is quantized between two values: of the first the codes, of the last not."""

    values: frozenset[str]
    products: frozenset[str]


def _segments(graph: Graph, names: list[str]) -> dict[str, _Segment]:
    """Return the segments by the value at their end."""
    found: dict[str, _Segment] = {}
    values = {value.name for value in graph.inputs}
    products: set[str] = set()
    left = list(names)
    for node in graph.nodes:
        products.add(node.outputs[0])
        if left and left[0] in node.outputs:
            found[left.pop(0)] = _Segment(frozenset(values), frozenset(products))
            values, products = set(), set()
        values.update(node.outputs)
    if left:
        raise InputError(
            f"no node makes {left[0]!r} behind the values named before it; "
            "name values in the order of the nodes"
        )
    return found


def _measured(
    placement: Placement,
    numbers: Numbers,
    recipe: Recipe,
    observation: Observation,
    segments: dict[str, _Segment],
) -> Accumulation:
    names = list(segments)
    shown = placement.graph.copy()
    shown.outputs = [Value(name) for name in names]
    placement = replace(placement, graph=shown)
    batches = list(observation.batches())

    def run(graph: Graph) -> list[dict[str, Array]]:
        session = compile(graph, threads=recipe.threads)
        return [session.run(batch) for batch in batches]

    expected = run(shown)

    def powers(found: list[dict[str, Array]] | None) -> Array:
        total = np.zeros(len(names))
        for n, batch in enumerate(expected):
            for j, name in enumerate(names):
                error = batch[name].astype(np.float64)
                if found is not None:
                    error = error - found[n][name]
                total[j] += float((error**2).sum())
        return total

    def noise(values: frozenset[str], products: frozenset[str]) -> Array:
        chosen = {"weights": products, "activations": values}
        return powers(run(insert(placement, numbers, recipe.target, **chosen)))

    alone = [noise(each.values, each.products) for each in segments.values()]
    every = segments.values()
    whole = noise(
        frozenset().union(*(each.values for each in every)),
        frozenset().union(*(each.products for each in every)),
    )
    return Accumulation(tuple(names), powers(None), whole, np.array(alone))


def _decibels(signal: Array, noise: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(noise > 0, 10.0 * np.log10(signal / noise), np.inf)
