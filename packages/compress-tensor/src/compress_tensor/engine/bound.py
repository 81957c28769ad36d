"""Runs on the same arrays every time: they are checked and looked up once."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping

from ..errors import CancelledError, InputError
from ..forks import renew_after_fork
from ..graph.graph import Array
from ..native.call import address
from ..native.library import Pool
from .program import Job, failed
from .run import Plan, Run
from .watch import Stop

#: `Session.run`
Compute = Callable[..., dict[str, Array]]
#: bytes of an arena that is not worth being given back between two calls
MOST_KEPT = 1 << 16


class Bound:
    """A session bound to arrays; `Session.bind` makes it.

    A call reads the inputs as they are then, and writes the outputs to the same arrays every time.
    Threads that share one wait for each other.

    Attributes:
        inputs: arrays by name, to be filled before a call.
        outputs: arrays by name, which a call fills.
    """

    def __init__(
        self,
        compute: Compute,
        plan: Plan | None,
        pool: Pool | None,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> None:
        self.inputs = dict(inputs)
        self.outputs = dict(outputs)
        self._compute = compute
        self._pool = pool
        self._run: Run | None = None
        if plan is not None and plan.single is not None:
            memory = plan.arenas.take(plan.arena_bytes)
            self._run = Run(plan, self.inputs, memory, self.outputs)
            if plan.arena_bytes > MOST_KEPT:
                plan.arenas.give(memory)
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Make locks anew, and forget the threads of another process."""
        self._lock = threading.RLock()
        self._owner = ctypes.c_uint64()
        self._kept: Job | None = None  #: with memory that nobody else uses

    def run(self, stop: Stop | None = None) -> dict[str, Array]:
        """Compute the outputs, and return their arrays by name.

        Args:
            stop: as of `Session.run`.

        Raises:
            CancelledError: if ``stop`` was set; the outputs hold anything.
        """
        kept = self._kept
        if kept is None or stop is not None:
            return self._slowly(stop)
        # No more than this: the smallest networks take less time than it takes Python.
        status = kept.start(kept.at)
        if status:
            raise failed(status)
        return self.outputs

    __call__ = run

    def _slowly(self, stop: Stop | None) -> dict[str, Array]:
        """As `run`: for the first time, with large memory, several programs, or a way to stop."""
        if stop is not None and stop.is_set():
            raise CancelledError("the run was cancelled")
        with self._lock:
            if self._run is None:
                self._take(self._compute(self.inputs, into=self.outputs, stop=stop))
            elif self._run.plan.arena_bytes > MOST_KEPT:
                self._borrow(self._run, stop)
            else:
                job = self._job(self._run)
                job.share(self._owner)
                job.run(stop)
                if stop is None:
                    self._kept = job
        return self.outputs

    def _borrow(self, run: Run, stop: Stop | None) -> None:
        """Run in memory that all runs of the session share."""
        plan = run.plan
        run.memory = plan.arenas.take(plan.arena_bytes)
        try:
            run.addresses[0] = address(run.memory)
            self._job(run).run(stop)
        finally:
            plan.arenas.give(run.memory)

    def _job(self, run: Run) -> Job:
        single = run.plan.single
        assert single is not None
        return single.job(run.addresses, self._pool)

    def _take(self, found: Mapping[str, Array]) -> None:
        """Copy the outputs that could not be written where they belong."""
        for name, array in found.items():
            mine = self.outputs[name]
            if array.shape != mine.shape:
                raise InputError(
                    f"output {name!r} has another shape than when it was bound: "
                    f"{list(array.shape)}, not {list(mine.shape)}"
                )
            if array is not mine:
                mine[...] = array


def require_in_place(given: Mapping[str, object], read: Mapping[str, Array]) -> None:
    """Refuse inputs that a run would copy.

    Raises:
        InputError: naming the first.
    """
    for name, array in read.items():
        if array is not given[name] or not array.flags.c_contiguous or array.dtype == object:
            raise InputError(
                f"input {name!r} cannot be bound: give a contiguous numpy array of its type"
            )
