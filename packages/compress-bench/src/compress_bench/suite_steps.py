"""Speed and memory of a training step beside torch, for four small networks of the zoo.

``python -m compress_bench.suite_steps --out docs/results`` writes steps.json as results come (an
interrupted run goes on) and steps.md.  No data are needed: the batches are random.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from compress_tensor import MissingExtraError
from compress_tensor.console import run
from compress_tensor.files import write_atomically

from . import machine
from .peak import Unit
from .race import OURS, SAMPLES, Cell, against, best_peer, fraction, peaks_of, race
from .results import Results
from .statistics import summarize
from .steps import SIDES, memory, steps_of, task
from .tables_training import machine_line

_SECONDS = 180.0  #: of a cell, at most (never below 5 samples)

_console = Console(highlight=False, markup=False, soft_wrap=True)


def measure(name: str, threads: int, samples: int = SAMPLES) -> Cell:
    """Return times of a step of each side in turn, and the memory of each alone.

    Raises:
        MissingExtraError: if torch is not installed.
    """
    given = task(name)
    sides = {side: steps_of(name, given, side, threads) for side in SIDES[name]}
    cell = race(sides, Unit.FP32, threads, given.operations, samples=samples, seconds=_SECONDS)
    first = next(iter(given.feeds.values()))
    cell["batch"] = list(first.shape)
    cell["memory"] = {side: memory(name, side, threads) for side in sides}
    return cell


def markdown(state: Mapping[str, Any]) -> str:
    """Return the page for what was measured."""
    held: Mapping[str, Cell] = state["cells"]
    lines = [
        "# A training step",
        "",
        machine_line(state["machine"]),
        "",
        (
            "Forward, backward and update of networks of the zoo, ours and torch in turn on the "
            "same batch, from the same weights, with the optimizer and the clipping of `compress-"
            "bench train`. Medians; torch in its faster layout; the ratio with its 95 % bootstrap "
            "interval (above 1: ours is faster). Share of peak: of the multiply-add rate measured "
            "beside, counting the products only. Memory: how much the resident size of a process "
            "of its own grows over libraries, weights and batch."
        ),
        "",
        (
            "| network | batch | threads | ours, ms | torch, ms | torch / ours | share of peak "
            "| memory ours, MB | memory torch, MB |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    peaks = peaks_of(held)
    lines += [_line(key, cell, peaks) for key, cell in held.items()]
    return "\n".join(lines) + "\n"


def _line(key: str, cell: Cell, peaks: Mapping[tuple[str, int], float]) -> str:
    peer = best_peer(cell)
    texts = [key.rsplit(" ", 1)[0], "x".join(map(str, cell["batch"])), str(cell["threads"])]
    texts.append(f"{1e3 * summarize(cell['seconds'][OURS]).median:.1f}")
    if peer is None:
        texts += ["", ""]
    else:
        ratio = against(cell, peer)
        assert ratio is not None
        texts.append(f"{1e3 * summarize(cell['seconds'][peer]).median:.1f} ({peer})")
        texts.append("{:.2f} [{:.2f}, {:.2f}]".format(*ratio))
    part = fraction(cell, peaks)
    texts.append("" if part is None else f"{part:.0%}")
    grown = {side: (m["peak"] - m["before"]) / 1e6 for side, m in cell["memory"].items()}
    texts.append(f"{grown.pop(OURS):.0f}")
    texts.append(f"{min(grown.values()):.0f}" if grown else "")
    return "| " + " | ".join(texts) + " |"


def suite() -> None:
    """Measure what is missing, write results and tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--only", default="", help="networks whose names begin so")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--samples", type=int, default=SAMPLES)
    given = parser.parse_args()
    results = Results(given.out / "steps.json", "steps", machine.describe(("numpy", "torch")))
    for threads in given.threads:
        for name in SIDES:
            key = f"{name} {threads}"
            if key in results.cells or not name.startswith(given.only):
                continue
            _console.print(key)
            try:
                results.keep(key, measure(name, threads, given.samples))
            except MissingExtraError as error:
                _console.print(f"{key}: {error}")
    with write_atomically(given.out / "steps.md") as file:
        file.write(markdown(results.state).encode())


if __name__ == "__main__":
    run(suite)
