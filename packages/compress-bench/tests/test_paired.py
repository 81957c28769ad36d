"""The difference of two accuracies on the same samples."""

from __future__ import annotations

import numpy as np
import pytest

from compress_bench.paired import paired
from compress_bench.quality import Quality
from compress_tensor import InputError


def quality(answers):
    return Quality(len(answers), 0.0, (0.0, 1.0), answers=np.asarray(answers))


def test_counts_and_p_value():
    """8 gained, 2 lost: McNemar's exact p is 2 (1 + 10 + 45) / 1024."""
    labels = np.zeros(100, int)
    this, other = np.zeros(100, int), np.zeros(100, int)
    other[:8] = 1
    this[8:10] = 1
    found = paired(quality(this), quality(other), labels)

    assert (8, 2) == (found.gained, found.lost)
    assert found.difference == pytest.approx(0.06)
    assert found.p_value == pytest.approx(112 / 1024)
    assert found.agree == pytest.approx(0.9)
    assert found.interval[0] < 0 < 0.06 < found.interval[1]


def test_no_difference():
    """The interval holds 0, p is 1."""
    found = paired(quality(np.zeros(50, int)), quality(np.zeros(50, int)), np.zeros(50, int))

    assert (0.0, 1.0) == (found.difference, found.p_value)
    assert found.interval[0] < 0 < found.interval[1]


def test_the_interval_covers():
    """In about 95 of 100 repetitions (here at least 92) it holds the true difference."""
    rng = np.random.default_rng(25)
    hits, n = 0, 500
    labels = np.zeros(n, int)
    for _ in range(400):
        kind = rng.choice(4, n, p=[0.85, 0.05, 0.02, 0.08])
        this, other = (kind >= 2).astype(int), ((kind == 1) | (kind == 3)).astype(int)
        low, high = paired(quality(this), quality(other), labels).interval
        hits += low <= 0.03 <= high

    assert hits >= 368


def test_other_samples_are_refused():
    """Two models must have answered the same."""
    with pytest.raises(InputError, match="same samples"):
        paired(quality([0, 1]), quality([0]), np.zeros(2, int))
