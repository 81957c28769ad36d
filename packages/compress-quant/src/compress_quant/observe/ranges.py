"""From counts to a range: what a scale should cover.

* min-max: everything that was seen.
* average: the mean over samples of each sample's smallest and largest value; the moving average
  of other tools, with equal weights, so that the order of samples does not matter.
* percentile: all but a share of the values, half of it on each side.
* mse: the range with the smallest mean squared error of quantizing (Banner et al., 2019,
  https://arxiv.org/abs/1810.05723, section 3, found by search instead of a model).
* entropy: the range with the smallest divergence between the counts and what is left of them on
  the grid (Migacz, 2017, 8-bit inference with TensorRT, slides 28-34).

Every range holds 0.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import numpy as np

from ..affine import AffineParams, Array, fake_quantize, params_from_range
from ..grid import Grid
from .histogram import Histogram
from .statistics import Statistics

PERCENTILE = 99.99
Range = tuple[float, float]
Cost = Callable[[tuple[Array, Array], AffineParams, Grid], float]


class Observer(str, Enum):
    """How a range is chosen."""

    AUTO = "auto"
    MINMAX = "minmax"
    AVERAGE = "average"
    PERCENTILE = "percentile"
    MSE = "mse"
    ENTROPY = "entropy"


#: what ``auto`` tries, the first of equals wins
CANDIDATES = (
    Observer.MINMAX,
    Observer.MSE,
    Observer.PERCENTILE,
    Observer.AVERAGE,
    Observer.ENTROPY,
)


def range_of(
    statistics: Statistics, observer: Observer, grid: Grid, percentile: float = PERCENTILE
) -> Range:
    """Return the range that an observer (not AUTO) chooses; 0 .. 0 if nothing was seen."""
    histogram = statistics.histogram
    if histogram.empty:
        return 0.0, 0.0
    whole = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if observer is Observer.AVERAGE:
        low, high = statistics.mean_range
    elif observer is Observer.PERCENTILE:
        tail = (1.0 - percentile / 100.0) / 2.0
        low, high = histogram.quantile(tail), histogram.quantile(1.0 - tail)
    elif observer is Observer.MSE:
        low, high = _search(histogram, grid, _squared_error)
    elif observer is Observer.ENTROPY:
        low, high = _search(histogram, grid, _divergence)
    else:
        low, high = whole
    low, high = max(min(low, 0.0), whole[0]), min(max(high, 0.0), whole[1])
    # A tensor of a few outliers among zeros has percentiles of 0: that would lose them all.
    return (low, high) if high > low else whole


def params_for(
    statistics: Statistics, observer: Observer, grid: Grid, percentile: float
) -> AffineParams:
    """Return the parameters of one scale."""
    low, high = range_of(statistics, observer, grid, percentile)
    return params_from_range(np.array(low), np.array(high), grid)


def signal_to_noise(histogram: Histogram, params: AffineParams) -> float:
    """Return the decibels by which the values exceed the error of quantizing them.

    10 log10(sum x^2 / sum (x - x̂)^2); infinite where nothing is lost.
    """
    middles, counts = histogram.points()
    if not middles.size:
        return float("inf")
    noise = float((counts * (middles - _fake(middles, params)) ** 2).sum())
    signal = float((counts * middles**2).sum())
    if noise == 0.0:
        return float("inf")
    return float(10.0 * np.log10(signal / noise)) if signal else float("-inf")


def _fake(middles: Array, params: AffineParams) -> Array:
    found: Array = fake_quantize(middles.astype(np.float32), params).astype(np.float64)
    return found


#: parts of the whole range that a search tries
_SHRINK = np.linspace(1.0, 0.3, 71)


def _search(histogram: Histogram, grid: Grid, cost: Cost) -> Range:
    """Return the range of least cost: both ends drawn in together, then each alone."""
    points = histogram.points()
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)

    def costs(ranges: list[Range]) -> Range:
        values = [cost(points, params_from_range(np.array(a), np.array(b), grid), grid)
                  for a, b in ranges]  # fmt: skip
        return ranges[int(np.argmin(values))]

    best = costs([(low * s, high * s) for s in _SHRINK])
    if grid.symmetric or not (low < 0.0 < high):
        return best
    best = costs([best, *((low * s, best[1]) for s in _SHRINK)])
    return costs([best, *((best[0], high * s) for s in _SHRINK)])


def _squared_error(points: tuple[Array, Array], params: AffineParams, grid: Grid) -> float:
    middles, counts = points
    return float((counts * (middles - _fake(middles, params)) ** 2).sum())


def _divergence(points: tuple[Array, Array], params: AffineParams, grid: Grid) -> float:
    """Return KL(P, Q): P the clipped counts, Q the same with each code's share spread evenly."""
    middles, counts = points
    step = float(params.scale)
    level = np.rint(middles / step) + int(params.zero_point)
    code = np.clip(level, grid.qmin, grid.qmax).astype(np.int64) - grid.qmin
    inside = (level >= grid.qmin) & (level <= grid.qmax)
    # What is clipped is added to the outermost bins that stay; Q knows only those.
    p = np.where(inside, counts, 0.0)
    if not p.any():
        return float("inf")
    q = p.copy()
    for outside, end in ((level < grid.qmin, "low"), (level > grid.qmax, "high")):
        if outside.any():
            kept = np.where(inside, middles, np.inf if end == "low" else -np.inf)
            at = int(kept.argmin() if end == "low" else kept.argmax())
            p[at] += counts[outside].sum()
    used = q > 0
    mass = np.bincount(code[used], weights=q[used], minlength=grid.steps + 1)
    bins = np.bincount(code[used], minlength=grid.steps + 1)
    spread = np.zeros_like(q)
    spread[used] = mass[code[used]] / bins[code[used]]
    p, spread = p[used] / p[used].sum(), spread[used] / spread[used].sum()
    return float((p * np.log(p / spread)).sum())
