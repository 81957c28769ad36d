"""What the processor can do at most, measured while everything else is."""

from __future__ import annotations

import ctypes
import time
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

from compress_tensor import NativeError
from compress_tensor.native.library import core


class Unit(str, Enum):
    """The arithmetic of a product."""

    FP32 = "fp32"
    INT8 = "int8"
    BF16 = "bf16"

    @property
    def number(self) -> int:
        """How libcore calls it."""
        return list(Unit).index(self)


_SECONDS = 2e-3  #: a sample


class Peak:
    """Runs multiply-add instructions on several threads at once.

    Args:
        unit: which instructions.
        threads: how many.

    Attributes:
        operations: of one call, a multiplication and an addition counting as two.
    """

    def __init__(self, unit: Unit, threads: int) -> None:
        self._unit = unit.number
        self._pool = ThreadPoolExecutor(threads)
        self._threads = threads
        self._rounds = 1 << 14
        while (spent := min(self._timed() for _ in range(3))) < _SECONDS / 4:
            self._rounds *= 4
        self._rounds = max(1, int(self._rounds * _SECONDS / spent))
        self.operations = self()

    def __call__(self) -> int:
        """Run once on every thread; returns the operations."""
        return sum(self._pool.map(self._one, range(self._threads)))

    def _timed(self) -> float:
        start = time.perf_counter()
        self._one(0)
        return time.perf_counter() - start

    def _one(self, _: int) -> int:
        found = ctypes.c_int64()
        core().cpr_peak(self._unit, self._rounds, ctypes.byref(found))
        return found.value

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def peak_of(unit: Unit, threads: int) -> Peak | None:
    """Return what to call, or None if this processor has no such instructions."""
    try:
        return Peak(unit, threads)
    except NativeError:
        return None
