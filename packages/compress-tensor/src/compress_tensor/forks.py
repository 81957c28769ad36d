"""What a forked child must make anew: locks that a lost thread may hold, pools without threads."""

from __future__ import annotations

import os
import threading
from typing import Protocol
from weakref import WeakSet


class Renewed(Protocol):
    """Something with locks or threads of its own."""

    def after_fork(self) -> None:
        """Make them anew; called in the child, which has one thread."""


_ALIVE: WeakSet[Renewed] = WeakSet()


def renew_after_fork(thing: Renewed) -> None:
    """Have `Renewed.after_fork` called in every forked child, for as long as ``thing`` lives."""
    _ALIVE.add(thing)


class Lock:
    """A lock for ``with`` that its thread may take again, and that a forked child finds open."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        renew_after_fork(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *raised: object) -> None:
        self._lock.release()

    def after_fork(self) -> None:
        """Open it: whoever held it does not exist here."""
        self._lock = threading.RLock()


def _renew() -> None:
    for thing in list(_ALIVE):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
