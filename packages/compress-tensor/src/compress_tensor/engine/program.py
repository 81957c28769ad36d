"""A libcore program: the words of a plan, checked by the library, and its lifetime."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import CancelledError
from ..native.call import MAX_RANK, TENSOR_WORDS, address, arg_words
from ..native.library import Pool, core, opcode
from .memory import assign_offsets
from .steps import Record
from .view import Buffer, Kind, View
from .watch import Stop, cancelled, watch


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
        self._run = core().cpr_program_run
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

    def run(
        self, addresses: ctypes.Array[ctypes.c_int64], pool: Pool | None, stop: Stop | None = None
    ) -> None:
        """Run every record; ``addresses`` are those of the arena and the bases.

        Raises:
            CancelledError: if ``stop`` was set on the way.
        """
        handle = pool.handle if pool else None
        try:
            self._run(self.handle, self.n_bases, addresses, handle, watch(stop), None)
        except CancelledError as error:
            raise cancelled(error) from None

    def profile(self, addresses: ctypes.Array[ctypes.c_int64], pool: Pool | None) -> list[int]:
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
        self._run = core().cpr_program_repeat

    def run(
        self, addresses: ctypes.Array[ctypes.c_int64], pool: Pool | None, stop: Stop | None = None
    ) -> None:
        """Do all runs; the arena holds that of a run with one thread for each thread.

        Raises:
            CancelledError: if ``stop`` was set on the way.
        """
        program = self.program
        given = (program.handle, program.n_bases, addresses, self._steps.ctypes.data, self.count)
        try:
            self._run(*given, pool.handle if pool else None, watch(stop))
        except CancelledError as error:
            raise cancelled(error) from None

    def profile(self, addresses: ctypes.Array[ctypes.c_int64], pool: Pool | None) -> list[int]:
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
