"""All that is kept of one value of a graph while calibration data pass by.

Every number is an integer count, an exact extreme, or an exact sum: results do not depend on the
order of samples, on batches, or on threads.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..affine import Array
from .histogram import BINS, Histogram

#: every float32 is a whole multiple of this
_UNIT = 149


class Statistics:
    """What is known of one value.

    The samples are split in two halves by their contents, so that the difference between the
    halves tells how certain a range is.

    Args:
        bins: of each histogram.
    """

    def __init__(self, bins: int = BINS) -> None:
        self.halves = (Histogram(bins), Histogram(bins))
        self.samples = 0
        self._low_sum = 0
        self._high_sum = 0

    def add(self, low: float, high: float, values: Array, half: int) -> None:
        """Count one sample.

        Args:
            low: its smallest value.
            high: its largest value.
            values: all or some of its values.
            half: 0 or 1, from the sample's contents.
        """
        self.add_rows(np.array([low]), np.array([high]), values.reshape(1, -1), np.array([half]))

    def add_rows(self, lows: Array, highs: Array, values: Array, halves: Array) -> None:
        """Count samples: a row of values each (see `add`)."""
        self.samples += len(lows)
        self._low_sum += sum(map(_whole, lows.tolist()))
        self._high_sum += sum(map(_whole, highs.tolist()))
        for half, histogram in enumerate(self.halves):
            rows = halves == half
            if rows.any():
                histogram.widen(float(lows[rows].min()), float(highs[rows].max()))
                histogram.add(values[rows])

    def merge(self, other: Statistics) -> None:
        """Count all that another one counted."""
        self.samples += other.samples
        self._low_sum += other._low_sum
        self._high_sum += other._high_sum
        for mine, theirs in zip(self.halves, other.halves, strict=True):
            mine.merge(theirs)

    @property
    def histogram(self) -> Histogram:
        """The counts of all samples."""
        return merged(self.halves)

    @property
    def mean_range(self) -> tuple[float, float]:
        """The smallest and the largest value of a sample, on average over samples."""
        if not self.samples:
            return 0.0, 0.0
        unit = Fraction(1, 1 << _UNIT) / self.samples
        return float(self._low_sum * unit), float(self._high_sum * unit)


def merged(histograms: tuple[Histogram, ...] | list[Histogram]) -> Histogram:
    """Return one histogram of all that several counted."""
    found = Histogram(histograms[0].bins)
    for each in histograms:
        found.merge(each)
    return found


def combined(statistics: list[Statistics]) -> Statistics:
    """Return statistics of values that will share one scale, as if each sample made them all."""
    first = statistics[0]
    if len(statistics) == 1:
        return first
    found = Statistics(first.halves[0].bins)
    for half in (0, 1):
        for each in statistics:
            found.halves[half].merge(each.halves[half])
    found.samples = max(each.samples for each in statistics)
    found._low_sum = min(each._low_sum for each in statistics)
    found._high_sum = max(each._high_sum for each in statistics)
    return found


def _whole(value: float) -> int:
    """Return a float32 as a number of smallest units."""
    numerator, denominator = float(np.float32(value)).as_integer_ratio()
    return (numerator << _UNIT) // denominator
