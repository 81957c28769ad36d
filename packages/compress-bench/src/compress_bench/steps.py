"""One step of training, ours and torch's: forward, backward, update, on the same batch.

    python -m compress_bench.steps NETWORK SIDE THREADS

takes a few steps in a process that does nothing else and prints JSON: resident bytes before
(libraries imported, weights and batch in memory) and at their peak, and the losses.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from compress_autograd import Trainable, cross_entropy
from compress_autograd.optim import clip_grad_norm
from compress_export.cost import cost_of
from compress_tensor import Graph, InputError
from compress_tensor.eager import set_num_threads

from .race import OURS
from .runtimes import Array
from .startup import alone, resident
from .training.material import PIECE
from .training.recipes import Recipe, recipe
from .zoo import build, feeds_for

TORCH, CHANNELS_LAST = "torch", "torch channels_last"
#: what trains each network
SIDES = {
    "resnet20": (OURS, TORCH, CHANNELS_LAST),
    "vit_tiny": (OURS, TORCH),
    "text_classifier": (OURS, TORCH),
    "char_lstm": (OURS, TORCH),
}
MEASURED = 4  #: steps in a process of its own
SCHEDULE = 10_000  #: steps of the learning rate's cycle: more than anybody takes
_SEED = 7

Step = Callable[[], float]  #: returns the loss


@dataclass(frozen=True)
class Task:
    """What both sides train.

    Attributes:
        graph: with initial weights; its output has the classes last.
        recipe: batch size, optimizer, rates.
        feeds: a batch.
        labels: one per sample, or per character.
    """

    graph: Graph
    recipe: Recipe
    feeds: dict[str, Array]
    labels: Array

    @property
    def operations(self) -> int:
        """Of the products of a step: each has two more like it on the way back."""
        shapes = {name: array.shape for name, array in self.feeds.items()}
        return 3 * 2 * cost_of(self.graph, shapes).macs


def task(name: str, batch: int | None = None) -> Task:
    """Return what is trained for a network of the zoo.

    Args:
        name: one of `SIDES`.
        batch: samples; as the recipe says unless given.

    Raises:
        InputError: if nobody trains it here.
    """
    if name not in SIDES:
        raise InputError(f"no steps of {name!r} are measured; there are {', '.join(SIDES)}")
    graph, chosen = build(name), recipe(name)
    feeds = feeds_for(graph, batch or chosen.batch, T=PIECE)
    for value in graph.inputs[1:]:
        if len(value.shape or ()) == 3:  # a recurrent state
            feeds[value.name] = np.zeros_like(feeds[value.name])
    rng = np.random.default_rng(_SEED)
    first = feeds[graph.inputs[0].name]
    if name == "char_lstm":
        (classes,) = graph.constants["decoder.bias"].shape
        return Task(graph, chosen, feeds, rng.integers(0, classes, first.size))
    classes = {"text_classifier": 2}.get(name, 10)
    return Task(graph, chosen, feeds, rng.integers(0, classes, len(first)))


def ours(given: Task) -> Step:
    """Return a function that takes one step more with our engine."""
    model = Trainable(given.graph)
    optimizer = given.recipe.optimizer(model.parameters, given.recipe.lr, SCHEDULE)
    clip = given.recipe.clip

    def step() -> float:
        scores = model(given.feeds)["output"]
        loss = cross_entropy(scores.reshape((-1, scores.shape[-1])), given.labels)
        value = float(loss.item())
        loss.backward()
        if clip is not None:
            clip_grad_norm(model.parameters, clip)
        optimizer.step()
        optimizer.zero_grad()
        return value

    return step


def steps_of(name: str, given: Task, side: str, threads: int) -> Step:
    """Return the step of a side (one of `SIDES`), the process being set to so many threads.

    Raises:
        MissingExtraError: if torch is wanted and not installed.
    """
    if side == OURS:
        set_num_threads(threads)
        return ours(given)
    from .peers_steps import theirs

    return theirs(name, given, threads, channels_last=side == CHANNELS_LAST)


def memory(name: str, side: str, threads: int) -> dict[str, Any]:
    """Return what a process of its own says of a side's memory.

    Raises:
        UnsupportedError: if that process fails.
    """
    return alone(__name__, (name, side, str(threads)), f"{name}, {side} does not train")


def _main() -> None:
    name, side, threads = sys.argv[1:]
    given = task(name)
    if side != OURS:
        from .peers_torch import import_torch

        import_torch()
    before = resident("VmRSS")
    step = steps_of(name, given, side, int(threads))
    losses = [step() for _ in range(MEASURED)]
    found = {"before": before, "peak": resident("VmHWM"), "losses": losses}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    _main()
