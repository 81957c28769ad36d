"""All that is kept of one value of a graph while calibration data pass by.

Every number is an integer count, an exact extreme, or an exact sum: results do not depend on the
order of samples, on batches, or on threads.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..affine import Array
from .histogram import BINS, Histogram

#: every float32 is a whole multiple of 2**-149, and 24 bits of it times a power of two
_UNIT = 149
_BITS = 24


class ExactSum:
    """A sum of float32 values without rounding, so that their order does not matter."""

    def __init__(self) -> None:
        #: by exponent: the sum of 24-bit mantissas, good for 2^39 values
        self._mantissas = np.zeros(_UNIT + 128 + 1, np.int64)

    def add(self, values: Array) -> None:
        """Add finite float32 values."""
        fractions, exponents = np.frexp(values.astype(np.float64))
        whole = (fractions * (1 << _BITS)).astype(np.int64)
        np.add.at(self._mantissas, exponents + _UNIT, whole)

    def merge(self, other: ExactSum) -> None:
        """Add all that another one has."""
        self._mantissas += other._mantissas

    @property
    def value(self) -> Fraction:
        """The sum."""
        used = np.flatnonzero(self._mantissas)
        whole = sum(int(self._mantissas[i]) << int(i) for i in used)
        return Fraction(whole, 1 << (_UNIT + _BITS))


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
        self._low_sum = ExactSum()
        self._high_sum = ExactSum()

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
        self._low_sum.add(lows)
        self._high_sum.add(highs)
        for half, histogram in enumerate(self.halves):
            rows = np.flatnonzero(halves == half)
            if not rows.size:
                continue
            histogram.widen(float(lows[rows].min()), float(highs[rows].max()))
            together = int(rows[-1]) - int(rows[0]) + 1 == rows.size
            histogram.add(values[rows[0] : rows[-1] + 1] if together else values[rows])

    def merge(self, other: Statistics) -> None:
        """Count all that another one counted."""
        self.samples += other.samples
        self._low_sum.merge(other._low_sum)
        self._high_sum.merge(other._high_sum)
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
        return float(self._low_sum.value / self.samples), float(self._high_sum.value / self.samples)


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
    found._low_sum = min((each._low_sum for each in statistics), key=lambda s: s.value)
    found._high_sum = max((each._high_sum for each in statistics), key=lambda s: s.value)
    return found
