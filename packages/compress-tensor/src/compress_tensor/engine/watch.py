"""What a run in C asks Python now and then: whether to go on, and whether Ctrl-C was pressed."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Generator
from typing import Protocol


class Stop(Protocol):
    """Something that other threads set when a run shall end, a `threading.Event` for instance."""

    def is_set(self) -> bool:
        """Whether the run shall end."""


class _Watch(threading.local):
    """The answers for the runs of one thread."""

    def __init__(self) -> None:
        self.stop: Stop | None = None
        self.raised: BaseException | None = None
        answers = self._answers()
        next(answers)
        self._poll = ctypes.CFUNCTYPE(ctypes.c_int32)(answers.__next__)
        self.address = ctypes.cast(self._poll, ctypes.c_void_p)

    def _answers(self) -> Generator[int, None, None]:
        """Yield 1 where the run shall end.

        Python runs signal handlers when it enters a function; in a generator that is inside
        ``try``, so what a handler raises is not lost in C.
        """
        answer = 0
        while True:
            try:
                yield answer
                answer = int(self.stop is not None and self.stop.is_set())
            except GeneratorExit:
                return
            except BaseException as error:  # raised again by `cancelled`
                self.raised, answer = error, 1


_WATCH = _Watch()


def watch(stop: Stop | None) -> ctypes.c_void_p | None:
    """Return the address of what a run of this thread polls.

    None where nothing is to be watched: signals come to the main thread only, and a poll waits for
    the interpreter.
    """
    if stop is None and threading.get_ident() != threading.main_thread().ident:
        return None
    _WATCH.stop = stop
    return _WATCH.address


def cancelled(error: BaseException) -> BaseException:
    """Return what a signal handler raised during the run that ended with ``error``, if one did."""
    raised, _WATCH.raised = _WATCH.raised, None
    return raised or error
