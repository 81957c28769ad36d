"""One pass over calibration data: statistics of many values in bounded memory.

Data are any iterable of feeds.  Where the first dimension of every input is a free batch size,
each row is a sample, and the pass chooses how many rows go through the network at a time; where it
is not, each feed is one sample.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from compress_tensor import CompressError, DType, Graph, InputError, compile  # noqa: A004
from compress_tensor.graph.infer import infer

from ..affine import Array
from .counter import Counters
from .histogram import BINS
from .memory import Budget
from .statistics import Statistics

Feeds = Mapping[str, Array]
Progress = Callable[[int], None]

#: samples that are kept, for comparing quantized networks with the float one
KEPT = 32
#: batches larger than this gain no speed
MOST_ROWS = 16


@dataclass
class Observation:
    """What one pass found.

    Attributes:
        statistics: by value.
        samples: how many there were.
        kept: the samples with the smallest hashes, in their order: a choice that depends on
            neither order nor batches.
        rows: whether samples are rows of batches.
    """

    statistics: dict[str, Statistics]
    samples: int = 0
    kept: list[dict[str, Array]] = field(default_factory=list)
    rows: bool = True

    def batches(self, size: int = 8) -> Iterator[dict[str, Array]]:
        """Yield the kept samples as feeds."""
        step = size if self.rows else 1
        for start in range(0, len(self.kept), step):
            part = self.kept[start : start + step]
            yield {name: np.concatenate([s[name] for s in part]) for name in part[0]}


def observe(
    graph: Graph,
    data: Iterable[Feeds],
    names: Sequence[str],
    *,
    memory: int | None = None,
    threads: int = 1,
    bins: int = BINS,
    keep: int = KEPT,
    progress: Progress = lambda done: None,
) -> Observation:
    """Run calibration data through a network and count the values named.

    Args:
        graph: the network.
        data: feeds, each of one or more samples.
        names: inputs or intermediate values, float32.
        memory: bytes of memory that the process may have in use; None: no limit.
        threads: how many to use; results do not depend on it.
        bins: of each histogram.
        keep: samples to keep.
        progress: told the number of samples done.

    Raises:
        InputError: if there are no data, they do not fit, a value is NaN or infinite, or the
            memory does not suffice for one sample.
    """
    names = list(dict.fromkeys(names))
    found = Observation({})
    kept: list[tuple[int, int, dict[str, Array]]] = []
    counters: Counters | None = None
    try:
        for feeds in data:
            _check(graph, feeds, found.samples)
            if counters is None:
                found.rows = _has_rows(graph, feeds)
                single = dict(next(_split(feeds, 1))) if found.rows else dict(feeds)
                budget = Budget.plan(graph, single, names, memory, keep, bins)
                # A value without a row per sample is only told apart when samples come alone.
                alone = not found.rows or not _leading_rows(graph, single, names)
                workers = threads if budget.rows >= threads else 1
                rows_at_once = 1 if alone else min(budget.rows // workers, MOST_ROWS)
                session = compile(graph, threads=threads if workers == 1 else 1, any_strides=True)
                counters = Counters(session, names, budget.groups, bins, workers, again=not alone)
            for part in _split(feeds, rows_at_once) if found.rows else [feeds]:
                rows = len(next(iter(part.values()))) if found.rows else 1
                keys = [_hash(part, row if found.rows else None) for row in range(rows)]
                counters.submit(part, keys, found.samples)
                for row, key in enumerate(keys):
                    one = {n: a[row : row + 1] if found.rows else a for n, a in part.items()}
                    _keep(kept, keep, key, found.samples + row, one)
                found.samples += rows
                progress(found.samples)
        if counters is None or not found.samples:
            raise InputError("the calibration data are empty; nothing can be observed")
        found.statistics = counters.finish()
    finally:
        if counters is not None:
            counters.close()
    found.kept = [sample for _, _, sample in sorted(kept, key=lambda k: (-k[0], k[1]))]
    return found


def _hash(feeds: Feeds, row: int | None) -> int:
    """Return a number made from the contents of a sample."""
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(feeds):
        array = feeds[name] if row is None else feeds[name][row]
        digest.update(np.ascontiguousarray(array).tobytes())
    return int.from_bytes(digest.digest(), "little")


def _keep(
    kept: list[tuple[int, int, dict[str, Array]]],
    most: int,
    key: int,
    number: int,
    sample: dict[str, Array],
) -> None:
    """Keep the samples with the smallest hashes; of equal ones all are equal."""
    if len(kept) < most or (kept and -kept[0][0] > key):
        entry = (-key, number, {name: np.array(array) for name, array in sample.items()})
        if len(kept) < most:
            heapq.heappush(kept, entry)
        else:
            heapq.heapreplace(kept, entry)


def _has_rows(graph: Graph, feeds: Feeds) -> bool:
    """Whether the first dimension of every input is one free batch size."""
    shapes = [value.shape for value in graph.inputs]
    if not shapes or any(not shape or isinstance(shape[0], int) for shape in shapes):
        return False
    first = {shape[0] for shape in shapes if shape}
    return len(first) == 1 and len({len(array) for array in feeds.values()}) == 1


def _split(feeds: Feeds, rows: int) -> Iterator[dict[str, Array]]:
    total = len(next(iter(feeds.values())))
    for start in range(0, total, rows):
        yield {name: array[start : start + rows] for name, array in feeds.items()}


def _leading_rows(graph: Graph, single: Feeds, names: Sequence[str]) -> bool:
    """Whether the first dimension of every value named is the batch, so that rows are samples."""
    shapes = []
    for n in (2, 3):
        known = {name: (n, *array.shape[1:]) for name, array in single.items()}
        try:
            infos = infer(graph, known)
        except CompressError:
            return False
        shapes.append({name: infos[name].shape for name in names})
    two, three = shapes
    return all(
        (a := two[name]) and (b := three[name]) and (a[0], b[0]) == (2, 3) and a[1:] == b[1:]
        for name in names
    )


def _check(graph: Graph, feeds: Feeds, number: int) -> None:
    """Verify one feed; the engine checks shapes and names, this names the sample."""
    for value in graph.inputs:
        if value.name not in feeds:
            given = ", ".join(map(repr, feeds))
            raise InputError(
                f"calibration sample {number} has no input {value.name!r}, but {given or 'none'}"
            )
        array = np.asarray(feeds[value.name])
        if value.dtype is not None and DType.of(array.dtype) is not value.dtype:
            raise InputError(
                f"calibration sample {number}: input {value.name!r} has type {array.dtype}, "
                f"not {value.dtype.label}"
            )
        wanted = value.shape
        if wanted is not None and (
            len(wanted) != array.ndim
            or any(isinstance(w, int) and w != h for w, h in zip(wanted, array.shape, strict=True))
        ):
            sizes = ", ".join("?" if w is None else str(w) for w in wanted)
            raise InputError(
                f"calibration sample {number}: input {value.name!r} has shape "
                f"{list(array.shape)}, not [{sizes}]"
            )
        if not array.size:
            raise InputError(f"calibration sample {number}: input {value.name!r} is empty")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            rows = np.isfinite(array.reshape(len(array), -1)).all(axis=1) if array.ndim else [False]
            raise InputError(
                f"calibration sample {number + int(np.argmin(rows))}: input {value.name!r} has "
                "a NaN or an infinity"
            )
