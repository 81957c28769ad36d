"""A training step of BERT-Large in little memory: refused, plain, and with checkpointing.

Each runs in a process of its own, so that the largest resident size is its own:
``python -m compress_bench.suite_memory plain`` prints one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rich.console import Console

from compress_autograd import Trainable, cross_entropy
from compress_autograd.errors import BudgetError
from compress_autograd.optim import SGD
from compress_tensor import FileError, Graph, InputError
from compress_tensor.eager import set_num_threads

from .suite_calibration import peak_resident
from .zoo import Initial, feeds_for
from .zoo.transformer import BERT_LARGE, bert

SEQUENCE, BATCH = 512, 2
STEPS = 2  #: the first also plans, the second is timed


@dataclass(frozen=True)
class Case:
    """A way to train.

    Attributes:
        memory: the budget for weights, gradients and activations.
        checkpointing: whether activations may be computed again.
    """

    memory: str | None
    checkpointing: bool


CASES = {
    "refused": Case("3.5GB", False),
    "plain": Case(None, False),
    "checkpointing 3.5 GB": Case("3.5GB", True),
    "checkpointing 3 GB": Case("3GB", True),
}


def measure_case(name: str, threads: int) -> dict[str, Any]:
    """Return what `step` says of BERT-Large, from a process of its own.

    Raises:
        FileError: if the process breaks down.
    """
    command = [sys.executable, "-m", __name__, name, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise FileError(f"training BERT-Large ({name}) broke down: {last}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def step(build: Callable[[], Graph], case: Case, batch: int) -> dict[str, Any]:
    """Train two steps; returns the loss, the time of the second, segments and peak memory.

    If the budget is refused, only ``refused``: what the error says.
    """
    graph = build()
    feeds = feeds_for(graph, batch)
    model = Trainable(graph, memory=case.memory, checkpointing=case.checkpointing)
    del graph  # the model holds the weights
    optimizer = SGD(model.parameters, 1e-3)
    labels = np.arange(batch) % 2
    losses, seconds = [], 0.0
    for _ in range(STEPS):
        start = time.perf_counter()
        try:
            loss = cross_entropy(model(feeds)["output"], labels)
        except BudgetError as error:
            return {"refused": str(error)}
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.item()))
        seconds = time.perf_counter() - start
    segments = model.segments(feeds)
    return {
        "losses": losses,
        "seconds": seconds,
        "segments": len(segments),
        "computed_again": sum(s.again for s in segments),
        "peak_resident_bytes": peak_resident(),
    }


def _main() -> None:
    name, threads = sys.argv[1], int(sys.argv[2])
    if name not in CASES:
        raise InputError(f"there is no case {name!r}; there are {', '.join(CASES)}")
    set_num_threads(threads)
    build = partial(bert, Initial(0), BERT_LARGE, SEQUENCE, classes=2)
    found = {"sequence": SEQUENCE, "batch": BATCH, "threads": threads, "memory": CASES[name].memory}
    found |= step(build, CASES[name], BATCH)
    Console(highlight=False, markup=False, soft_wrap=True).print(json.dumps(found))


if __name__ == "__main__":
    _main()
