"""What a plan does when it runs: programs and host calls over one arena."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import CancelledError, InputError, ShapeError
from ..forks import renew_after_fork
from ..graph.graph import Array
from ..graph.interpret import compute
from ..graph.rules.registry import Info
from ..graph.stored import loaded
from ..native.call import address
from ..native.library import Pool
from .program import Program, Repeated
from .steps import HostCall, Record
from .view import Buffer, Kind, View, storage_order
from .watch import Stop

_ALIGN = 64
MOST_ARENAS = 4


@dataclass(frozen=True, slots=True)
class Planned:
    """One line of a plan's report: how a node runs."""

    label: str
    how: str


def _given(name: str, array: Array, made: _Made) -> Array:
    """Return the caller's array for an output, after comparing it with what will be written.

    Raises:
        InputError: if it does not serve.
    """
    if array.shape != made.shape or array.dtype != made.dtype:
        raise InputError(
            f"the array for output {name!r} is {array.dtype} of shape {list(array.shape)}, "
            f"not {made.dtype} of shape {list(made.shape)}"
        )
    flags = array.flags
    stored = flags if made.plain else array.transpose(made.order).flags
    if not (stored.c_contiguous and flags.writeable and flags.aligned):
        raise InputError(
            f"the array for output {name!r} is not contiguous and writeable, its dimensions in "
            f"the order {list(made.order)} from the outermost in memory"
        )
    return array


@dataclass(frozen=True, slots=True)
class _Made:
    """An output's array: its dimensions lie in memory in this order, the first one outermost."""

    slot: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: tuple[int, ...]
    plain: bool  #: whether that is row-major

    def empty(self) -> Array:
        """Return new memory.

        Raises:
            ShapeError: if there is not enough.
        """
        try:
            if self.plain:
                return np.empty(self.shape, self.dtype)
            stored = np.empty([self.shape[axis] for axis in self.order], self.dtype)
            return stored.transpose(np.argsort(self.order))
        except MemoryError as error:
            raise ShapeError(f"there is not enough memory to run this: {error}") from error


class Arenas:
    """Arena memory of a session, kept for later runs; each run has one to itself."""

    def __init__(self) -> None:
        self._free: list[Array] = []
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Make the lock anew."""
        self._lock = threading.Lock()  # a plain one: every run takes it twice

    def take(self, nbytes: int) -> Array:
        """Return at least ``nbytes`` bytes, and not none, 64-byte aligned.

        One that is too small is given up for a larger one, so what is kept is as many arenas as
        ever ran at once, at most `MOST_ARENAS`, of the largest sizes needed.
        """
        with self._lock:
            for i, memory in enumerate(self._free):
                if memory.nbytes >= nbytes:
                    return self._free.pop(i)
            if self._free:
                self._free.pop()
        nbytes = max(nbytes, _ALIGN)  # so that there is an address
        raw = np.empty(nbytes + _ALIGN, np.uint8)
        start = -raw.ctypes.data % _ALIGN
        return raw[start : start + nbytes]

    def give(self, memory: Array) -> None:
        """Keep the memory for a later run."""
        with self._lock:
            if len(self._free) < MOST_ARENAS:
                self._free.append(memory)


@dataclass
class Plan:
    """A planned part of a graph for given input shapes; `make_plan` makes it.

    Attributes:
        steps: programs, and the nodes between them that run by definition.
        bases: memory outside the arena: constants, inputs, outputs.
        offsets: byte offset in the arena by ``id`` of a buffer.
        arena_bytes: size of the arena, scratch included.
        inputs: names that a run is given.
        outputs: names that a run returns.
        infos: type and shape of every output.
        results: where outputs lie.
        report: how each node runs.
        arenas: memory shared by all plans of a session.
    """

    steps: list[Program | Repeated | HostCall]
    bases: list[Buffer]
    offsets: dict[int, int]
    arena_bytes: int
    inputs: list[str]
    outputs: list[str]
    infos: dict[str, Info]
    results: dict[str, View]
    report: list[Planned]
    arenas: Arenas

    def __post_init__(self) -> None:
        self._slot = {id(buffer): n for n, buffer in enumerate(self.bases)}
        held = [buffer.array for buffer in self.bases]
        self._constants = [None if array is None else loaded(array) for array in held]
        self._given = [(n, b.name) for n, b in enumerate(self.bases) if b.kind is Kind.INPUT]
        self._made = {
            b.name: self._array(n, self.results[b.name])
            for n, b in enumerate(self.bases)
            if b.kind is Kind.OUTPUT
        }
        known = [0 if array is None else address(array) for array in self._constants]
        self._addresses = (ctypes.c_int64 * (len(known) + 1))(0, *known)
        direct = all(
            name in self.results and self.results[name].buffer.kind is Kind.OUTPUT
            for name in self.outputs
        )
        #: outputs by slot, where every one lies in a buffer of its own
        self._direct = (
            [(name, self._slot[id(self.results[name].buffer)]) for name in self.outputs]
            if direct
            else None
        )
        only = self.steps[0] if len(self.steps) == 1 and direct else None
        #: all there is to run, where it writes every output to an array of its own
        self.single = None if isinstance(only, HostCall) else only

    @staticmethod
    def _array(slot: int, view: View) -> _Made:
        order = tuple(storage_order(view.shape, view.strides))
        plain = order == tuple(range(len(order)))
        return _Made(slot, view.shape, view.dtype.numpy, order, plain)

    def run(
        self,
        feeds: Mapping[str, Array],
        pool: Pool | None,
        into: Mapping[str, Array] | None = None,
        stop: Stop | None = None,
    ) -> dict[str, Array]:
        """Run the steps; returns the outputs by name, each an array of its own (or of ``into``)."""
        memory = self.arenas.take(self.arena_bytes)
        try:
            run = Run(self, feeds, memory, into or {})
            for step in self.steps:
                if stop is not None and stop.is_set():
                    raise CancelledError("the run was cancelled")
                if isinstance(step, HostCall):
                    run.host(step)
                else:
                    step.job(run.addresses, pool).run(stop)
            if self._direct is not None and not run.found:
                return {name: run.arrays[slot] for name, slot in self._direct}  # type: ignore[misc]
            return {name: run.output(name) for name in self.outputs}
        finally:
            self.arenas.give(memory)

    def profile(self, feeds: Mapping[str, Array], pool: Pool | None) -> list[tuple[Record, int]]:
        """Run and return the nanoseconds of each record (host calls left out)."""
        memory = self.arenas.take(self.arena_bytes)
        try:
            run = Run(self, feeds, memory)
            found: list[tuple[Record, int]] = []
            for step in self.steps:
                if isinstance(step, HostCall):
                    run.host(step)
                else:
                    times = step.profile(run.addresses, pool)
                    found += zip(step.records, times, strict=True)
            return found
        finally:
            self.arenas.give(memory)


class Run:
    """The memory of one run."""

    __slots__ = ("addresses", "arrays", "found", "memory", "plan")

    def __init__(
        self,
        plan: Plan,
        feeds: Mapping[str, Array],
        memory: Array,
        into: Mapping[str, Array] = MappingProxyType({}),
    ) -> None:
        self.plan = plan
        self.memory = memory
        self.arrays = plan._constants.copy()
        self.addresses = type(plan._addresses).from_buffer_copy(plan._addresses)
        self.addresses[0] = address(memory)
        #: values that have no place in the plan's memory: of unknown shape, or objects
        self.found: dict[str, Array] = {}
        for slot, name in plan._given:
            array = np.asarray(feeds[name], order="C")
            self.arrays[slot] = array
            self.addresses[slot + 1] = address(array)
        for name, made in plan._made.items():
            array = _given(name, into[name], made) if name in into else made.empty()
            self.arrays[made.slot] = array
            self.addresses[made.slot + 1] = address(array)

    def output(self, name: str) -> Array:
        """Return an output as an array of its own."""
        if name in self.found:
            return self.found[name]
        view = self.plan.results[name]
        if view.buffer.kind is Kind.OUTPUT:
            return self._base(view)
        return self.read(view).copy()

    def read(self, view: View) -> Array:
        """Return the numpy array that a view shows."""
        start = view.offset * view.itemsize
        if view.buffer.kind is Kind.ARENA:
            base, start = self.memory, start + self.plan.offsets.get(id(view.buffer), 0)
        else:
            base = self._base(view)
            if base.dtype == object:
                return base
        if not view.size:
            return np.empty(view.shape, view.dtype.numpy)
        raw = base.ravel("K").view(np.uint8)  # of memory without gaps: never a copy
        strides = [stride * view.itemsize for stride in view.strides]
        return np.ndarray(view.shape, view.dtype.numpy, raw, start, strides)

    def _base(self, view: View) -> Array:
        found = self.arrays[self.plan._slot[id(view.buffer)]]
        assert found is not None
        return found

    def _value(self, name: str, view: View) -> Array:
        return self.found[name] if name in self.found else self.read(view)

    def host(self, call: HostCall) -> None:
        """Run a node by its reference definition."""
        node = call.node
        given = [
            None if view is None else self._value(name, view)
            for name, view in zip(node.inputs, call.inputs, strict=True)
        ]
        scope = {name: self._value(name, view) for name, view in call.captures}
        results = compute(node, given, scope)
        for name, view, array in zip(node.outputs, call.outputs, results, strict=False):
            if not name:
                continue
            if view is None or view.dtype.numpy.kind == "O":
                self.found[name] = np.array(array)
            elif tuple(array.shape) != view.shape:
                raise InputError(
                    f"{node.label} made shape {array.shape} where {view.shape} was planned"
                )
            else:
                self.read(view)[...] = array
