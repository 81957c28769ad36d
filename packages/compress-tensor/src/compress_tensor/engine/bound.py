"""Runs on the same arrays every time: they are checked and looked up once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..errors import CancelledError, InputError
from ..forks import Lock
from ..graph.graph import Array
from ..native.call import address
from ..native.library import Pool
from .program import Program, Repeated
from .run import Plan, Run
from .watch import Stop

#: `Session.run`
Compute = Callable[..., dict[str, Array]]


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
        self._lock = Lock()
        self._run: Run | None = None
        self._program: Program | Repeated | None = None
        if plan is not None and plan.single is not None:
            memory = plan.arenas.take(plan.arena_bytes)
            self._run = Run(plan, self.inputs, memory, self.outputs)
            self._program = plan.single
            plan.arenas.give(memory)

    def run(self, stop: Stop | None = None) -> dict[str, Array]:
        """Compute the outputs, and return their arrays by name.

        Args:
            stop: as of `Session.run`.

        Raises:
            CancelledError: if ``stop`` was set; the outputs hold anything.
        """
        if stop is not None and stop.is_set():
            raise CancelledError("the run was cancelled")
        run, program = self._run, self._program
        with self._lock:
            if run is None or program is None:
                found = self._compute(self.inputs, into=self.outputs, stop=stop)
                self._take(found)
                return self.outputs
            arenas = run.plan.arenas
            memory = arenas.take(run.plan.arena_bytes)
            try:
                if memory is not run.memory:
                    run.memory = memory
                    run.addresses[0] = address(memory)
                program.run(run.addresses, self._pool, stop)
            finally:
                arenas.give(memory)
        return self.outputs

    __call__ = run

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
