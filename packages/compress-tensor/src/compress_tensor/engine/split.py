"""A batch in parts: a few images at a time go through the whole plan, on every thread others.

What a layer leaves is then still in the cache when the next one reads it, and threads meet once in
a run, not once in a layer.  (Of whole batches, ResNet50 in float32 takes 6 % longer per image than
of one image, MobileNetV2 26 %.)  It is done where `rows` proves that no row of the batch has to do
with another; the bytes are the same, as those of a row never depend on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isqrt

from ..errors import ShapeError
from ..graph.rules.registry import Info, NeedsValue
from .memory import require_memory
from .program import Program, Repeated
from .rows import Rows
from .run import Plan
from .specialize import Specialized
from .view import Buffer, Kind, View, storage_order
from .work import Work, work_of

CACHE_BYTES = 4 << 20  #: of the values that one layer reads and writes, for a thread's images
LEAST_SECONDS = 20e-6  #: of work in a part: handing one out costs about a microsecond
MOST_REREADING = 0.05  #: of the time: what reading weights once per part may take
MOST_LEFT = 4  #: one in so many runs may be left over
FEW_ROWS = 32  #: a product of fewer rows waits for its weights
_READ = 16e9  #: bytes per second that one core reads from the cache that cores share
_RATES = {1: 2e11, 2: 1e11, 4: 5e10}  #: products per second of one core, by bytes of an operand


@dataclass(frozen=True)
class Split:
    """A batch in parts.

    Attributes:
        few: the graph for the rows of one part.
        along: the values of it that are apart, with the dimension of rows.
        count: how many parts there are.
    """

    few: Specialized
    along: Mapping[str, int]
    count: int

    def plan(self, part: Plan, threads: int) -> Plan | None:
        """Return the plan for all rows, given that for a part; None if it cannot be repeated."""
        if not isinstance(part.single, Program) or not all(map(_stacks, part.results.values())):
            return None
        return _repeated(part, part.single, self, threads)


def split(
    whole: Specialized,
    inputs: Mapping[str, Info],
    outputs: Sequence[str],
    threads: int,
    half: bool,
    bind: Callable[[dict[str, Info]], Specialized],
) -> Split | None:
    """Return how to run a batch in parts, or None where that is not possible or of no use.

    Args:
        whole: the graph for the whole batch.
        inputs: its inputs; the first dimension of the first one that has any is the batch.
        outputs: names that a run returns.
        threads: how many a run has.
        half: whether products of float32 values take bfloat16.
        bind: specialises the graph to other inputs.
    """
    rows = next((info.dims[0] for info in inputs.values() if info.dims), 0)
    if rows < max(2, threads):
        return None
    works = work_of(whole)
    widest = max((work.moved for work in works), default=0) / rows
    part = next((n for n in _parts(rows, threads, widest) if _pays(works, n / rows, half)), 0)
    if not part:
        return None
    given = {
        name: replace(info, shape=(part, *info.dims[1:])) if info.dims[:1] == (rows,) else info
        for name, info in inputs.items()
    }
    try:
        few = bind(given)
        along = None if few.rest else Rows(whole, few, rows, part).apart(list(inputs))
    except (ShapeError, NeedsValue):
        return None  # of a graph that takes this batch only
    if along is None or any(along.get(name) != 0 for name in outputs):
        return None
    return Split(few, along, rows // part)


def _parts(rows: int, threads: int, image_bytes: float) -> Iterator[int]:
    """Yield how many images to take at a time, the best number first.

    The runs that threads do not share evenly are done one by one, so there should be few.
    """
    fitting = max(1, CACHE_BYTES // max(image_bytes, 1))
    if threads == 1 and rows <= fitting:
        return
    small = [n for n in range(1, isqrt(rows) + 1) if rows % n == 0]
    parts = sorted({n for d in small for n in (d, rows // d) if n <= rows // threads})
    shared = [n for n in parts if rows // n % threads * MOST_LEFT <= rows // n] or parts
    yield from (n for n in reversed(shared) if n <= fitting)
    if threads > 1:
        yield from (n for n in shared if n > fitting)


def _pays(works: Sequence[Work], share: float, half: bool) -> bool:
    """Whether parts with a share of the rows are worth it, for the work on all rows."""
    total, again = 0.0, 0
    for work in works:
        rate = _RATES.get(2 if half and work.itemsize == 4 else work.itemsize, _RATES[4])
        total += max(work.macs * share / rate, (work.moved * share + work.weights) / _READ)
        if work.macs * share < FEW_ROWS * work.weights / work.itemsize:
            again += work.weights
    return total > max(LEAST_SECONDS, again / _READ / MOST_REREADING)


def _stacks(view: View) -> bool:
    """Whether outputs of several runs, one behind the other, are an output of all their rows."""
    if not view.size or view.offset or view.buffer.nbytes != view.size * view.itemsize:
        return False
    if view.shape[0] > 1 and view.strides[0] != view.size // view.shape[0]:
        return False
    row = view.slice(0, 0, 1)
    return row.transpose(storage_order(row.shape, row.strides)).is_row_major()


def _repeated(part: Plan, program: Program, split: Split, threads: int) -> Plan:
    count, bases, steps = split.count, [], []
    for base in part.bases:
        moves = base.name in split.along and base.kind in (Kind.INPUT, Kind.OUTPUT)
        steps.append(base.nbytes if moves else 0)
        bases.append(Buffer(base.kind, base.nbytes * count, base.name) if moves else base)
    place = {id(old): new for old, new in zip(part.bases, bases, strict=True)}
    results = {}
    for name, view in part.results.items():
        first, *others = view.shape
        strides = (view.size // first, *view.strides[1:])
        shape = (first * count, *others)
        results[name] = View(place[id(view.buffer)], 0, view.dtype, shape, strides)
    infos = {name: replace(info, shape=results[name].shape) for name, info in part.infos.items()}
    arena = max(program.arena_bytes(1) * threads, program.arena_bytes(threads))
    made = sum(base.nbytes for base in bases if base.kind is Kind.OUTPUT)
    require_memory(arena + made, "a run with inputs of these shapes")
    step = Repeated(program, steps, count)
    return replace(part, steps=[step], bases=bases, arena_bytes=arena, infos=infos, results=results)
