"""Timing candidates in turn, A B A B, so that a change of the machine's speed hits all.

Before each sample there is a pause, then one call that is not timed: the threads of the candidate
before may still be spinning for work, and those of the next one may be asleep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

MINIMUM = 2e-4  #: seconds one sample lasts at least; unless told; shorter calls are repeated
WARM_UP = 3
PAUSE = 0.01  #: seconds between samples: longer than any known runtime's threads spin


def interleave(
    candidates: Mapping[str, Callable[[], object]],
    *,
    samples: int = 20,
    seconds: float = 10.0,
    minimum: float = MINIMUM,
) -> dict[str, list[float]]:
    """Return the seconds per call of each candidate.

    Args:
        candidates: what to call, by name.
        samples: how many times each is measured, at least 5.
        seconds: stop early (never below 5 samples) when all together took longer.
        minimum: seconds one sample lasts at least.
    """
    loops = {}
    for name, call in candidates.items():
        for _ in range(WARM_UP):
            call()
        start = time.perf_counter()
        call()
        once = time.perf_counter() - start
        loops[name] = max(1, round(minimum / max(once, 1e-9)))
    found: dict[str, list[float]] = {name: [] for name in candidates}
    begin = time.perf_counter()
    for n in range(samples):
        if n >= 5 and time.perf_counter() - begin > seconds:
            break
        for name, call in candidates.items():
            count = loops[name]
            time.sleep(PAUSE)
            call()
            start = time.perf_counter()
            for _ in range(count):
                call()
            found[name].append((time.perf_counter() - start) / count)
    return found
