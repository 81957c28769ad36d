"""A plan: records and host calls for given input shapes, their memory, and how to run it."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import CompressError, InputError
from ..graph.graph import Array
from ..graph.interpret import compute
from ..graph.rules.registry import Info
from ..native.library import Pool
from .fuse import fuse
from .lower import LOWERINGS
from .lowering import HostCall, Lowering, Step, WeightCache
from .program import Program, Record, place
from .specialize import Specialized, without_dead
from .view import Buffer, Kind, View
from .widen import widen

_ALIGN = 64


@dataclass(frozen=True, slots=True)
class Planned:
    """One line of a plan's report: how a node runs."""

    label: str
    how: str


class Arenas:
    """Arena memory of a plan, kept for the next run; each run has one to itself."""

    def __init__(self) -> None:
        self._free: list[Array] = []
        self._lock = threading.Lock()

    def take(self, nbytes: int) -> Array:
        """Return at least ``nbytes`` bytes, 64-byte aligned."""
        with self._lock:
            while self._free:
                memory = self._free.pop()
                if memory.nbytes >= nbytes:
                    return memory
        raw = np.empty(nbytes + _ALIGN, np.uint8)
        start = -raw.ctypes.data % _ALIGN
        return raw[start : start + nbytes]

    def give(self, memory: Array) -> None:
        """Keep the memory for a later run."""
        with self._lock:
            if len(self._free) < 4:
                self._free.append(memory)


@dataclass
class Plan:
    """What one run does; made by `make_plan`."""

    steps: list[Program | HostCall]
    bases: list[Buffer]
    offsets: dict[int, int]
    arena_bytes: int
    inputs: list[str]
    outputs: list[str]
    infos: dict[str, Info]
    results: dict[str, View]
    constants: dict[str, Array]
    report: list[Planned]
    arenas: Arenas = field(default_factory=Arenas)

    def run(self, feeds: Mapping[str, Array], pool: Pool | None) -> dict[str, Array]:
        """Run the steps; returns the outputs by name, each an array of its own."""
        memory = self.arenas.take(self.arena_bytes)
        try:
            arrays = self._arrays(feeds)
            addresses = (ctypes.c_void_p * (len(self.bases) + 1))()
            addresses[0] = memory.ctypes.data
            for n, array in enumerate(arrays):
                addresses[n + 1] = array.ctypes.data
            found: dict[str, Array] = {}
            for step in self.steps:
                if isinstance(step, Program):
                    step.run(addresses, pool)
                else:
                    self._host(step, memory, arrays, found)
            for name in self.outputs:
                if name not in found:
                    found[name] = self._result(name, memory, arrays)
            return {name: found[name] for name in self.outputs}
        finally:
            self.arenas.give(memory)

    def profile(self, feeds: Mapping[str, Array], pool: Pool | None) -> list[tuple[Record, int]]:
        """Run and return the nanoseconds of each record (host calls left out)."""
        memory = self.arenas.take(self.arena_bytes)
        arrays = self._arrays(feeds)
        addresses = (ctypes.c_void_p * (len(self.bases) + 1))()
        addresses[0] = memory.ctypes.data
        for n, array in enumerate(arrays):
            addresses[n + 1] = array.ctypes.data
        found: list[tuple[Record, int]] = []
        for step in self.steps:
            if isinstance(step, Program):
                found += zip(step.records, step.profile(addresses, pool), strict=True)
            else:
                self._host(step, memory, arrays, {})
        return found

    def _arrays(self, feeds: Mapping[str, Array]) -> list[Array]:
        arrays: list[Array] = []
        for buffer in self.bases:
            if buffer.kind is Kind.INPUT:
                arrays.append(np.asarray(feeds[buffer.name], order="C"))
            elif buffer.kind is Kind.OUTPUT:
                info = self.infos[buffer.name]
                arrays.append(np.empty(info.dims, info.dtype.numpy))
            else:
                assert buffer.array is not None
                arrays.append(buffer.array)
        return arrays

    def _result(self, name: str, memory: Array, arrays: list[Array]) -> Array:
        view = self.results[name]
        for buffer, array in zip(self.bases, arrays, strict=True):
            if buffer is view.buffer:
                return array
        return self._read(view, memory, arrays).copy()

    def _read(self, view: View, memory: Array, arrays: list[Array]) -> Array:
        """Return the numpy array that a view shows."""
        base = memory
        start = view.offset * view.itemsize
        if view.buffer.kind is Kind.ARENA:
            start += self.offsets.get(id(view.buffer), 0)
        else:
            base = next(
                array
                for buffer, array in zip(self.bases, arrays, strict=True)
                if buffer is view.buffer
            )
            if base.dtype == object:
                return base
        raw = base.reshape(-1).view(np.uint8)
        if not view.size:
            return np.empty(view.shape, view.dtype.numpy)
        strides = [stride * view.itemsize for stride in view.strides]
        return np.ndarray(view.shape, view.dtype.numpy, raw, start, strides)

    def _value(
        self,
        name: str,
        view: View,
        memory: Array,
        arrays: list[Array],
        found: dict[str, Array],
    ) -> Array:
        """Return the contents of a value while the plan runs."""
        return found[name] if name in found else self._read(view, memory, arrays)

    def _host(
        self, call: HostCall, memory: Array, arrays: list[Array], found: dict[str, Array]
    ) -> None:
        """Run a node by its reference definition."""
        node = call.node
        given = [
            None if view is None else self._value(name, view, memory, arrays, found)
            for name, view in zip(node.inputs, call.inputs, strict=True)
        ]
        scope = {
            name: self._value(name, view, memory, arrays, found) for name, view in call.captures
        }
        with np.errstate(all="ignore"):
            results = compute(node, given, scope)
        for name, view, array in zip(node.outputs, call.outputs, results, strict=False):
            if not name:
                continue
            info = self.infos.get(name)
            if info is not None and info.shape is None:
                found[name] = np.array(array)
            elif view is not None:
                if tuple(array.shape) != view.shape:
                    raise InputError(
                        f"{node.label} made shape {array.shape} where {view.shape} was planned"
                    )
                if view.dtype.numpy.kind == "O":
                    found[name] = np.array(array)
                else:
                    self._read(view, memory, arrays)[...] = array


def make_plan(
    part: Specialized,
    inputs: Sequence[str],
    outputs: Sequence[str],
    weights: WeightCache,
    threads: int,
) -> Plan:
    """Plan the specialised nodes: lowering, memory, programs.

    Args:
        part: what to compute.
        inputs: names that a run is given.
        outputs: names that a run returns.
        weights: packed weights of the session, extended here.
        threads: the number for which scratch memory is reserved.
    """
    wanted = set(outputs)
    nodes = without_dead(part.nodes, wanted)
    nodes = widen(nodes, part.infos, part.constants, list(outputs))
    nodes = without_dead(fuse(nodes, part.infos, part.constants), wanted)
    unknown = {n for n in outputs if part.infos[n].shape is None}
    fixed = [name for name in outputs if name not in unknown]
    ctx = Lowering(part.infos, part.constants, list(inputs), fixed, nodes, weights)
    report: list[Planned] = []
    for node in nodes:
        before = len(ctx.steps)
        if id(node) in ctx.done:
            report.append(Planned(node.label, "fused"))
            continue
        if any(name and part.infos[name].shape is None for name in node.outputs):
            ctx.host(node, "its output shape depends on data")
            ctx.finish(node)
        else:
            ctx.lower(node, LOWERINGS.get((node.domain, node.op)))
        report.append(Planned(node.label, _how(ctx.steps[before:])))
    ctx.results()
    return _assemble(ctx, part, inputs, outputs, threads, report)


def _how(steps: Sequence[Step]) -> str:
    for step in steps:
        if isinstance(step, HostCall):
            return f"reference: {step.reason}"
    return ", ".join(s.kernel for s in steps if isinstance(s, Record)) or "view"


def _assemble(
    ctx: Lowering,
    part: Specialized,
    inputs: Sequence[str],
    outputs: Sequence[str],
    threads: int,
    report: list[Planned],
) -> Plan:
    uses: list[tuple[int, Sequence[View | None]]] = []
    for n, step in enumerate(ctx.steps):
        if isinstance(step, Record):
            uses.append((n, step.operands))
        else:
            read = (view for _, view in step.captures)
            uses.append((n, (*step.inputs, *step.outputs, *read)))
    results = {name: ctx.views[name] for name in outputs if name in ctx.views}
    uses.append((len(ctx.steps), list(results.values())))
    offsets, arena_bytes, bases = place(uses)
    steps: list[Program | HostCall] = []
    segment: list[Record] = []
    total = arena_bytes
    for item in [*ctx.steps, None]:
        if isinstance(item, Record):
            segment.append(item)
            continue
        if segment:
            program = Program(segment, bases, offsets, arena_bytes)
            total = max(total, program.arena_bytes(threads))
            steps.append(program)
            segment = []
        if item is not None:
            steps.append(item)
    if not all(isinstance(name, str) for name in outputs):
        raise CompressError("outputs must be names")
    return Plan(
        steps=steps,
        bases=bases,
        offsets=offsets,
        arena_bytes=total,
        inputs=list(inputs),
        outputs=list(outputs),
        infos=part.infos,
        results=results,
        constants=part.constants,
        report=report,
    )
