"""Finding by measurement what must stay in floats.

The network is run once per scale with only that scale's values quantized, every other one in
floats: the noise that this alone leaves at the outputs.  Noises of different scales add up nearly
as if independent.  While the network as a whole is noisier than asked for, the scale that
contributes most goes back to floats, with the nodes that read it.

One graph serves all those runs: each pair of QuantizeLinear and DequantizeLinear is followed by a
``Where`` whose condition is an input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from compress_tensor import DType, Graph, InputError, Node, Value, compile  # noqa: A004

from .insert import Numbers, insert
from .measure import Judge, decibels_of, noise_of
from .observe import Histogram
from .place import Choice, Placement, Scale, place
from .target import Target

#: samples that are run per scale
SAMPLES = 16
#: a value goes back to floats only if it alone makes at least this part of the noise that is left
_LEAST_SHARE = 0.02
#: once the network is good enough, only one that makes this part: it alone more than halves it
_MOST_SHARE = 0.5

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Harm:
    """What quantizing one scale alone does.

    Attributes:
        scale: the values.
        decibels: signal to noise at the outputs, everything else in floats.
    """

    scale: Scale
    decibels: float


def harms(
    placement: Placement,
    numbers: Numbers,
    target: Target,
    judge: Judge,
    progress: Progress = lambda done, total: None,
) -> list[Harm]:
    """Return the harm of each scale, the worst first."""
    graph, switches = _switched(placement, insert(placement, numbers, target, weights=False))
    session = compile(graph, threads=judge.threads)
    off = {name: np.array(False) for name in switches.values()}
    found = []
    for done, scale in enumerate(placement.scales):
        name = switches.get(scale.values[0])
        if name is not None:
            made = judge.outputs(session, {**off, name: np.array(True)})
            found.append(Harm(scale, judge.compare(made)))
        progress(done + 1, len(placement.scales))
    return sorted(found, key=lambda harm: harm.decibels)


def _switched(placement: Placement, graph: Graph) -> tuple[Graph, dict[str, str]]:
    """Return the graph with a condition per scale, and the conditions by first value."""
    found = graph.copy()
    switches = {scale.values[0]: f"switch/{i}" for i, scale in enumerate(placement.scales)}
    makers = {node.outputs[0]: node for node in graph.nodes if node.op == "QuantizeLinear"}
    nodes: list[Node] = []
    for node in found.nodes:
        nodes.append(node)
        maker = makers.get(node.inputs[0]) if node.op == "DequantizeLinear" else None
        if maker is not None:
            name, floats = maker.inputs[0], node.outputs[0]
            node.outputs = [f"{floats}/coded"]
            switch = switches[placement.of[name].values[0]]
            nodes.append(Node("Where", [switch, node.outputs[0], name], [floats]))
    found.nodes = nodes
    found.inputs = [*found.inputs, *(Value(name, DType.BOOL, ()) for name in switches.values())]
    return found, switches


@dataclass(frozen=True)
class Found:
    """The result of a search.

    Attributes:
        placement: without what must stay in floats.
        choice: that made it.
        decibels: of the whole network.
        harms: all that were measured (empty: the network was good enough at once).
    """

    placement: Placement
    choice: Choice
    decibels: float
    harms: list[Harm]


def keep_in_floats(
    placement: Placement,
    choice: Choice,
    numbers: Numbers,
    target: Target,
    judge: Judge,
    *,
    least: float,
    describe: Callable[[Scale], str],
    progress: Progress = lambda done, total: None,
) -> Found:
    """Return the placement that reaches ``least`` decibels by leaving the worst in floats.

    Args:
        placement: with everything quantized that can be.
        choice: that made it.
        numbers: the scales; those of values keep their meaning when nodes drop out.
        target: who reads the file.
        judge: measures.
        least: decibels to reach.
        describe: says in words what the values of a scale are like.
        progress: of the measurements.
    """
    whole = judge.decibels(insert(placement, numbers, target))
    if whole >= least:
        return Found(placement, choice, whole, [])
    measured = harms(placement, numbers, target, judge, progress)
    left = sum(noise_of(harm.decibels) for harm in measured)
    for harm in measured:
        share = noise_of(harm.decibels) / left if left else 0.0
        if share < (_LEAST_SHARE if whole < least else _MOST_SHARE):
            break
        why = (
            f"quantizing what it reads ({harm.scale.values[0]!r}, {describe(harm.scale)}) alone "
            f"leaves {harm.decibels:.1f} dB of signal to noise at the outputs"
        )
        reasons = dict(choice.reasons)
        for site in placement.sites.values():
            if any(name in harm.scale.values for name in site.reads):
                reasons.setdefault(site.node.outputs[0], why)
        tried = replace(choice, reasons=reasons, open=choice.open | frozenset(harm.scale.values))
        try:
            placed = place(placement.graph, target, tried)
        except InputError:  # nothing would be left
            break
        kept = carried(numbers, placement, placed)
        reached = judge.decibels(insert(placed, kept, target))
        if reached > whole:
            placement, choice, numbers, whole = placed, tried, kept, reached
            left -= noise_of(harm.decibels)
    return Found(placement, choice, whole, measured)


def carried(numbers: Numbers, old: Placement, new: Placement) -> Numbers:
    """Return the numbers of a placement for one with fewer quantized nodes.

    A value that loses its partners keeps the scale that it shared with them.
    """
    kept = {scale.values[0]: numbers[old.of[scale.values[0]]] for scale in new.scales}
    return replace(numbers, of=kept)


def spread_text(histogram: Histogram, step: float) -> str:
    """Return in words how values lie between the codes."""
    middles, counts = histogram.points()
    if not counts.size:
        return "never seen"
    magnitude = np.abs(middles)
    order = np.argsort(magnitude)
    half = int(np.searchsorted(np.cumsum(counts[order]), counts.sum() / 2))
    median = float(magnitude[order][min(half, len(order) - 1)])
    return (
        f"range {histogram.low:.3g} .. {histogram.high:.3g}, half of the values within "
        f"{median:.2g}, codes {step:.2g} apart"
    )


__all__ = ["Found", "Harm", "carried", "decibels_of", "harms", "keep_in_floats", "spread_text"]
