"""One cell of a benchmark: several candidates on the same task, in turn, beside the peak."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .clock import interleave
from .peak import Unit, peak_of
from .statistics import ratio_interval, summarize

OURS = "ours"
PEAK = "peak"
SAMPLES = 20
#: seconds one sample lasts at least: threads that sleep are awake for most of it
_MINIMUM = 2e-3
#: significant digits of a stored time
_DIGITS = 5

Cell = dict[str, Any]


def race(
    candidates: Mapping[str, Callable[[], object]],
    unit: Unit,
    threads: int,
    operations: int,
    *,
    samples: int = SAMPLES,
    seconds: float = float("inf"),
) -> Cell:
    """Return what was measured, as JSON can hold it.

    Args:
        candidates: what to call, by name; ours is `OURS`.
        unit: whose peak is measured along.
        threads: that each candidate uses.
        operations: of one call, a multiplication and an addition counting as two.
        samples: of each candidate.
        seconds: stop early, though never below 5 samples.
    """
    peak = peak_of(unit, threads)
    calls = dict(candidates)
    if peak is not None:
        calls[PEAK] = peak
    try:
        found = interleave(calls, samples=samples, seconds=seconds, minimum=_MINIMUM)
    finally:
        if peak is not None:
            peak.close()
    times = {name: [float(f"{t:.{_DIGITS}g}") for t in values] for name, values in found.items()}
    cell: Cell = {"unit": unit.value, "threads": threads, "operations": operations}
    spent = times.pop(PEAK, None)
    if peak is not None and spent is not None:
        cell["peak"] = peak.operations / summarize(spent).best
    return {**cell, "seconds": times}


def best_peer(cell: Cell) -> str | None:
    """Return the rival with the lowest median, or None without rivals."""
    medians = {n: summarize(v).median for n, v in cell["seconds"].items() if n != OURS}
    return min(medians, key=lambda name: medians[name]) if medians else None


def against(cell: Cell, peer: str) -> tuple[float, float, float] | None:
    """Return the peer's time by ours, with its 95 % interval; None if one is missing."""
    seconds = cell["seconds"]
    if OURS not in seconds or peer not in seconds:
        return None
    return ratio_interval(seconds[peer], seconds[OURS])


def peaks_of(cells: Mapping[str, Cell]) -> dict[tuple[str, int], float]:
    """Return the best peak that a run saw, by type and threads.

    Neighbours on the machine can only lower one: each cell has its own, and the best is nearest.
    """
    found: dict[tuple[str, int], float] = {}
    for cell in cells.values():
        if "peak" in cell:
            key = cell["unit"], cell["threads"]
            found[key] = max(found.get(key, 0.0), float(cell["peak"]))
    return found


def fraction(cell: Cell, peaks: Mapping[tuple[str, int], float]) -> float | None:
    """Return which part of the measured peak ours reaches at its best."""
    peak = peaks.get((cell["unit"], cell["threads"]))
    if OURS not in cell["seconds"] or peak is None:
        return None
    rate: float = cell["operations"] / summarize(cell["seconds"][OURS]).best
    return rate / peak
