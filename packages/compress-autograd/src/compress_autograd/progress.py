"""A line that says how far a run is."""

from __future__ import annotations

import sys
import time
from typing import TextIO

_WIDTH = 24
_PAUSE = 0.2  #: seconds between two lines


def duration(seconds: float) -> str:
    """Return a time as people write it."""
    whole = int(seconds + 0.5)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours}:{minutes:02d}:{whole % 60:02d}"
    return f"{minutes}:{whole % 60:02d}"


class Progress:
    """Bar, percentage, time left and a few numbers, on one line of a terminal.

    Args:
        total: steps in all.
        done: steps that were done before.
        stream: where to write; None: standard error if it is a terminal, else nowhere.
    """

    def __init__(self, total: int, done: int = 0, stream: TextIO | None = None) -> None:
        self._stream = stream or (sys.stderr if sys.stderr.isatty() else None)
        self._total = max(total, 1)
        self._first = done
        self._start = time.monotonic()
        self._last = 0.0
        self._length = 0

    def show(self, done: int, text: str) -> None:
        """Show that so many steps are done."""
        now = time.monotonic()
        if self._stream is None or (now - self._last < _PAUSE and done < self._total):
            return
        self._last = now
        share = min(done / self._total, 1.0)
        filled = int(share * _WIDTH)
        fresh = done - self._first
        left = (now - self._start) / fresh * (self._total - done) if fresh else 0.0
        bar = "#" * filled + "." * (_WIDTH - filled)
        line = f"[{bar}] {share:4.0%}  {duration(left)} left  {text}"
        self._stream.write("\r" + line.ljust(self._length))
        self._stream.flush()
        self._length = len(line)

    def close(self) -> None:
        """End the line."""
        if self._stream is not None and self._length:
            self._stream.write("\n")
            self._stream.flush()
