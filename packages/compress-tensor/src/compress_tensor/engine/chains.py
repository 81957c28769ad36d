"""Elementwise records that follow one another become one: one loop, nothing written between.

A chain takes at most four inputs and eight operators (libcore's ``chain_f32``); what lies between
its operators must be read by nobody else, but for one result, which is kept beside the last.  It
may begin by dequantizing its inputs and end by quantizing.  Results are the same bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..dtype import DType
from .steps import Record, Step, views_of
from .view import Buffer, Kind, View, collapse

_INPUTS, _LINKS = 4, 8
_BINARY = 64  #: added to a function of two
_LINEAR = {"quantize_linear": 128, "dequantize_linear": 129}
BYTES = (DType.UINT8, DType.INT8)
_COMPARISON = 10  #: functions of two from here on give no float32

Place = tuple[int, int, tuple[int, ...], tuple[int, ...]]


def chained(steps: Sequence[Step], results: Collection[Buffer]) -> list[Step]:
    """Return the steps with chains made one record each.

    Args:
        steps: of a plan, in order.
        results: memory that is read after the last step.
    """
    readers: dict[int, list[int]] = defaultdict(list)
    for n, step in enumerate(steps):
        for buffer in _reads(step):
            readers[id(buffer)].append(n)
    for buffer in results:
        readers[id(buffer)].append(len(steps))
    found: list[Step] = []
    at = 0
    while at < len(steps):
        step, count = _longest(steps, at, readers)
        found.append(step)
        at += count
    return found


def _reads(step: Step) -> list[Buffer]:
    """Return the memory that a step reads, and what it writes to only in part."""
    elementwise = (
        isinstance(step, Record) and step.wide
    )  # all operands are there, the last is written
    views = views_of(step)[:-1] if elementwise else views_of(step)
    return [view.buffer for view in views]


def _place(view: View) -> Place:
    return id(view.buffer), view.offset, view.shape, view.strides


def _numbers(record: Record) -> list[float] | None:
    """Return alpha and beta of a link, or scale and zero point; None if it cannot be one.

    Links are functions of one or two float32, element by element, and codes of one grid.
    """
    if not record.wide:
        return None
    if record.kernel in _LINEAR:
        codes = record.wide[-1 if record.kernel == "quantize_linear" else 0]
        grid = grid_of(record) if codes.dtype in BYTES else None
        return None if grid is None else [*grid]
    if record.kernel == "binary" and int(record.args[0]) >= _COMPARISON:
        return None
    if record.kernel not in ("unary_f32", "binary") or any(
        view.dtype is not DType.FLOAT32 for view in record.wide
    ):
        return None
    return [float(number) for number in record.args[1:]] or [0.0, 0.0]


def grid_of(record: Record) -> tuple[float, float] | None:
    """Return scale and zero point of a record that quantizes or dequantizes, if it has one grid."""
    grid = [_only(view) for view in record.wide[1:-1]]
    scale, zero = (*grid, 0.0)[:2] if grid else (None, None)
    return None if scale is None or zero is None else (scale, zero)


def _only(view: View) -> float | None:
    """Return the one number that a view of a constant shows, if it does."""
    array = view.buffer.array
    single = all(
        size == 1 or step == 0 for size, step in zip(view.shape, view.strides, strict=True)
    )
    if view.buffer.kind is not Kind.CONSTANT or not isinstance(array, np.ndarray) or not single:
        return None
    return float(array.reshape(-1)[view.offset])


def _lies_as(kept: View, out: View) -> bool:
    """Whether both are written element by element in one order, densely."""
    sizes = zip(out.shape, kept.strides, out.strides, strict=True)
    steps = [(a, b) for size, a, b in sizes if size > 1]
    return all(a == b for a, b in steps) and (not steps or any(b == 1 for _, b in steps))


@dataclass
class _Chain:
    """Records that are computed in one loop."""

    records: list[Record] = field(default_factory=list)
    inputs: list[View] = field(default_factory=list)
    links: list[list[int | float]] = field(default_factory=list)
    made: dict[Place, int] = field(default_factory=dict)  #: which link wrote there last
    used: set[int] = field(default_factory=set)  #: links that a later one reads
    kept: int = -1  #: the link whose result is read later, beside the last one's

    def add(self, record: Record) -> bool:
        """Append a record if it fits."""
        numbers = _numbers(record)
        if numbers is None or (self.records and self.records[-1].wide[-1].dtype in BYTES):
            return False
        linear = _LINEAR.get(record.kernel)
        given, out = record.wide[:1] if linear else record.wide[:-1], record.wide[-1]
        if self.records and out.shape != self.records[0].wide[-1].shape:
            return False
        written = {place[0] for place in self.made}
        inputs, sources = list(self.inputs), []
        for view in given:
            place = _place(view)
            if place in self.made:
                sources.append(_INPUTS + self.made[place])
            elif id(view.buffer) in written:
                return False  # another view of what a link has made
            else:
                known = [_place(each) for each in inputs]
                if place not in known:
                    inputs.append(view)
                    known.append(place)
                sources.append(known.index(place))
        if len(inputs) > _INPUTS or len(self.records) == _LINKS:
            return False
        self.used.update(source - _INPUTS for source in sources if source >= _INPUTS)
        code = linear or int(record.args[0]) + (_BINARY if record.kernel == "binary" else 0)
        self.links.append([code, sources[0], sources[-1], *numbers])
        self.made = {p: n for p, n in self.made.items() if p[0] != id(out.buffer)}
        self.made[_place(out)] = len(self.records)
        self.inputs = inputs
        self.records.append(record)
        return True

    def serves(self, end: int, readers: dict[int, list[int]]) -> bool:
        """Whether little but its last result is read from step ``end`` on, and it is safe."""
        last = self.records[-1].wide[-1]
        if self.used != set(range(len(self.records) - 1)):
            return False
        results, self.kept = [last], -1
        for n, record in enumerate(self.records[:-1]):
            out = record.wide[-1]
            if _place(out) == _place(last):
                continue  # written over by the last
            if out.buffer.kind is Kind.ARENA and all(n < end for n in readers[id(out.buffer)]):
                continue
            if self.kept >= 0 or len(self.inputs) == _INPUTS or record.kernel in _LINEAR:
                return False
            if out.buffer is last.buffer or not _lies_as(out, last):
                return False
            results, self.kept = [out, last], n
        # An input in a result's memory must lie just as that does.
        return all(
            view.buffer is not result.buffer or _place(view) == _place(result)
            for view in self.inputs
            for result in results
        )

    def record(self) -> Record:
        """Return the chain as one record."""
        kept = [self.records[self.kept].wide[-1]] if self.kept >= 0 else []
        wide = (*self.inputs, *kept, self.records[-1].wide[-1])
        targets = {len(self.links) - 1: len(wide) - 1, self.kept: len(self.inputs)}
        args = [word for n, link in enumerate(self.links) for word in (*link, targets.get(n, -1))]
        return Record("chain_f32", tuple(collapse(wide)), tuple(args), self.records[-1].label)


def _longest(steps: Sequence[Step], at: int, readers: dict[int, list[int]]) -> tuple[Step, int]:
    """Return the longest chain from step ``at`` on, and how many steps it is: one stays itself."""
    found, count = steps[at], 1
    chain = _Chain()
    for n in range(at, min(at + _LINKS, len(steps))):
        step = steps[n]
        if not (isinstance(step, Record) and chain.add(step)):
            break
        if n > at and chain.serves(n + 1, readers):
            found, count = chain.record(), n + 1 - at
    return found, count
