"""Counts of values in bins that only ever double in width.

Bins are ``[i * 2**e, (i + 1) * 2**e)`` for integers i.  The exponent e is the smallest for which
the range seen so far needs at most ``bins`` bins, so it depends on that range alone, and never
falls as the range grows.  Two neighbours ``2j`` and ``2j + 1`` make exactly one bin j of the next
exponent.  So the counts are those of one pass over all data at the final exponent, whatever the
order in which values came and however they were split and merged: integers, hence the same bytes.
"""

from __future__ import annotations

from math import frexp, ldexp

import numpy as np

from compress_tensor import InputError
from compress_tensor.counting import count_bins

from ..affine import Array

BINS = 4096
#: float32 has 24 bits: finer bins than this, relative to the largest value, are never needed
_INDEX_BITS = 24


class Histogram:
    """How often which values came: exact smallest and largest, zeros apart, the rest in bins.

    Args:
        bins: most bins to keep (8 bytes each).
    """

    def __init__(self, bins: int = BINS) -> None:
        if bins < 2:
            raise InputError(f"a histogram needs at least 2 bins, not {bins}")
        self.bins = bins
        self.low = np.inf
        self.high = -np.inf
        self.zeros = 0
        self.exponent = 0
        self.first = 0
        self.counts: Array = np.zeros(0, np.int64)

    @property
    def total(self) -> int:
        """How many values were counted."""
        return self.zeros + int(self.counts.sum())

    @property
    def empty(self) -> bool:
        """Whether no value came."""
        return self.low > self.high

    def widen(self, low: float, high: float) -> None:
        """Make sure that the range ``low .. high`` has bins; it counts as seen."""
        if self.low <= low and high <= self.high:
            return
        low, high = min(low, self.low), max(high, self.high)
        exponent = exponent_for(low, high, self.bins)
        if self.empty:
            self.exponent = exponent
        first, last = _index(low, exponent), _index(high, exponent)
        old_first, old = _coarser(self.first, self.counts, exponent - self.exponent)
        counts = np.zeros(last - first + 1, np.int64)
        if old.size:
            counts[old_first - first : old_first - first + old.size] = old
        self.low, self.high = low, high
        self.exponent, self.first, self.counts = exponent, first, counts

    def add(self, values: Array) -> None:
        """Count finite float32 values that lie in the range seen so far (see `widen`)."""
        if values.size:
            counts, zeros = count_bins(values, self.exponent, self.first, len(self.counts))
            self.counts += counts
            self.zeros += zeros

    def merge(self, other: Histogram) -> None:
        """Count all that another histogram counted.

        Raises:
            InputError: if it has another number of bins.
        """
        if other.bins != self.bins:
            raise InputError(f"{self.bins} and {other.bins} bins cannot be merged")
        if other.empty:
            return
        self.widen(other.low, other.high)
        first, counts = _coarser(other.first, other.counts, self.exponent - other.exponent)
        self.counts[first - self.first : first - self.first + counts.size] += counts
        self.zeros += other.zeros

    @property
    def width(self) -> float:
        """The width of a bin."""
        return ldexp(1.0, self.exponent)

    def points(self) -> tuple[Array, Array]:
        """Return the middles of the bins in use, clipped to the range, and their counts."""
        used = np.flatnonzero(self.counts)
        middles = (used + self.first + 0.5) * self.width
        middles = np.clip(middles, self.low, self.high)
        counts = self.counts[used].astype(np.float64)
        if self.zeros:
            middles, counts = np.append(middles, 0.0), np.append(counts, float(self.zeros))
        return middles, counts

    def quantile(self, q: float) -> float:
        """Return the value below which a share ``q`` of all values lie, interpolated in its bin."""
        counts = self.counts.copy()
        if self.zeros:
            counts[-self.first] += self.zeros
        total = int(counts.sum())
        if not total:
            return 0.0
        reached = np.cumsum(counts)
        wanted = q * total
        at = min(int(np.searchsorted(reached, wanted, side="left")), len(counts) - 1)
        inside = (wanted - (reached[at] - counts[at])) / max(int(counts[at]), 1)
        value = (at + self.first + min(max(inside, 0.0), 1.0)) * self.width
        return float(min(max(value, self.low), self.high))


def exponent_for(low: float, high: float, bins: int) -> int:
    """Return the smallest exponent at which ``low .. high`` needs at most ``bins`` bins."""
    largest = max(abs(low), abs(high))
    exponent = frexp(largest)[1] - _INDEX_BITS if largest else -149
    if high > low:
        # At a quarter of the needed width at least twice the bins are used: start there.
        exponent = max(exponent, frexp((high - low) / bins)[1] - 2)
    while _index(high, exponent) - _index(low, exponent) >= bins:
        exponent += 1
    return exponent


def _index(value: float, exponent: int) -> int:
    return int(np.floor(ldexp(float(value), -exponent)))


def _coarser(first: int, counts: Array, shift: int) -> tuple[int, Array]:
    """Return counts with each ``2**shift`` neighbours added up, and the new first index."""
    if not shift or not counts.size:
        return first, counts
    index = (first + np.arange(counts.size)) >> shift
    starts = np.flatnonzero(np.diff(index, prepend=index[0] - 1))
    return int(index[0]), np.add.reduceat(counts, starts)
