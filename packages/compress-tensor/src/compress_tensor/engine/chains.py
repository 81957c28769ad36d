"""Elementwise records that follow one another become one: one loop, nothing written between.

A chain takes at most four inputs and eight operators (libcore's ``chain_f32``); what lies between
its operators must be read by nobody else.  Results are the same bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ..dtype import DType
from .steps import Record, Step, views_of
from .view import Buffer, Kind, View, collapse

_INPUTS, _LINKS = 4, 8
_BINARY = 64  #: added to a function of two
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


def _is_link(step: Step) -> bool:
    """Whether a step is a float32 function of one or two, element by element."""
    if not isinstance(step, Record) or not step.wide:
        return False
    if step.kernel == "binary" and int(step.args[0]) >= _COMPARISON:
        return False
    return step.kernel in ("unary_f32", "binary") and all(
        view.dtype is DType.FLOAT32 for view in step.wide
    )


@dataclass
class _Chain:
    """Records that are computed in one loop."""

    records: list[Record] = field(default_factory=list)
    inputs: list[View] = field(default_factory=list)
    args: list[int | float] = field(default_factory=list)
    made: dict[Place, int] = field(default_factory=dict)  #: which link wrote there last
    used: set[int] = field(default_factory=set)  #: links that a later one reads

    def add(self, record: Record) -> bool:
        """Append a record if it fits."""
        *given, out = record.wide
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
        one = record.kernel == "unary_f32"
        code, *numbers = record.args
        self.args += [int(code) + (0 if one else _BINARY), sources[0], sources[-1]]
        self.args += [float(number) for number in numbers] if one else [0.0, 0.0]
        self.made = {p: n for p, n in self.made.items() if p[0] != id(out.buffer)}
        self.made[_place(out)] = len(self.records)
        self.inputs = inputs
        self.records.append(record)
        return True

    def serves(self, end: int, readers: dict[int, list[int]]) -> bool:
        """Whether nothing but its last result is read from step ``end`` on, and it is safe."""
        last = self.records[-1].wide[-1]
        if self.used != set(range(len(self.records) - 1)):
            return False
        for record in self.records[:-1]:
            buffer = record.wide[-1].buffer
            if _place(record.wide[-1]) == _place(last):
                continue  # written over by the last
            if buffer.kind is not Kind.ARENA or any(n >= end for n in readers[id(buffer)]):
                return False
        # An input in the result's memory must lie just as the result does.
        return all(v.buffer is not last.buffer or _place(v) == _place(last) for v in self.inputs)

    def record(self) -> Record:
        """Return the chain as one record."""
        wide = (*self.inputs, self.records[-1].wide[-1])
        return Record("chain_f32", tuple(collapse(wide)), tuple(self.args), self.records[-1].label)


def _longest(steps: Sequence[Step], at: int, readers: dict[int, list[int]]) -> tuple[Step, int]:
    """Return the longest chain from step ``at`` on, and how many steps it is: one stays itself."""
    found, count = steps[at], 1
    chain = _Chain()
    for n in range(at, min(at + _LINKS, len(steps))):
        step = steps[n]
        if not (_is_link(step) and isinstance(step, Record) and chain.add(step)):
            break
        if n > at and chain.serves(n + 1, readers):
            found, count = chain.record(), n + 1 - at
    return found, count
