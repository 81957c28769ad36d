"""Whole networks: our engine against onnxruntime and OpenVINO, the same file for everyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from compress_export import read_onnx
from compress_tensor import CompressError

from .kinds import USUAL, Kind
from .race import Cell, race
from .results import Results
from .runtimes import Array, Runner, Runtime, load
from .startup import start
from .subjects import Subject, operations, store_feeds
from .suite_kernels import Progress
from .suite_models import difference

STARTS = 5  #: of each runtime
PACKAGES = ("numpy", "onnxruntime", "openvino", "torch", "mkl")


@dataclass(frozen=True)
class Plan:
    """What to measure of each network.

    Attributes:
        kinds: what to run it in.
        batches: samples per run.
        threads: numbers of threads.
        samples: of each candidate.
        seconds: a cell stops early after so long, though never below 5 samples.
        runtimes: who competes.
    """

    kinds: tuple[Kind, ...] = USUAL
    batches: tuple[int, ...] = (1, 8)
    threads: tuple[int, ...] = (1, 2)
    samples: int = 20
    seconds: float = float("inf")
    runtimes: tuple[Runtime, ...] = tuple(Runtime)

    def keys(self, subject: Subject) -> dict[str, tuple[Kind, int, int]]:
        """Return the cells of a network."""
        return {
            f"{subject.name} {kind.value} batch {batch} {count}t": (kind, batch, count)
            for kind in self.kinds
            for batch in self.batches
            for count in self.threads
        }


def measure_models(
    results: Results, subjects: Sequence[Subject], plan: Plan, work: Path, progress: Progress
) -> None:
    """Measure every cell that ``results`` lacks."""
    wanted = [(s, key, cell) for s in subjects for key, cell in plan.keys(s).items()]
    for n, (subject, key, (kind, batch, threads)) in enumerate(wanted):
        progress(n, len(wanted), key)
        if "seconds" in results.cells.get(key, {}):
            continue  # what failed is tried again
        try:
            cell = measure_network(subject, kind, batch, threads, plan, work)
        except CompressError as error:
            cell = {"failed": str(error)}
        place = {"model": subject.name, "unit": kind.value, "batch": batch, "threads": threads}
        results.keep(key, {**cell, **place})
    progress(len(wanted), len(wanted), "")


def measure_network(
    subject: Subject, kind: Kind, batch: int, threads: int, plan: Plan, work: Path
) -> Cell:
    """Return one cell: times, agreement of outputs, start-up and memory."""
    path = subject.path(kind, work)
    graph = read_onnx(path)
    feeds = subject.feeds(graph, batch)
    runners: dict[str, Runner] = {}
    absent: dict[str, str] = {}
    for runtime in plan.runtimes:
        try:
            runners[runtime.value] = load(path, runtime, threads, feeds=feeds, kind=kind)
        except CompressError as error:
            absent[runtime.value] = str(error)
    agreement = _agreement(runners, feeds)
    calls: dict[str, Callable[[], object]] = {
        name: partial(runner.run, feeds) for name, runner in runners.items()
    }
    work_done = operations(read_onnx(subject.path(Kind.FP32, work)), feeds)
    cell = race(calls, kind.unit, threads, work_done, samples=plan.samples, seconds=plan.seconds)
    runners.clear()
    calls.clear()
    stored = work / f"{subject.name}-{batch}.npz"
    store_feeds(stored, feeds)
    cell |= {"absent": absent, "agreement": agreement}
    if batch == threads == 1:
        cell["start"] = _starts(list(cell["seconds"]), path, stored, kind)
    return cell


def _starts(names: Sequence[str], path: Path, feeds: Path, kind: Kind) -> dict[str, dict[str, Any]]:
    """Return the median of what each runtime's starts take, in turn, and the most memory."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    failed: dict[str, dict[str, Any]] = {}
    for name in list(names) * STARTS:
        try:
            if name not in failed:
                found[name].append(start(Runtime(name), path, feeds, 1, kind))
        except CompressError as error:
            failed[name] = {"failed": str(error)}
    return {name: failed.get(name) or _middle(starts) for name, starts in found.items()}


def _middle(starts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    middle = sorted(starts, key=lambda each: each["load"] + each["first"])[len(starts) // 2]
    return {**middle, "peak": max(each["peak"] for each in starts)}


def _agreement(runners: Mapping[str, Runner], feeds: dict[str, Array]) -> dict[str, float]:
    """Return how far each rival's outputs are from ours, relative to the largest value."""
    if Runtime.OURS.value not in runners:
        return {}
    ours = runners[Runtime.OURS.value].run(feeds)
    found = {}
    for name, runner in runners.items():
        if name != Runtime.OURS.value:
            theirs = runner.run(feeds)
            found[name] = difference(ours, {output: theirs[output] for output in ours})
    return found
