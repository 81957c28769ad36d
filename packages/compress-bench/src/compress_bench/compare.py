"""Two files of results: what became slower or faster, beyond noise.

A machine is not equally fast on two days.  So a cell is compared by what both runs have in common:
our time over the time of the rivals that were timed in turn with it.  For rivals r = 1..R::

    x = log median(ours) - mean over r of log median(r)

The standard error of x comes from bootstrap; a change of x is proven when 0 lies outside its
interval at 95 % for all cells together (Bonferroni).  Without a common rival our times are
compared as they are, and the cell says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import exp
from statistics import NormalDist
from typing import Any

import numpy as np

from compress_tensor import InputError

from .race import OURS

LEVEL = 0.05
_DRAWS = 400


class Verdict(str, Enum):
    """What is known of a change."""

    SLOWER = "slower"
    FASTER = "faster"
    SAME = "no proven change"


@dataclass(frozen=True)
class Change:
    """One cell in both files.

    Attributes:
        key: of the cell.
        ratio: new time by old time, as far as the machine is not to blame.
        interval: of the ratio, valid for all cells together.
        rivals: that both runs measured along.
        verdict: whether 1 lies outside the interval.
    """

    key: str
    ratio: float
    interval: tuple[float, float]
    rivals: tuple[str, ...]
    verdict: Verdict


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """Return every cell that both results have, in the order of the new ones.

    Raises:
        InputError: if there is none.
    """
    cells = {
        key: (old["cells"][key], cell)
        for key, cell in new["cells"].items()
        if all(OURS in c.get("seconds", {}) for c in (cell, old["cells"].get(key, {})))
    }
    if not cells:
        raise InputError("the two files have no cell in common that our engine ran in both")
    width = NormalDist().inv_cdf(1 - LEVEL / (2 * len(cells)))
    return [_change(key, *pair, width) for key, pair in cells.items()]


def _change(key: str, old: Mapping[str, Any], new: Mapping[str, Any], width: float) -> Change:
    rivals = tuple(n for n in new["seconds"] if n != OURS and n in old["seconds"])
    before, error_before = _position(old["seconds"], rivals)
    after, error_after = _position(new["seconds"], rivals)
    half = width * float(np.hypot(error_before, error_after))
    difference = after - before
    low, high = exp(difference - half), exp(difference + half)
    verdict = Verdict.SLOWER if low > 1 else Verdict.FASTER if high < 1 else Verdict.SAME
    return Change(key, exp(difference), (low, high), rivals, verdict)


def _position(seconds: Mapping[str, Sequence[float]], rivals: Sequence[str]) -> tuple[float, float]:
    """Return x of the module's description and its standard error."""
    names = (OURS, *rivals)
    count = min(len(seconds[name]) for name in names)
    times = np.log([seconds[name][:count] for name in names])
    signs = np.array([1.0] + [-1.0 / max(len(rivals), 1)] * len(rivals))
    picks = np.random.default_rng(0).integers(0, count, (_DRAWS, count))
    drawn = np.median(times[:, picks], axis=2)
    value = float(signs @ np.median(times, axis=1))
    return value, float((signs @ drawn).std(ddof=1))
