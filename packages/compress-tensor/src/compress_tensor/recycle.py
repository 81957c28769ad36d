"""Large memory that is let go of and asked for again, as in every step of training.

The system hands out new memory page by page, zeroed, which takes as long as a pass or two over
it.  While somebody holds a `Kept`, large blocks stay here for the next request of their size:
never so many that blocks in use and blocks kept together exceed what was in use at most.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from .graph.graph import Array

LARGE = 1 << 20  #: bytes; smaller memory comes from the allocator's own lists
_PAGE = 4096


class _Blocks:
    """The blocks that nobody uses, and how much is in use."""

    def __init__(self) -> None:
        # Reentrant: the garbage collector may end a block while this thread takes another.
        self.lock = threading.RLock()
        self.keepers = 0
        self.free: dict[int, Array] = {}  # by address, the first let go of first
        self.by_size: dict[int, list[int]] = {}
        self.used = self.kept = self.most = 0

    def take(self, nbytes: int) -> Block:
        """Return a block of at least so many bytes."""
        size = -(-nbytes // _PAGE) * _PAGE
        with self.lock:
            places = self.by_size.get(size)
            raw = self.free.pop(places.pop()) if places else None
            if raw is not None:
                self.kept -= size
            self.used += size
            self.most = max(self.most, self.used)
            while self.free and self.used + self.kept > self.most:
                self._drop(next(iter(self.free)))
        return Block(self, np.empty(size, np.uint8) if raw is None else raw)

    def give(self, raw: Array, address: int) -> None:
        """Keep what a block held, or let go of it."""
        with self.lock:
            self.used -= raw.size
            if self.keepers:
                self.free[address] = raw
                self.by_size.setdefault(raw.size, []).append(address)
                self.kept += raw.size

    def clear(self) -> None:
        """Let go of everything."""
        with self.lock:
            self.free.clear()
            self.by_size.clear()
            self.kept, self.most = 0, self.used

    def _drop(self, address: int) -> None:
        raw = self.free.pop(address)
        self.by_size[raw.size].remove(address)
        self.kept -= raw.size

    def renew_lock(self) -> None:
        """In a forked child: whoever held the lock does not exist here."""
        self.lock = threading.RLock()


class Block:
    """Memory that returns when the last array on it is gone; numpy looks at it."""

    __slots__ = ("__array_interface__", "_address", "_owner", "_raw")

    def __init__(self, owner: _Blocks, raw: Array) -> None:
        self._owner = owner
        self._raw = raw
        self._address = int(raw.ctypes.data)
        self.__array_interface__: dict[str, Any] = {
            "data": (self._address, False),
            "shape": (raw.size,),
            "typestr": "|u1",
            "version": 3,
        }

    def __del__(self) -> None:
        self._owner.give(self._raw, self._address)


_BLOCKS = _Blocks()


class Kept:
    """While an instance lives, large memory is kept for its next use; `close` or its end frees."""

    def __init__(self) -> None:
        self._open = True
        with _BLOCKS.lock:
            _BLOCKS.keepers += 1

    def close(self) -> None:
        """Keep nothing for this holder any more."""
        with _BLOCKS.lock:
            if self._open:
                self._open = False
                _BLOCKS.keepers -= 1
                if not _BLOCKS.keepers:
                    _BLOCKS.clear()

    def __del__(self) -> None:
        self.close()


def is_kept() -> bool:
    """Return whether somebody wants memory to be kept."""
    return _BLOCKS.keepers > 0


def take(nbytes: int) -> Block:
    """Return a block with arbitrary contents."""
    return _BLOCKS.take(nbytes)


def kept_bytes() -> int:
    """Return how much memory is kept now, used by nobody."""
    return _BLOCKS.kept


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_BLOCKS.renew_lock)
