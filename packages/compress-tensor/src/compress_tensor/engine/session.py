"""Session: a compiled graph, for any inputs that fit it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..collector import collector_held
from ..errors import InputError
from ..forks import Lock
from ..graph.graph import Array, Graph, Value
from ..graph.passes import optimize
from ..graph.stored import Entry, Stored, unread
from ..graph.support import require_operators
from ..native.library import Pool
from ..processors import processors
from .bound import Bound, require_in_place
from .inputs import checked_input
from .options import TILES, Options
from .run import Arenas, Plan, Planned
from .stage import MOST_PLANS, Key, Stage
from .steps import Record
from .watch import Stop
from .weights import Weights

PRECISIONS = ("float32", "bf16")


class Session:
    """A graph ready to run.  Safe to use from several threads at once.

    Args:
        graph: the model; it is not changed.
        threads: how many threads a run may use; by default one per processor that this process may
            use (affinity, and the CPU limit of its container).
        outputs: names of values to return, by default the graph's outputs.
        precision: "float32", or "bf16": Conv, Gemm, MatMul, LSTM, GRU and RNN of float32 values
            round their operands to bfloat16 and sum in float32 (see libcore's README).  The bytes
            are the same on every processor; one without VDPBF16PS takes longer than for float32,
            and `report` says so.
        winograd: the largest tile of Winograd's minimal filtering that 3 x 3 convolutions of
            float32 values with stride 1 may use, where it is faster.  2: 2.25 times fewer
            multiplications, rounding errors half as large as those of direct sums, packed weights
            1.8 times as large.  4: 4 times fewer, errors twice as large as direct sums', packed
            weights 4 times as large.  0: direct sums alone, in one order for all convolutions.
            In each case bytes are the same on every processor, with any number of threads and
            in any batch.  A value that is not finite makes all outputs of the tiles around it
            NaN.  `lower.winograd` has numbers.
        share: a session of this same graph whose packed weights this one uses too.  The graph must
            not have been changed in between.
        any_strides: outputs are arrays whose dimensions may lie in any order in memory, as the
            kernels write them (channels last, for instance), which saves copies.

    Raises:
        InputError: for another precision or tile, or a session that cannot be shared with.
        GraphError: if the graph is not well formed.
        UnsupportedError: naming every operator without definition, and its nodes.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        threads: int | None = None,
        outputs: Sequence[str] | None = None,
        precision: str = "float32",
        winograd: int = 2,
        share: Session | None = None,
        any_strides: bool = False,
    ) -> None:
        if precision not in PRECISIONS:
            raise InputError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
        if winograd not in (0, *TILES):
            raise InputError(f"winograd must be 0, 2 or 4, the largest tile, not {winograd!r}")
        graph.check()
        self.graph = graph
        self.precision = precision
        self._options = Options(precision == "bf16", winograd, any_strides)
        self.threads = _threads(threads)
        self._pool = Pool(self.threads) if self.threads > 1 else None
        self._arrays = {name: weakref.ref(array) for name, array in _weights(graph)}
        if share is not None and not share._is_of(graph):
            raise InputError("share: the session is of another graph, or the graph was changed")
        self._weights: Weights = Weights() if share is None else share._weights
        self._arenas = Arenas()
        self._stages: dict[tuple[str, ...], Stage] = {}
        self._ready: dict[Key, Plan] = {}
        self._lock = Lock()
        self._outputs = tuple(outputs or (value.name for value in graph.outputs))
        self._stage(self._outputs)

    def _is_of(self, graph: Graph) -> bool:
        """Whether this is a session of the graph, and its constants are the same arrays still."""
        now = dict(_weights(graph))
        same = now.keys() == self._arrays.keys()
        return graph is self.graph and same and all(self._arrays[n]() is now[n] for n in now)

    @property
    def inputs(self) -> list[Value]:
        """What `run` must be given."""
        return list(self.graph.inputs)

    @property
    def outputs(self) -> list[str]:
        """What `run` returns."""
        return list(self._outputs)

    def run(
        self,
        feeds: Mapping[str, Any],
        outputs: Sequence[str] | None = None,
        *,
        into: Mapping[str, Array] | None = None,
        stop: Stop | None = None,
    ) -> dict[str, Array]:
        """Compute the outputs for one set of inputs.

        Args:
            feeds: an array for every input, of its type and shape.
            outputs: names of any values of the graph, instead of the session's outputs.
            into: by name of an output: an array of its type and shape, contiguous (with
                ``any_strides``: like the array of an earlier run), that is written and returned
                instead of a new one; it must not overlap another array of this run.  Outputs
                that are inputs or constants, or have no shape before the run, get arrays of
                their own all the same.
            stop: something with ``is_set()``, a `threading.Event` for instance: once it is set
                (by another thread) the run ends with `CancelledError`.  It is looked at between
                operators, every 100 ms or so; that is also when Ctrl-C takes effect.

        Returns:
            An array of its own for every output.

        Raises:
            InputError: if a name, type or shape is wrong.
            CancelledError: if ``stop`` was set; the session can be used as before.
        """
        if outputs is None:
            plan = self._ready.get(_signature(feeds))
            if plan is not None:
                return plan.run(feeds, self._pool, into, stop)
        checked = self._checked(feeds)
        stage = self._stage(tuple(outputs or self._outputs))
        if outputs is None:
            self._remember(stage, feeds, checked)
        return stage.run(checked, self._pool, into, stop)

    def bind(self, feeds: Mapping[str, Array], *, into: Mapping[str, Array] | None = None) -> Bound:
        """Return a call that reads these arrays and writes the outputs to the same ones.

        That saves the checks of `run`, some microseconds, and the memory of new outputs::

            step = session.bind({"input": frame})
            while True:
                camera.read_into(frame)
                scores = step.run()["output"]

        Args:
            feeds: a contiguous array for every input, of its type and shape.
            into: as of `run`; what is not given is made here.

        Raises:
            InputError: as `run` does, and for an input that would be copied.
        """
        checked = self._checked(feeds)
        require_in_place(feeds, checked)
        stage = self._stage(self._outputs)
        plan, rest = stage.plan(checked)
        outputs = stage.run(checked, self._pool, into)
        usable = plan if rest is None and not stage.needs else None
        return Bound(self.run, usable, self._pool, checked, outputs)

    def _remember(
        self, stage: Stage, feeds: Mapping[str, Any], checked: Mapping[str, Array]
    ) -> None:
        """Let the next run with arrays of these types and shapes skip the checks."""
        plan, rest = stage.plan(checked)
        if rest is None and not stage.needs and all(feeds[n] is checked[n] for n in checked):
            if len(self._ready) >= MOST_PLANS:
                self._ready.clear()
            self._ready[_signature(feeds)] = plan

    def report(
        self, feeds: Mapping[str, Any], outputs: Sequence[str] | None = None
    ) -> list[Planned]:
        """Return how each node runs for inputs of these shapes (after the graph passes).

        Nodes behind a value that decides shapes are planned once the first stage has run.
        """
        checked: Mapping[str, Array] = self._checked(feeds)
        found: list[Planned] = []
        stage: Stage | None = self._stage(tuple(outputs or self._outputs))
        while stage is not None:
            plan, rest = stage.plan(checked)
            found += plan.report
            if rest is not None:
                known = {**checked, **plan.run(checked, self._pool)}
                checked = {v.name: known[v.name] for v in rest.graph.inputs}
            stage = rest
        return found

    def memory(self, feeds: Mapping[str, Any]) -> int:
        """Return the bytes of arena that the first stage needs for inputs of these shapes."""
        return self._stage(self._outputs).plan(self._checked(feeds))[0].arena_bytes

    def profile(self, feeds: Mapping[str, Any]) -> list[tuple[Record, int]]:
        """Run once and return the nanoseconds of every record of the first stage."""
        checked = self._checked(feeds)
        return self._stage(self._outputs).plan(checked)[0].profile(checked, self._pool)

    def _stage(self, outputs: tuple[str, ...]) -> Stage:
        with self._lock:
            if outputs not in self._stages:
                graph = self._optimized(outputs)
                require_operators(graph)
                given = (graph, set[str](), self._weights, self._arenas, self.threads)
                renew = partial(self._optimized, outputs)
                self._stages[outputs] = Stage(*given, options=self._options, renew=renew)
            return self._stages[outputs]

    @collector_held()
    def _optimized(self, outputs: tuple[str, ...]) -> Graph:
        """Return the graph after passes, with these outputs."""
        graph = self.graph
        if list(outputs) != [value.name for value in graph.outputs]:
            known = graph.names()
            for name in outputs:
                if name not in known:
                    raise InputError(f"the graph has no value {name!r} to return")
            graph = graph.copy()
            graph.outputs = [graph.values.get(n, Value(n)) for n in outputs]
        return optimize(graph)

    def _checked(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        names = [value.name for value in self.graph.inputs]
        unknown = [name for name in feeds if name not in names]
        missing = [name for name in names if name not in feeds]
        if unknown or missing:
            problem = (
                f"no input is named {unknown[0]!r}" if unknown else f"{missing[0]!r} is missing"
            )
            raise InputError(f"{problem}; the inputs are {', '.join(map(repr, names))}")
        symbols: dict[str, tuple[int, str]] = {}
        return {v.name: checked_input(v, feeds[v.name], symbols) for v in self.graph.inputs}


def _weights(graph: Graph) -> Iterator[tuple[str, Entry]]:
    """Yield the constants that are arrays; a few may be numpy's scalars."""
    held = unread(graph.constants).items()
    yield from ((n, a) for n, a in held if isinstance(a, (np.ndarray, Stored)))


def _signature(feeds: Mapping[str, Any]) -> Key:
    """Return names, types and shapes of what a run is given."""
    return tuple(
        [
            (name, type(a), getattr(a, "dtype", None), getattr(a, "shape", None))
            for name, a in feeds.items()
        ]
    )


def _threads(threads: int | None) -> int:
    if threads is None:
        return processors()
    if not 1 <= threads <= 256:
        raise InputError(f"threads must be from 1 to 256, not {threads}")
    return threads


def compile(  # noqa: A001 - the name that users expect
    graph: Graph,
    *,
    threads: int | None = None,
    outputs: Sequence[str] | None = None,
    precision: str = "float32",
    winograd: int = 2,
    share: Session | None = None,
    any_strides: bool = False,
) -> Session:
    """Return a Session that runs ``graph`` in the engine (see `Session`)."""
    return Session(
        graph,
        threads=threads,
        outputs=outputs,
        precision=precision,
        winograd=winograd,
        share=share,
        any_strides=any_strides,
    )
