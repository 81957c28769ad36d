"""What a run in C asks Python now and then: whether to go on, and whether Ctrl-C was pressed."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Generator
from typing import Protocol

from ..forks import renew_after_fork


class Stop(Protocol):
    """Something that other threads set when a run shall end, a `threading.Event` for instance."""

    def is_set(self) -> bool:
        """Whether the run shall end."""


class _Watch:
    """Answers for runs, one at a time."""

    def __init__(self) -> None:
        self.stop: Stop | None = None
        self.raised: BaseException | None = None
        answers = self._answers()
        next(answers)
        self._poll = ctypes.CFUNCTYPE(ctypes.c_int32)(answers.__next__)
        self.address: int = ctypes.cast(self._poll, ctypes.c_void_p).value or 0

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


class _Unwatched:
    """The main thread and the answers for its runs that nobody may stop but Ctrl-C."""

    def __init__(self) -> None:
        self.watch = _Watch()
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Know the main thread, which in a child is the one that forked."""
        self.thread = threading.main_thread().ident or 0


class _Watched(threading.local):
    """The answers for a thread's runs that may be stopped."""

    def __init__(self) -> None:
        self.watch = _Watch()


_UNWATCHED, _WATCHED = _Unwatched(), _Watched()


def watch(stop: Stop | None) -> tuple[int, int]:
    """Return the address of what a run polls, and the only thread that may (0: whichever runs).

    Without ``stop`` that is the main thread, the only one that signals come to: a poll waits for
    the interpreter.
    """
    if stop is None:
        return _UNWATCHED.watch.address, _UNWATCHED.thread
    _WATCHED.watch.stop = stop
    return _WATCHED.watch.address, 0


def cancelled(error: BaseException) -> BaseException:
    """Return what a signal handler raised during the run that ended with ``error``, if one did."""
    main = threading.get_ident() == _UNWATCHED.thread
    for each in (_WATCHED.watch, _UNWATCHED.watch) if main else (_WATCHED.watch,):
        raised, each.raised = each.raised, None
        if raised is not None:
            return raised
    return error
