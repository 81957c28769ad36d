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
        found = interleave(calls, samples=samples, seconds=seconds)
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


def fraction(cell: Cell, name: str = OURS) -> float | None:
    """Return which part of the measured peak a candidate reaches, each at its best."""
    if name not in cell["seconds"] or not cell.get("peak"):
        return None
    rate: float = cell["operations"] / summarize(cell["seconds"][name]).best
    return rate / float(cell["peak"])
