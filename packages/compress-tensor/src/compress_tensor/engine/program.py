"""A libcore program: the words of a plan, checked by the library, and its lifetime."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import CancelledError
from ..graph.graph import Array
from ..native.call import MAX_RANK, TENSOR_WORDS, address, arg_words
from ..native.library import Pool, core, failure, opcode, unchecked
from ..native.signatures import Job as _Words
from .memory import assign_offsets
from .steps import Record
from .view import Buffer, Kind, View
from .watch import Stop, cancelled, watch

#: of the arena and the bases
Addresses = ctypes.Array[ctypes.c_int64]


class Job:
    """What libcore is told of a run, kept so that it can be done again without telling.

    Args:
        program: what to run.
        addresses: of the arena and the bases; the arena's may change between runs.
        pool: the threads that run it.
        steps: of `Repeated`; None: once.
        count: how many runs.

    Attributes:
        start: called with ``at`` it runs, and returns a status for `failed`.
    """

    __slots__ = ("_kept", "_words", "at", "start")

    def __init__(
        self,
        program: Program,
        addresses: Addresses,
        pool: Pool | None,
        steps: Array | None = None,
        count: int = 1,
    ) -> None:
        self._words = _Words(
            program=program.handle,
            bases=ctypes.addressof(addresses),
            n_bases=program.n_bases,
            pool=pool.handle if pool else None,
            steps=None if steps is None else address(steps),
            count=count,
        )
        self._kept: list[object] = [program, addresses, pool, steps]
        self.at = ctypes.addressof(self._words)
        self.start = unchecked("cpr_run_job")
        self.watch(None)

    def watch(self, stop: Stop | None) -> None:
        """Have this thread's next run end when ``stop`` is set, or by Ctrl-C alone."""
        self._words.poll, self._words.poll_thread = watch(stop)

    def share(self, owner: ctypes.c_uint64) -> None:
        """Wait for jobs that share this word, which is 0 at first; they wait for this one."""
        self._words.owner = ctypes.addressof(owner)
        self._kept.append(owner)

    def run(self, stop: Stop | None = None) -> None:
        """Run.

        Raises:
            CancelledError: if ``stop`` was set on the way.
        """
        if stop is not None:
            self.watch(stop)
        status = self.start(self.at)
        if status:
            raise failed(status)


def failed(status: int) -> BaseException:
    """Return what to raise after a run of this thread that ended with ``status``."""
    error = failure(status)
    return cancelled(error) if isinstance(error, CancelledError) else error


class Program:
    """A checked list of records.

    Args:
        records: in execution order.
        bases: buffers outside the arena, in the order in which a run must give them.
        offsets: byte offset of each arena buffer.
        arena_bytes: size of the arena without scratch.
    """

    def __init__(
        self,
        records: Sequence[Record],
        bases: Sequence[Buffer],
        offsets: dict[int, int],
        arena_bytes: int,
    ) -> None:
        self.handle = ctypes.c_void_p()
        self.records = tuple(records)
        self.n_bases = len(bases) + 1
        base_of = {id(buffer): n + 1 for n, buffer in enumerate(bases)}
        rows: list[list[int]] = []
        index: dict[tuple[object, ...], int] = {}
        words: list[int] = []
        for record in records:
            operands = []
            for view in record.operands:
                operands.append(-1 if view is None else _row(view, base_of, offsets, rows, index))
            words += (opcode(record.kernel), len(operands), len(record.args), *operands)
            words += arg_words(record.args)
        sizes = np.array([arena_bytes, *(buffer.nbytes for buffer in bases)], np.int64)
        tensors = np.array(rows or [[0] * TENSOR_WORDS], np.int64)
        code = np.array(words or [0], np.int64)
        core().cpr_program_create(
            len(rows),
            address(tensors),
            len(words),
            address(code),
            self.n_bases,
            address(sizes),
            ctypes.byref(self.handle),
        )

    def arena_bytes(self, threads: int) -> int:
        """Return the bytes that a run with that many threads needs, scratch included."""
        found = ctypes.c_int64()
        core().cpr_program_arena_bytes(self.handle, threads, ctypes.byref(found))
        return found.value

    def job(self, addresses: Addresses, pool: Pool | None) -> Job:
        """Return a run of every record; ``addresses`` are those of the arena and the bases."""
        return Job(self, addresses, pool)

    def profile(self, addresses: Addresses, pool: Pool | None) -> list[int]:
        """Run and return the nanoseconds of each record."""
        times = np.zeros(max(len(self.records), 1), np.int64)
        core().cpr_program_run(
            self.handle,
            self.n_bases,
            addresses,
            pool.handle if pool else None,
            None,
            times.ctypes.data,
        )
        found: list[int] = times[: len(self.records)].tolist()
        return found

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            core().cpr_program_destroy(self.handle)
            self.handle = ctypes.c_void_p()


class Repeated:
    """A program that is run over and over along arrays, several runs at a time.

    Args:
        program: what to run.
        steps: bytes between what two runs read or write, of each base outside the arena.
        count: how many runs.
    """

    def __init__(self, program: Program, steps: Sequence[int], count: int) -> None:
        self.program = program
        self.count = count
        self.records = tuple(replace(record, runs=count) for record in program.records)
        self._steps = np.array([0, *steps], np.int64)

    def job(self, addresses: Addresses, pool: Pool | None) -> Job:
        """Return all runs; the arena holds that of a run with one thread for each thread."""
        return Job(self.program, addresses, pool, self._steps, self.count)

    def profile(self, addresses: Addresses, pool: Pool | None) -> list[int]:
        """Return the nanoseconds of each record: those of the first run, as if all took as long."""
        taken = self.program.profile(addresses, None)
        threads = pool.threads if pool else 1
        return [time * self.count // threads for time in taken]


def _row(
    view: View,
    base_of: dict[int, int],
    offsets: dict[int, int],
    rows: list[list[int]],
    index: dict[tuple[object, ...], int],
) -> int:
    """Return the number of the tensor that describes ``view``, adding it if it is new."""
    key = (id(view.buffer), view.offset, view.dtype, view.shape, view.strides)
    if key not in index:
        start = offsets.get(id(view.buffer), 0) if view.buffer.kind is Kind.ARENA else 0
        rank = len(view.shape)
        pad = [0] * (MAX_RANK - rank)
        index[key] = len(rows)
        rows.append(
            [
                base_of.get(id(view.buffer), 0),
                start + view.offset * view.itemsize,
                int(view.dtype),
                rank,
                *view.shape,
                *pad,
                *view.strides,
                *pad,
            ]
        )
    return index[key]


def place(
    uses: Sequence[tuple[int, Sequence[View | None]]],
) -> tuple[dict[int, int], int, list[Buffer]]:
    """Assign arena offsets from the steps at which buffers are used.

    Args:
        uses: (step, views) pairs.

    Returns:
        Byte offset by ``id`` of each arena buffer, arena size, and the other buffers in order
        of first use.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    buffers: dict[int, Buffer] = {}
    for step, views in uses:
        for view in views:
            if view is not None:
                key = id(view.buffer)
                first.setdefault(key, step)
                last[key] = step
                buffers.setdefault(key, view.buffer)
    arena = [key for key, buffer in buffers.items() if buffer.kind is Kind.ARENA]
    offsets, total = assign_offsets([(buffers[k].nbytes, first[k], last[k]) for k in arena])
    others = [buffer for buffer in buffers.values() if buffer.kind is not Kind.ARENA]
    return dict(zip(arena, offsets, strict=True)), total, others
