"""Where our engine's time goes: per operator, beside what the hardware allows.

The limit of an operator is the larger of its arithmetic at the measured peak and its bytes at the
measured speed of a copy inside the second-level cache, each with all threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from statistics import median

import numpy as np

from compress_tensor import Session
from compress_tensor.engine.finish import result_of
from compress_tensor.engine.steps import Record
from compress_tensor.engine.view import View

from .peak import Unit, peak_of
from .runtimes import Array

RUNS = 10
_COPY_BYTES = 1 << 18  #: of one array; two fit into the second-level cache
_UNITS = {
    "gemm_f32": Unit.FP32,
    "conv_f32": Unit.FP32,
    "conv_winograd_f32": Unit.FP32,
    "depthwise_f32": Unit.FP32,
    "depthwise_bf16": Unit.FP32,  # its arithmetic
    "lstm": Unit.FP32,
    "gru": Unit.FP32,
    "rnn": Unit.FP32,
    "attention_f32": Unit.FP32,
    "attention_bf16": Unit.BF16,
    "attention_s8": Unit.INT8,
    "gemm_bf16": Unit.BF16,
    "conv_bf16": Unit.BF16,
    "gemm_s8": Unit.INT8,
    "conv_s8": Unit.INT8,
    "depthwise_s8": Unit.INT8,
}


@dataclass(frozen=True)
class Line:
    """One operator, or all operators of a kind.

    Attributes:
        name: of the node, or the kernel.
        kernel: that runs it.
        count: how many records.
        seconds: median over the runs.
        share: of the whole run.
        limit: seconds that the hardware needs at least.
    """

    name: str
    kernel: str
    count: int
    seconds: float
    share: float
    limit: float

    @property
    def fraction(self) -> float:
        """Which part of the limit is reached."""
        return self.limit / self.seconds if self.seconds else 1.0


@dataclass(frozen=True)
class Limits:
    """What the machine can do: operations per second by unit, bytes per second in the cache."""

    rates: Mapping[Unit, float]
    bandwidth: float


def measure_limits(threads: int) -> Limits:
    """Return the best of some samples of each limit."""
    rates = {}
    for unit in Unit:
        peak = peak_of(unit, threads)
        if peak is not None:
            rates[unit] = peak.operations / _best(peak)
            peak.close()
    source = np.ones(_COPY_BYTES, np.uint8)
    target = np.empty_like(source)
    seconds = _best(lambda: np.copyto(target, source))
    return Limits(rates, 2 * _COPY_BYTES * threads / seconds)


def _best(call: Callable[[], object]) -> float:
    found = []
    for _ in range(20):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def profile(
    session: Session, feeds: Mapping[str, Array], limits: Limits, runs: int = RUNS
) -> list[Line]:
    """Return every record of the first stage, in order of execution."""
    taken = [session.profile(feeds) for _ in range(runs + 1)][1:]
    records = [record for record, _ in taken[0]]
    seconds = [median(run[i][1] for run in taken) / 1e9 for i in range(len(records))]
    total = sum(seconds) or 1.0
    return [
        Line(record.label, record.kernel, 1, spent, spent / total, limit_of(record, limits))
        for record, spent in zip(records, seconds, strict=True)
    ]


def by_kernel(lines: Sequence[Line]) -> list[Line]:
    """Return one line per kernel, the slowest first."""
    kinds: dict[str, list[Line]] = {}
    for line in lines:
        kinds.setdefault(line.kernel, []).append(line)
    found = [
        Line(
            kernel,
            kernel,
            len(group),
            sum(line.seconds for line in group),
            sum(line.share for line in group),
            sum(line.limit for line in group),
        )
        for kernel, group in kinds.items()
    ]
    return sorted(found, key=lambda line: -line.seconds)


def limit_of(record: Record, limits: Limits) -> float:
    """Return the seconds that the hardware needs at least for a record, all its runs together."""
    views = [view for view in record.operands if view is not None]
    if record.kernel == "gather":
        views = [views[-1], views[-1], *views[1:-1]]  # of the table, what is taken
    # A view that repeats elements reads each of them once.
    moved = sum(_elements(view) * view.itemsize for view in views) / limits.bandwidth
    unit = _UNITS.get(record.kernel)
    if unit is Unit.FP32 and len(views) > 1 and views[1].itemsize == 2:
        unit = Unit.BF16  # a recurrent layer with weights in bfloat16
    if unit is None or unit not in limits.rates:
        return record.runs * moved
    return record.runs * max(moved, 2 * _macs(record) / limits.rates[unit])


def _elements(view: View) -> int:
    return prod(size for size, step in zip(view.shape, view.strides, strict=True) if step)


def _macs(record: Record) -> int:
    """Return the multiply-accumulates of a product's record."""
    first, second, *rest = record.operands
    assert first is not None
    assert second is not None
    if record.kernel in ("lstm", "gru", "rnn"):
        recurrent = rest[0]
        assert recurrent is not None
        steps, batch = first.shape[:2]
        return steps * batch * (prod(second.shape) + prod(recurrent.shape))
    out = result_of(record)
    assert out is not None
    if record.kernel.startswith("attention"):
        return prod(first.shape[:3]) * second.shape[2] * (first.shape[3] + out.shape[3])
    if record.kernel.startswith("gemm"):
        return prod(out.shape) * first.shape[-1]
    if record.kernel == "conv_winograd_f32":
        # weights [points, panels, channels, 16]
        tile, (images, columns, height, width) = int(record.args[0]), out.shape
        tiles = images * -(-height // tile) * -(-width // tile)
        return tiles * second.shape[0] * first.shape[1] * columns
    if record.kernel.startswith("conv"):
        # weights [groups, panels, taps * channels, 16] or [groups, panels, taps, quads, 16, 4]
        groups = second.shape[0]
        taps = prod(int(a) for a in record.args[:2])
        return prod(out.shape) * taps * (first.shape[1] // groups)
    if record.kernel.startswith("depthwise"):
        return prod(out.shape) * prod(int(a) for a in record.args[:2])
    return 0
