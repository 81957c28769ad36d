"""Random numbers of one sample: the same whoever draws them, whenever, in whatever order."""

from __future__ import annotations

from math import tau

import numpy as np

from compress_tensor.random import philox

from .dataset import Array

_WORDS = 16  #: drawn at a time


class Chance:
    """The random numbers of a sample in an epoch.

    Philox counters are (block, stream, sample, epoch), so nothing is shared between samples.

    Args:
        seed: of the whole data set.
        epoch: from 0.
        sample: from 0.
    """

    def __init__(self, seed: int, epoch: int, sample: int) -> None:
        self._key = (seed & 0xFFFFFFFF, seed >> 32)
        self._place = (sample, epoch)
        self._words: list[int] = []
        self._blocks = 0
        self._streams = 1

    def _draw(self, first: int, blocks: int, stream: int) -> Array:
        counter = np.empty((blocks, 4), np.uint32)
        counter[:, 0] = np.arange(first, first + blocks)
        counter[:, 1] = stream
        counter[:, 2:] = self._place
        return philox(counter, self._key).reshape(-1)

    def word(self) -> int:
        """Return an integer from 0 to 2**32 - 1."""
        if not self._words:
            self._words = self._draw(self._blocks, _WORDS // 4, 0)[::-1].tolist()
            self._blocks += _WORDS // 4
        return self._words.pop()

    def uniform(self) -> float:
        """Return a number from [0, 1)."""
        return self.word() * 2.0**-32

    def integer(self, low: int, high: int) -> int:
        """Return an integer from ``low`` to ``high``, both included."""
        return low + (self.word() * (high - low + 1) >> 32)

    def normal(self, n: int) -> Array:
        """Return ``n`` normally distributed float32 numbers (Box and Muller, 1958)."""
        stream, self._streams = self._streams, self._streams + 1
        words = self._draw(0, -(-n // 2), stream)[: 2 * n].reshape(-1, 2).astype(np.float64)
        radius = np.sqrt(-2 * np.log((words[:n, 0] + 1) * 2.0**-32))
        found: Array = (radius * np.cos(words[:n, 1] * (tau * 2.0**-32))).astype(np.float32)
        return found

    def beta(self, alpha: float) -> float:
        """Return a number from the distribution Beta(alpha, alpha) (Johnk, 1964)."""
        while True:
            x, y = ((self.word() + 1) * 2.0**-32 for _ in range(2))
            x, y = x ** (1 / alpha), y ** (1 / alpha)
            if 0 < x + y <= 1:
                return float(x / (x + y))
