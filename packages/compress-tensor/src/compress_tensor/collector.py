"""Python's cycle collector, held while much is made that will live.

Reading a file or planning makes tens of thousands of objects and no garbage in cycles to speak of.
The collector would visit everything the process holds meanwhile, several times: 20 ms for our own
modules, hundreds where a large framework is imported too.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from .forks import Lock, renew_after_fork


class _Holders:
    """How many calls hold the collector, in all threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0
        self._was_on = False
        renew_after_fork(self)

    def enter(self) -> None:
        with self._lock:
            if not self._count:
                self._was_on = gc.isenabled()
                gc.disable()
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count = max(self._count - 1, 0)  # 0 already: forked inside
            if not self._count and self._was_on:
                gc.enable()

    def after_fork(self) -> None:
        """Let go: threads that held it do not exist here."""
        if self._count and self._was_on:
            gc.enable()
        self._count = 0


_HOLDERS = _Holders()


@contextmanager
def collector_held() -> Iterator[None]:
    """Keep the collector from running, in this ``with`` or in a function decorated by this.

    It is as it was once the last of all threads has left; where it was off, it stays off.
    """
    _HOLDERS.enter()
    try:
        yield
    finally:
        _HOLDERS.leave()
