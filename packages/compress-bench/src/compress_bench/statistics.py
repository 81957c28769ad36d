"""Uncertainty of what is measured: proportions, and ratios of interleaved times."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import median

import numpy as np

Z95 = 1.959964  #: two-sided 95 % of a normal distribution


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a proportion (Wilson, 1927)."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = hits / n, Z95 * Z95
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Times:
    """Seconds per run of one candidate.

    Attributes:
        median: of all runs.
        best: the fastest run.
        runs: how many were taken.
    """

    median: float
    best: float
    runs: int


def summarize(seconds: list[float]) -> Times:
    """Return median, best and number of runs."""
    return Times(median(seconds), min(seconds), len(seconds))


def ratio_interval(
    numerator: list[float], denominator: list[float], *, draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Return the ratio of medians and its 95 % bootstrap interval.

    Runs are paired (taken in turn), so pairs are drawn.
    """
    a, b = np.asarray(numerator), np.asarray(denominator)
    picks = np.random.default_rng(seed).integers(0, len(a), (draws, len(a)))
    ratios = np.median(a[picks], axis=1) / np.median(b[picks], axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(np.median(a) / np.median(b)), float(low), float(high)
