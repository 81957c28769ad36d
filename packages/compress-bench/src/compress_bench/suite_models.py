"""One real model: accuracy, agreement, repeatability, latency."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import compress_tensor
from compress_autograd.data import CharacterStreams, open_dataset, preset
from compress_export import read_onnx
from compress_tensor import DType, Value

from .clock import interleave
from .quality import Progress, Quality, evaluate, evaluate_characters, vocabulary_of
from .runtimes import ALWAYS, Array, Runner, Runtime, load
from .statistics import ratio_interval, summarize

THREADS = (1, 2)  #: for latency
REPEATS = 5
SEED = 0


@dataclass(frozen=True)
class Job:
    """A model with the data that it is measured on."""

    file: str
    data: str
    preprocess: str


MODELS = (
    Job("resnet20_cifar10.onnx", "cifar10/test_1000.bin", "cifar10"),
    Job("resnet32_cifar10.onnx", "cifar10/test_1000.bin", "cifar10"),
    Job("resnet56_cifar10.onnx", "cifar10/test_1000.bin", "cifar10"),
    Job("resnet8_mlperf_cifar10.onnx", "cifar10/test_1000.bin", "cifar10-raw"),
    Job("squeezenet1.1_imagenet.onnx", "imagenet_samples", "imagenet"),
    Job("mobilenetv2_imagenet.onnx", "imagenet_samples", "imagenet-pm1"),
    Job("kwt1_speechcommands.onnx", "speech_commands", "speech"),
    Job("charrnn_shakespeare.onnx", "text/tinyshakespeare.txt", "charlm"),
)


def measure_model(root: Path, job: Job, progress: Progress) -> dict[str, Any]:
    """Return all that is measured of one model."""
    path = root / "models" / job.file
    found: dict[str, Any] = {"data": job.data, "preprocess": job.preprocess}
    outcomes = {r.value: _quality(root, job, r, progress) for r in ALWAYS}
    for name, quality in outcomes.items():
        found[name] = quality.as_json()
    ours, theirs = outcomes["ours"], outcomes["onnxruntime"]
    assert ours.answers is not None
    assert theirs.answers is not None
    found["answers_that_differ"] = int((ours.answers != theirs.answers).sum())
    if ours.outputs is not None and theirs.outputs is not None:
        scale = float(np.abs(theirs.outputs).max())
        found["relative_difference"] = float(np.abs(ours.outputs - theirs.outputs).max()) / scale
    graph = read_onnx(path)
    feeds = example(graph.inputs, 4)
    found["same_bytes"] = repeatable(graph, feeds)
    if "relative_difference" not in found:
        found["relative_difference"] = difference(
            load(path, Runtime.OURS, 1).run(feeds), load(path, Runtime.ONNXRUNTIME, 1).run(feeds)
        )
    found["latency"] = {str(n): latency(path, example(graph.inputs, 1), n) for n in THREADS}
    return found


def _quality(root: Path, job: Job, runtime: Runtime, progress: Progress) -> Quality:
    path = root / "models" / job.file
    runner = load(path, runtime, 2)
    if job.preprocess == "charlm":
        streams = CharacterStreams(root / job.data, vocabulary_of(path))
        return evaluate_characters(runner, streams, progress=progress)
    dataset = open_dataset(root / job.data)
    return evaluate(runner, dataset, preset(job.preprocess), keep_outputs=True, progress=progress)


def example(inputs: list[Value], batch: int, other: int = 8) -> dict[str, Array]:
    """Return seeded inputs; a free first dimension or N is ``batch``, others are ``other``."""
    rng = np.random.default_rng(SEED)
    found: dict[str, Array] = {}
    for value in inputs:
        dims = []
        for at, dim in enumerate(value.shape or ()):
            free = batch if at == 0 or dim == "N" else other
            dims.append(dim if isinstance(dim, int) else free)
        if value.dtype in (DType.INT64, DType.INT32):
            found[value.name] = rng.integers(0, 60, dims).astype(value.dtype.numpy)
        else:
            data = rng.standard_normal(dims)
            found[value.name] = data.astype((value.dtype or DType.FLOAT32).numpy)
    return found


def repeatable(graph: compress_tensor.Graph, feeds: Mapping[str, Array]) -> bool:
    """Whether five runs, 1, 2 and 8 threads, and rows alone all give the same bytes."""
    expected = compress_tensor.compile(graph, threads=1).run(feeds)
    for threads in (1, 2, 8):
        session = compress_tensor.compile(graph, threads=threads)
        for _ in range(REPEATS):
            found = session.run(feeds)
            if any(found[name].tobytes() != expected[name].tobytes() for name in expected):
                return False
        if not _rows_agree(graph, session.run, feeds, expected):
            return False
    return True


def _rows_agree(
    graph: compress_tensor.Graph,
    compute: Callable[[Mapping[str, Array]], dict[str, Array]],
    feeds: Mapping[str, Array],
    expected: Mapping[str, Array],
) -> bool:
    """Whether each row alone gives its bytes in the batch (the batch is the symbol N)."""
    axes = {v.name: _batch_axis(v) for v in [*graph.inputs, *graph.outputs]}
    if any(axis is None for axis in axes.values()):
        return True  # the batch is fixed: there are no rows to take out
    first = graph.inputs[0].name
    for row in range(feeds[first].shape[axes[first] or 0]):
        alone = compute({n: np.take(a, [row], axes[n] or 0) for n, a in feeds.items()})
        for name, whole in expected.items():
            if np.take(whole, [row], axes[name] or 0).tobytes() != alone[name].tobytes():
                return False
    return True


def _batch_axis(value: Value) -> int | None:
    dims = list(value.shape or ())
    return next((i for i, d in enumerate(dims) if isinstance(d, str) and d in ("N", "batch")), None)


def difference(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> float:
    """Return the largest difference of any output, relative to that output's largest value."""
    worst = 0.0
    for name, array in theirs.items():
        if array.size:
            expected = array.astype(np.float64)
            scale = max(float(np.abs(expected).max()), 1e-30)
            worst = max(worst, float(np.abs(ours[name] - expected).max()) / scale)
    return worst


def latency(path: Path, feeds: dict[str, Array], threads: int) -> dict[str, Any]:
    """Time one run in both engines, in turn."""
    runners: dict[str, Runner] = {r.value: load(path, r, threads) for r in ALWAYS}
    calls = {name: _call(runner, feeds) for name, runner in runners.items()}
    seconds = interleave(calls, samples=40)
    ratio, low, high = ratio_interval(seconds["onnxruntime"], seconds["ours"])
    return {
        **{name: summarize(values).median * 1e3 for name, values in seconds.items()},
        **{f"{name}_best": summarize(values).best * 1e3 for name, values in seconds.items()},
        "ratio": ratio,
        "ratio_interval": [low, high],
        "runs": len(seconds["ours"]),
    }


def _call(runner: Runner, feeds: dict[str, Array]) -> Callable[[], object]:
    return lambda: runner.run(feeds)
