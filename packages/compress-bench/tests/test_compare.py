"""A regression is what noise cannot explain."""

from __future__ import annotations

import numpy as np
import pytest

from compress_bench.compare import Verdict, compare
from compress_tensor import InputError


def results(rng, cells, slow=None, machine=1.0, rival=True):
    """Return results whose times scatter by 10 %."""
    found = {}
    for key in cells:
        factor = (slow or {}).get(key, 1.0) * machine
        seconds = {"ours": list(factor * rng.lognormal(0, 0.1, 20))}
        if rival:
            seconds["onnxruntime"] = list(2 * machine * rng.lognormal(0, 0.1, 20))
        found[key] = {"seconds": seconds}
    return {"cells": found}


CELLS = [f"cell {n}" for n in range(20)]


def test_noise_is_no_regression():
    """Of 20 repetitions with 20 cells, at most 3 see a change where there is none."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(20):
        changes = compare(results(rng, CELLS), results(rng, CELLS))
        wrong += any(c.verdict is not Verdict.SAME for c in changes)

    assert wrong <= 3


def test_a_regression_is_found():
    """Half as fast in one cell: that one, and no other."""
    rng = np.random.default_rng(2)
    changes = compare(results(rng, CELLS), results(rng, CELLS, slow={"cell 3": 1.5}))

    assert ["cell 3"] == [c.key for c in changes if c.verdict is Verdict.SLOWER]
    (found,) = (c for c in changes if c.key == "cell 3")
    assert found.interval[0] < 1.5 < found.interval[1]
    assert ("onnxruntime",) == found.rivals


def test_a_slow_day_is_no_regression():
    """The whole machine is half as fast: rivals are, too."""
    rng = np.random.default_rng(3)
    changes = compare(results(rng, CELLS), results(rng, CELLS, machine=2.0))
    alone = compare(results(rng, CELLS, rival=False), results(rng, CELLS, None, 2.0, rival=False))

    assert all(c.verdict is Verdict.SAME for c in changes)
    assert all(c.verdict is Verdict.SLOWER and not c.rivals for c in alone)


def test_faster_is_told():
    """And is no failure."""
    rng = np.random.default_rng(4)
    (change,) = compare(results(rng, ["a"], slow={"a": 2.0}), results(rng, ["a"]))

    assert change.verdict is Verdict.FASTER


def test_nothing_in_common():
    """A sentence instead of an empty table; cells that failed do not count."""
    rng = np.random.default_rng(5)
    with pytest.raises(InputError, match="no cell in common"):
        compare(results(rng, ["a"]), {"cells": {"a": {"failed": "no memory"}}})
