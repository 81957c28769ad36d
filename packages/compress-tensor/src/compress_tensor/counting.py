"""Extremes and counts of many float32 values at once, for histograms (see libcore's README)."""

from __future__ import annotations

import numpy as np

from .graph.graph import Array
from .native.call import call


def row_extremes(rows: Array) -> tuple[Array, Array]:
    """Return the smallest and the largest value of each row.

    Args:
        rows: float32 of shape (n, m), m at least 1, each row contiguous.

    Returns:
        Two float32 arrays of shape (n,); NaN where the row has one.
    """
    lows, highs = np.empty((2, len(rows)), np.float32)
    call("row_extremes", [rows, lows, highs])
    return lows, highs


def count_bins(values: Array, exponent: int, first: int, bins: int) -> tuple[Array, int]:
    """Count values in bins ``[(first + b) * 2**exponent, (first + b + 1) * 2**exponent)``.

    Args:
        values: float32, at least one dimension, any strides; what is outside all bins counts in
            the nearest one, NaN nowhere.
        exponent: of the width, from -200 to 200.
        first: number of the first bin, at most 2^24 in size.
        bins: how many.

    Returns:
        int64 counts of shape (bins,) without zeros, and the number of zeros.
    """
    counts, zeros = np.empty(bins, np.int64), np.empty(1, np.int64)
    call("histogram", [values, counts, zeros], [exponent, first])
    return counts, int(zeros[0])
