"""Stage: a graph planned as a whole.  Plans are made per input shape and cached."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from math import prod

import numpy as np

from ..collector import collector_held
from ..dtype import DType
from ..errors import InputError, UnsupportedError
from ..forks import Lock
from ..graph.graph import Array, Graph, Value, captured
from ..graph.rules.registry import Info
from ..graph.stored import chosen
from ..native.library import Pool
from .options import DEFAULT, Options
from .plan import make_plan
from .run import Arenas, Plan
from .specialize import Specialized, specialize, without_dead
from .split import split
from .watch import Stop
from .weights import Weights

MOST_PLANS = 32  #: plans kept per stage; the least recently used goes first
MOST_DECIDING = 64  #: elements of an integer input whose contents may select the plan
MOST_KEY_BYTES = 1 << 16  #: contents of an input that decides shapes, at most

Key = tuple[object, ...]


class Stage:
    """A graph that is planned as a whole, up to the first value that must be known.

    Args:
        graph: after passes.
        needs: inputs whose contents are part of the plan's key.
        weights: packed weights of the session.
        arenas: memory of the session.
        threads: how many a run may use.
        stable: the constants that are the same in every plan; by default all.
        options: what the session was asked for.
        renew: makes the graph again.  If given, it is let go once a plan is made: what the passes
            computed, and the plan's records read packed, is then not kept twice.
    """

    def __init__(
        self,
        graph: Graph,
        needs: set[str],
        weights: Weights,
        arenas: Arenas,
        threads: int,
        stable: frozenset[str] | None = None,
        *,
        options: Options = DEFAULT,
        renew: Callable[[], Graph] | None = None,
    ) -> None:
        self._graph: Graph | None = graph
        self._renew = renew
        self._inputs = [value.name for value in graph.inputs]
        self.needs = set(needs)
        self.stable = frozenset(graph.constants) if stable is None else stable
        self.weights = weights
        self.arenas = arenas
        self.threads = threads
        self.options = options
        self._plans: OrderedDict[Key, tuple[Plan, Stage | None]] = OrderedDict()
        self._lock = Lock()
        self._splits = True  #: whether batches may be run in parts

    @property
    def graph(self) -> Graph:
        """The graph after passes."""
        with self._lock:
            if self._graph is None:
                assert self._renew is not None
                self._graph = self._renew()
            return self._graph

    def run(
        self,
        feeds: Mapping[str, Array],
        pool: Pool | None,
        into: Mapping[str, Array] | None = None,
        stop: Stop | None = None,
    ) -> dict[str, Array]:
        """Run on inputs whose names, types and shapes were checked."""
        plan, rest = self.plan(feeds)
        found = plan.run(feeds, pool, into, stop)
        if rest is None:
            return found
        known = {**{name: feeds[name] for name in self._inputs}, **found}
        given = {v.name: known[v.name] for v in rest.graph.inputs}
        return rest.run(given, pool, into, stop)

    def plan(self, feeds: Mapping[str, Array]) -> tuple[Plan, Stage | None]:
        """Return the plan for these shapes (and contents, where they matter)."""
        with self._lock:
            while True:
                key = self._key(feeds)
                if key in self._plans:
                    self._plans.move_to_end(key)
                    return self._plans[key]
                made = self._make(feeds)
                if made is not None:
                    self._plans[key] = made
                    while len(self._plans) > MOST_PLANS:
                        self._plans.popitem(last=False)
                    return made

    def _key(self, feeds: Mapping[str, Array]) -> Key:
        words: list[object] = []
        for name in self._inputs:
            array = feeds[name]
            words += [array.shape, array.dtype.str if array.dtype.names is None else array.dtype]
            if name in self.needs:
                if array.nbytes > MOST_KEY_BYTES:
                    raise InputError(
                        f"input {name!r} decides shapes, but has {array.nbytes} bytes; "
                        f"at most {MOST_KEY_BYTES} are supported"
                    )
                words.append(str(array.tolist()) if array.dtype == object else array.tobytes())
        return tuple(words)

    @collector_held()
    def _make(self, feeds: Mapping[str, Array]) -> tuple[Plan, Stage | None] | None:
        """Plan; None if that must be tried again, with a new key or without parts."""
        infos: dict[str, Info] = {}
        for name in self._inputs:
            array = feeds[name]
            value = np.array(array) if name in self.needs else None
            infos[name] = Info(DType.of(array.dtype), tuple(array.shape), value, name)
        graph = self.graph
        part = specialize(graph, infos, self.stable)
        deciding = _deciding_inputs(part, infos)
        if deciding:
            self.needs |= deciding
            return None
        wanted = [value.name for value in graph.outputs]
        parts = None
        if self._splits and not part.rest and not part.needs and not self.needs:
            bind = partial(specialize, graph, stable=self.stable)
            parts = split(part, infos, wanted, self.threads, self.options.half, bind)
            part = part if parts is None else parts.few
            del bind
        del graph
        if self._renew is not None:
            self._graph = None  # so that what is packed on the way can go at once
        if not part.rest and not part.needs:
            missing = [n for n in wanted if n not in part.infos]
            if missing:
                raise UnsupportedError(f"outputs {missing} are made by no node")
            planned = self._planned(part, wanted)
            if parts is None:
                return planned, None
            whole = parts.plan(planned, self.threads)
            self._splits = whole is not None  # or all at once, with the graph made again
            return None if whole is None else (whole, None)
        # Cut: what is behind reads values from before as its inputs.
        reads = [n for node in part.rest for n in [*node.inputs, *captured(node)] if n]
        inside = {out for node in part.rest for out in node.outputs}
        crossing = list(
            dict.fromkeys(n for n in [part.needs, *reads, *wanted] if n and n not in inside)
        )
        constants = chosen(part.constants, set(crossing))
        alive = [n for n in crossing if n not in constants]
        made_here = [n for n in alive if n not in infos]
        rest = Graph(
            nodes=part.rest,
            inputs=[Value(n) for n in alive],
            outputs=[Value(n) for n in wanted],
            constants=constants,
        )
        needs = {part.needs} if part.needs else set()
        behind = (rest, needs, self.weights, self.arenas, self.threads, part.stable)
        after = Stage(*behind, options=self.options)
        return self._planned(part, made_here), after

    def _planned(self, part: Specialized, outputs: list[str]) -> Plan:
        given = (self._inputs, outputs, self.weights, self.arenas, self.threads)
        return make_plan(part, *given, self.options)


def _deciding_inputs(part: Specialized, infos: dict[str, Info]) -> set[str]:
    """Return the inputs whose contents settle the needed value, if they are few numbers."""
    if part.needs in infos:
        return {part.needs}
    roots = {name for node in without_dead(part.nodes, {part.needs}) for name in node.inputs}
    roots &= set(infos)
    small = all(
        prod(infos[name].dims) <= MOST_DECIDING and not infos[name].dtype.is_float for name in roots
    )
    return {name for name in roots if infos[name].value is None} if small else set()
