"""Gradient checkpointing: activations inside of segments are computed again instead of kept.

Griewank and Walther, 2000; Chen et al., 2016, "Training deep nets with sublinear memory cost".
A graph is cut so that what is kept between segments, plus what one segment keeps while it is
gone back through, fits a budget.  Gradients are the same bytes: the second computation repeats
the first, and contributions are added in the same order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from compress_tensor import InputError, Node, Tensor
from compress_tensor.promotion import FLOATS

from .backward import pull
from .errors import BudgetError
from .function import Function
from .fused import has_relu
from .nodes import Step, Value
from .rules.recurrent_training import kept_bytes
from .rules.registry import RULES
from .tape import no_grad

if TYPE_CHECKING:
    from .trainable import Trainable

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_TRIES = 64  #: sizes of a segment that are tried


def parse_memory(text: str | float) -> int:
    """Return bytes from a number or a text such as ``"2GB"`` or ``"512 MiB"``.

    Raises:
        InputError: if it is none.
    """
    found = re.fullmatch(r"\s*([0-9.]+)\s*([A-Za-z]*)\s*", str(text))
    try:
        if found is None:
            raise ValueError
        return int(float(found[1]) * _UNITS[found[2].upper()])
    except (ValueError, KeyError) as error:
        raise InputError(f"{text!r} is no amount of memory; write it as '2GB'") from error


def readable(nbytes: float) -> str:
    """Return bytes as people write them."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= size:
            return f"{nbytes / size:.2f} {unit}"
    return f"{nbytes:.0f} bytes"


@dataclass
class Costs:
    """What a step takes, in bytes.

    Attributes:
        weights: parameters, buffers and their gradients.
        size: of every value; views count 0.
        root: whose memory a value shows.
        saved: per node, the values that going back needs.
        working: per node, what computing it and going back through it takes beside that.
    """

    weights: int
    size: dict[str, int] = field(default_factory=dict)
    root: dict[str, str] = field(default_factory=dict)
    saved: list[set[str]] = field(default_factory=list)
    working: list[int] = field(default_factory=list)

    def kept(self, first: int, last: int) -> int:
        """Return what nodes from ``first`` to before ``last`` keep."""
        names: set[str] = set().union(*self.saved[first:last])
        return sum(self.size.get(name, 0) for name in names)


def measure(model: Trainable, feeds: Mapping[str, Any]) -> Costs:
    """Run a model forward once, keeping nothing, to learn the sizes of all values."""
    held = [*model.parameters.values(), *model.buffers.values()]
    costs = Costs(sum(t.nbytes for t in [*held, *model.parameters.values()]))
    with no_grad(), model.replaying():
        values = model.start(feeds)
        constant = {name for name in values if name not in feeds}
        followed = set(model.parameters)
        for step in model.steps:
            model.run([step], values, keep=True)
            _note(costs, step, values, constant, followed)
            for name in step.dies:
                values.pop(name, None)
    return costs


def _note(
    costs: Costs,
    step: Step,
    values: Mapping[str, Value],
    constant: set[str],
    followed: set[str],
) -> None:
    """Take note of what a node made, and of what going back through it needs."""
    node = step.node
    given = [values.get(name) if name else None for name in node.inputs]
    homes = {
        id(v._storage): costs.root.get(n, n)
        for n, v in zip(node.inputs, given, strict=True)
        if isinstance(v, Tensor)
    }
    moved = 0
    for name in node.outputs:
        made = values.get(name) if name else None
        if not isinstance(made, Tensor):
            continue
        home = homes.get(id(made._storage))
        costs.root[name] = name if home is None else home
        if home is None:
            costs.size[name] = made._storage.memory.nbytes
            moved += made.nbytes
    read = sum(v.nbytes for v in given if isinstance(v, Tensor))
    rule = RULES.get(node.op)
    gates = kept_bytes(node.op, given)
    composed = rule is None or (rule.joint is not None and node.op != "BatchNormalization")
    clipped = moved if has_relu(node) else 0
    costs.working.append((3 if composed and not gates else 1) * (moved + read) + gates + clipped)
    needs = [name in followed for name in node.inputs]
    kept = _saved(node, needs) if any(needs) else []
    if gates and kept:
        kept = [*kept, f"the gates of {node.label}"]
        costs.size[kept[-1]] = gates
    costs.saved.append({costs.root.get(name, name) for name in kept if name} - constant)
    if any(needs):
        followed.update(name for name in node.outputs if name)


def _saved(node: Node, needs: Sequence[bool]) -> list[str]:
    """Return the values that an operator's rule asks for; all, where that is not known."""
    rule = RULES.get(node.op)
    if rule is None or node.op == "BatchNormalization":
        return [*node.inputs, *(node.outputs if has_relu(node) else ())]
    found: list[str] = []
    for _, place in rule.saves(needs):
        source = node.outputs if place.output else node.inputs
        found += source if place.every else source[place.index : place.index + 1]
    return found


@dataclass(frozen=True)
class Segment:
    """A stretch of nodes.

    Attributes:
        steps: the nodes.
        reads: values from before.
        makes: values that are read behind it.
        again: whether it is computed again; else it is recorded as usual.
    """

    steps: Sequence[Step]
    reads: Sequence[str]
    makes: Sequence[str]
    again: bool


def _cuts(costs: Costs, most: int) -> list[int]:
    """Cut greedily so that no segment keeps more than ``most`` (single nodes may)."""
    found = [0]
    names: set[str] = set()
    size = 0
    for n, saved in enumerate(costs.saved):
        fresh = sum(costs.size.get(name, 0) for name in saved - names)
        if size + fresh > most and n > found[-1]:
            found.append(n)
            names, size = set(), 0
            fresh = sum(costs.size.get(name, 0) for name in saved)
        names |= saved
        size += fresh
    return [*found, len(costs.saved)]


def _crossing(steps: Sequence[Step], outputs: Sequence[str]) -> list[set[str]]:
    """Return, for every place between nodes, the values that are made before and read behind."""
    last = {name: n for n, step in enumerate(steps) for name in step.node.inputs if name}
    last.update(dict.fromkeys(outputs, len(steps)))
    found: list[set[str]] = [set()]
    for n, step in enumerate(steps):
        alive = found[-1] | {name for name in step.node.outputs if name}
        found.append({name for name in alive if last.get(name, -1) > n})
    return found


@dataclass(frozen=True)
class Need:
    """What a way to cut takes, in bytes: in all, and what of it is computed again."""

    total: int
    again: int


def _needs(costs: Costs, cuts: list[int], crossing: Sequence[int]) -> list[Need]:
    """Return what is needed if the first 0, 1, 2, ... segments are computed again.

    Going back takes what is recorded of the rest, then one segment after the other, each with
    what was kept between those before it.
    """
    pairs = list(pairwise(cuts))
    parts = [costs.kept(a, b) for a, b in pairs]
    work = [max(costs.working[a:b], default=0) for a, b in pairs]
    found, between, peak = [], 0, 0
    for n in range(len(pairs) + 1):
        rest = between + sum(parts[n:]) + max(work[n:], default=0)
        found.append(Need(costs.weights + max(peak, rest), sum(parts[:n])))
        if n < len(pairs):
            here = crossing[cuts[n + 1]]
            peak = max(peak, between + here + parts[n] + work[n])
            between += here
    return found


def _choose(costs: Costs, budget: int, crossing: Sequence[int]) -> tuple[list[int], int, Need]:
    """Return how to cut so that it fits, with least to compute again.

    Returns:
        Cuts, segments computed again, and what that needs; the one that needs least memory if
        none fits.
    """
    whole = costs.kept(0, len(costs.saved))
    best: tuple[list[int], int, Need] | None = None
    known: list[int] = []
    for n in range(_TRIES):
        cuts = _cuts(costs, int(whole * 0.9**n))
        if cuts == known:
            continue
        known = cuts
        for again, need in enumerate(_needs(costs, cuts, crossing)):
            if best is None or _better(need, best[2], budget):
                best = cuts, again, need
    assert best is not None
    return best


def _better(new: Need, old: Need, budget: int) -> bool:
    if (new.total <= budget) != (old.total <= budget):
        return new.total <= budget
    return new.again < old.again if new.total <= budget else new.total < old.total


def plan_segments(
    model: Trainable, feeds: Mapping[str, Any], budget: int, *, recompute: bool
) -> list[Segment]:
    """Return segments with which a step for inputs like these fits the budget.

    Raises:
        BudgetError: if there are none, saying what is needed where, and the remedy.
    """
    costs = measure(model, feeds)
    (plain,) = _needs(costs, [0, len(costs.saved)], [0] * (len(costs.saved) + 1))[:1]
    if plain.total <= budget:
        return [Segment(model.steps, (), (), again=False)]
    if not recompute:
        raise BudgetError(
            f"{_refusal(costs, plain, budget)}; pass checkpointing=True to compute "
            "activations again instead of keeping them, or make the batch smaller"
        )
    alive = _crossing(model.steps, model.outputs)
    bytes_at = [sum(costs.size.get(costs.root.get(n, n), 0) for n in names) for names in alive]
    cuts, again, need = _choose(costs, budget, bytes_at)
    if need.total > budget:
        raise BudgetError(
            f"{_refusal(costs, plain, budget)}; computing activations again brings it down "
            f"to {readable(need.total)}, no further: make the batch smaller or the budget larger"
        )
    found = []
    for n, (a, b) in enumerate(pairwise(cuts)):
        steps = model.steps[a:b]
        inside = {name for step in steps for name in step.node.outputs if name}
        reads = [name for step in steps for name in step.node.inputs if name and name not in inside]
        order = [name for step in steps for name in step.node.outputs if name in alive[b]]
        found.append(Segment(steps, list(dict.fromkeys(reads)), order, again=n < again))
    return found


def _refusal(costs: Costs, need: Need, budget: int) -> str:
    """Say what a step needs and where most of it goes."""
    saved: set[str] = set().union(*costs.saved)
    name = max(saved, key=lambda n: costs.size.get(n, 0), default="")
    kept = costs.kept(0, len(costs.saved))
    return (
        f"a training step needs {readable(need.total)} of memory, but the budget is "
        f"{readable(budget)}: weights and gradients {readable(costs.weights)}, activations kept "
        f"for going back {readable(kept)} (the largest is {name!r}, "
        f"{readable(costs.size.get(name, 0))})"
    )


class _Again(Function):
    """A segment that is run without a tape, and once more on it when going back."""

    def __init__(self, model: Trainable, segment: Segment, rest: dict[str, Value]) -> None:
        super().__init__()
        self.model = model
        self.segment = segment
        self.rest = rest  # what is no float tensor
        self.others: dict[str, Value] = {}
        self.position = model.generator.position

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run, keeping only what comes in and goes out."""
        self.save(*inputs)
        return self._run(inputs)

    def names(self) -> list[str]:
        """Return the values that the inputs are."""
        return [name for name in self.segment.reads if name not in self.rest]

    def _run(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        values = {**self.rest, **dict(zip(self.names(), inputs, strict=True))}
        self.model.run(self.segment.steps, values)
        found = []
        for name in self.segment.makes:
            value = values[name]
            if isinstance(value, Tensor) and value.dtype in FLOATS:
                found.append(value)
            else:
                self.others[name] = value
        return tuple(found)

    def vjp(self, *grads: Tensor | None) -> Any:
        """Run again on the tape, and go back through that."""
        with self.model.replaying(self.position):
            return pull(lambda *x: self._run(x), self.saved, self.needs, grads, parts=True)


def run_segments(
    model: Trainable, segments: Sequence[Segment], values: dict[str, Value]
) -> dict[str, Value]:
    """Run a graph segment by segment; returns all values that outputs may be."""
    for segment in segments:
        if not segment.again:
            model.run(segment.steps, values)
            continue
        rest = {
            name: values[name]
            for name in segment.reads
            if not (isinstance(values[name], Tensor) and values[name].dtype in FLOATS)
        }
        call = _Again(model, segment, rest)
        found = call(*(values[name] for name in call.names()))
        values.update(call.others)
        names = [name for name in segment.makes if name not in call.others]
        values.update(zip(names, found, strict=True))
        for step in segment.steps:
            for name in step.dies:
                values.pop(name, None)
    return values
