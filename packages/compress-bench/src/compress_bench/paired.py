"""Two models on the same samples: the difference of their accuracies, and how certain it is."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, sqrt

import numpy as np

from compress_autograd.data import Dataset
from compress_tensor import InputError

from .quality import Quality
from .runtimes import Array
from .statistics import Z95


@dataclass(frozen=True)
class Paired:
    """How a model does against another one.

    Attributes:
        samples: that both answered.
        difference: share of right answers, this model's minus the other's.
        interval: its 95 % interval (Bonett and Price, 2012: one is added to both counts of
            samples that only one of them has right).
        gained: samples that only this model has right.
        lost: samples that only the other one has right.
        agree: share of samples with the same answer.
        p_value: of no difference (McNemar, 1947, the exact binomial form, two-sided).
    """

    samples: int
    difference: float
    interval: tuple[float, float]
    gained: int
    lost: int
    agree: float
    p_value: float


def paired(this: Quality, other: Quality, labels: Array) -> Paired:
    """Compare the answers of two models with the truth.

    Raises:
        InputError: if they did not answer the same samples.
    """
    if this.answers is None or other.answers is None or len(this.answers) != len(other.answers):
        raise InputError("both models must answer the same samples")
    a, b = this.answers == labels, other.answers == labels
    n = len(labels)
    gained, lost = int((a & ~b).sum()), int((~a & b).sum())
    up, down = (gained + 1) / (n + 2), (lost + 1) / (n + 2)
    half = Z95 * sqrt((up + down - (up - down) ** 2) / (n + 2))
    middle = up - down
    agree = float(np.mean(this.answers == other.answers))
    interval = max(-1.0, middle - half), min(1.0, middle + half)
    return Paired(n, (gained - lost) / n, interval, gained, lost, agree, _mcnemar(gained, lost))


def labels_of(dataset: Dataset, count: int) -> Array:
    """Return the labels of the first samples.

    Raises:
        InputError: if there are none.
    """
    found = [dataset.label(i) for i in range(count)]
    if any(label is None for label in found):
        raise InputError("accuracy needs labels: class folders or a labels.tsv")
    return np.array(found, np.int64)


def _mcnemar(gained: int, lost: int) -> float:
    n = gained + lost
    if not n:
        return 1.0
    # Fractions of whole numbers: floats would overflow for many samples.
    tail = sum(comb(n, k) for k in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << n))
