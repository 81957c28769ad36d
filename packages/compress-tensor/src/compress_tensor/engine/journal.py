"""A dict that can go back to how it was."""

from __future__ import annotations

from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")
_ABSENT = object()


class Journal(dict[K, V]):
    """A dict, changed by item assignment alone, whose changes since a mark can be undone."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        super().__init__()
        self._before: list[tuple[K, Any]] = []

    def __setitem__(self, key: K, value: V) -> None:
        self._before.append((key, self.get(key, _ABSENT)))
        super().__setitem__(key, value)

    def mark(self) -> None:
        """Keep all changes so far."""
        self._before.clear()

    def undo(self) -> None:
        """Take back the changes since the mark."""
        for key, value in reversed(self._before):
            if value is _ABSENT:
                del self[key]
            else:
                super().__setitem__(key, value)
        self._before.clear()
