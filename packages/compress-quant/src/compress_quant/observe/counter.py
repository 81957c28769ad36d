"""Counting the values of batches: each worker runs whole batches on one thread, into its own sums.

Sums are exact and merge in any order (`Statistics`), so what comes out does not depend on which
worker had which batch.  Batches side by side keep all processors busy; one batch split over them
leaves the others idle while its values are handed over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import gcd
from queue import SimpleQueue

import numpy as np

from compress_tensor import InputError, Session
from compress_tensor.counting import row_extremes

from ..affine import Array
from .statistics import Statistics

#: values of one sample that are counted; the extremes come from all of them
MOST_VALUES = 1 << 14
Feeds = Mapping[str, Array]


class Counter:
    """One worker's statistics, and the arrays of its last batch, which the next one fills again.

    Args:
        names: of the values to count.
        bins: of each histogram.
    """

    def __init__(self, names: Sequence[str], bins: int) -> None:
        self.statistics = {name: Statistics(bins) for name in names}
        self._shapes: list[tuple[int, ...]] = []
        self._arrays: dict[str, Array] = {}

    def count(
        self,
        session: Session,
        feeds: Feeds,
        groups: Sequence[Sequence[str]],
        halves: Array,
        numbers: Array,
        *,
        again: bool,
    ) -> None:
        """Run a batch and count its values.

        Args:
            session: of the network.
            feeds: one batch.
            groups: names to take out together.
            halves: 0 or 1 for each of its samples.
            numbers: of the samples.
            again: whether shapes follow from the inputs', so that arrays can be filled again.
        """
        shapes = [array.shape for array in feeds.values()]
        if shapes != self._shapes:
            self._shapes, self._arrays = shapes, {}
        for group in groups:
            values = session.run(feeds, outputs=list(group), into=self._arrays)
            for name in group:
                self._add(name, values[name], halves, numbers)
            if again and len(groups) == 1:
                self._arrays = values

    def _add(self, name: str, values: Array, halves: Array, numbers: Array) -> None:
        if values.ndim == 4:  # images lie channels last: so this is no copy
            values = values.transpose(0, 2, 3, 1)
        rows = values.reshape(len(halves), -1)
        if not rows.shape[1]:
            return
        lows, highs = row_extremes(rows)
        bad = ~(np.isfinite(lows) & np.isfinite(highs))
        if bad.any():
            at = int(bad.argmax())
            what = "NaN" if np.isnan(rows[at]).any() else "an infinity"
            raise InputError(
                f"value {name!r} has {what} for calibration sample {numbers[at]}; "
                "remove the sample or repair the model"
            )
        step = _stride(rows.shape[1])
        self.statistics[name].add_rows(lows, highs, rows[:, ::step], halves)


class Counters:
    """Workers, each busy with one batch; at most as many batches wait as there are workers.

    Args:
        session: safe to use from all of them.
        names: of the values to count.
        groups: names to take out together.
        bins: of each histogram.
        workers: how many.
        again: see `Counter.count`.
    """

    def __init__(
        self,
        session: Session,
        names: Sequence[str],
        groups: Sequence[Sequence[str]],
        bins: int,
        workers: int,
        *,
        again: bool,
    ) -> None:
        self._session = session
        self._groups = groups
        self._again = again
        self._names = names
        self._counters = [Counter(names, bins) for _ in range(workers)]
        self._idle: SimpleQueue[Counter] = SimpleQueue()
        for counter in self._counters:
            self._idle.put(counter)
        self._pool = ThreadPoolExecutor(workers)
        self._running: deque[Future[None]] = deque()

    def submit(self, feeds: Feeds, keys: Sequence[int], first: int) -> None:
        """Count a batch, now or soon.

        Raises:
            InputError: of this batch or an earlier one, the earliest first.
        """
        while len(self._running) >= len(self._counters):
            self._running.popleft().result()
        halves = np.array([key & 1 for key in keys])
        numbers = np.arange(first, first + len(keys))
        if len(keys) > 1:  # samples of one half side by side are counted without copies
            order = np.argsort(halves, kind="stable")
            halves, numbers = halves[order], numbers[order]
            feeds = {name: array[order] for name, array in feeds.items()}
        self._running.append(self._pool.submit(self._one, feeds, halves, numbers))

    def _one(self, feeds: Feeds, halves: Array, numbers: Array) -> None:
        counter = self._idle.get()
        try:
            counter.count(self._session, feeds, self._groups, halves, numbers, again=self._again)
        finally:
            self._idle.put(counter)

    def finish(self) -> dict[str, Statistics]:
        """Wait for all batches; return the statistics of all samples."""
        while self._running:
            self._running.popleft().result()
        found, *others = self._counters
        for other in others:
            for name in self._names:
                found.statistics[name].merge(other.statistics[name])
        return found.statistics

    def close(self) -> None:
        """Let go of the threads; batches that wait are not counted."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _stride(size: int) -> int:
    """Return a step that visits at most MOST_VALUES elements, of all channels and positions."""
    step = -(-size // MOST_VALUES)
    while gcd(step, size) != 1:
        step += 1
    return step
