"""Real models on real data: our engine and onnxruntime give the same answers."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import compress_tensor
from compress_autograd.data import CharacterStreams, open_dataset, preset
from compress_bench.quality import Quality, evaluate, evaluate_characters, vocabulary_of
from compress_bench.runtimes import Runtime, load
from compress_bench.suite_models import MODELS, Job, difference
from compress_bench.suite_zoo import zoo_example, zoo_files
from compress_export import read_onnx

ROOT = Path(os.environ.get("COMPRESS_DATA", "/absent"))
pytestmark = [
    pytest.mark.data,
    pytest.mark.onnxruntime,
    pytest.mark.skipif(not (ROOT / "models").is_dir(), reason="COMPRESS_DATA names no real models"),
]
BY_FILE = pytest.mark.parametrize("job", MODELS, ids=lambda job: job.file)


def measured(job: Job, runtime: Runtime, limit: int | None) -> Quality:
    """Return the answers of one runtime to the first samples."""
    path = ROOT / "models" / job.file
    runner = load(path, runtime, 2)
    if job.preprocess == "charlm":
        streams = CharacterStreams(ROOT / job.data, vocabulary_of(path))
        return evaluate_characters(runner, streams, limit=limit)
    dataset = open_dataset(ROOT / job.data)
    steps = preset(job.preprocess)
    return evaluate(runner, dataset, steps, limit=limit, keep_outputs=True)


def compare(job: Job, limit: int | None) -> None:
    """Assert that both runtimes agree within one sample, and outputs within 1e-4."""
    ours, theirs = (measured(job, r, limit) for r in (Runtime.OURS, Runtime.ONNXRUNTIME))

    assert theirs.samples == ours.samples
    assert abs(theirs.top1 - ours.top1) * ours.samples <= 1.001
    assert int((theirs.answers != ours.answers).sum()) <= max(1, ours.samples // 10_000)
    if ours.outputs is not None and theirs.outputs is not None:
        largest = float(np.abs(theirs.outputs).max())
        assert float(np.abs(ours.outputs - theirs.outputs).max()) <= 1e-4 * largest


@BY_FILE
def test_first_samples(job):
    """A few samples of each model."""
    compare(job, 32)


@pytest.mark.slow
@BY_FILE
def test_whole_data(job):
    """Every sample of each model."""
    compare(job, None)


class Half:
    """A model in our engine, its products with bfloat16 operands."""

    def __init__(self, path: Path) -> None:
        self.session = compress_tensor.compile(read_onnx(path), precision="bf16")
        self.inputs = self.session.inputs

    def run(self, feeds):
        """Compute all outputs."""
        return self.session.run(feeds)


@pytest.mark.parametrize(
    ("file", "samples"), [("resnet20_cifar10.onnx", 400), ("kwt1_speechcommands.onnx", 200)]
)
def test_bfloat16_products(file, samples):
    """Rounding the operands of all products to bfloat16 changes hardly an answer."""
    (job,) = [job for job in MODELS if job.file == file]
    dataset, steps = open_dataset(ROOT / job.data), preset(job.preprocess)
    half = evaluate(Half(ROOT / "models" / file), dataset, steps, limit=samples)
    full = measured(job, Runtime.OURS, samples)
    changed = int((half.answers != full.answers).sum())
    text = f"float32 {full.top1:.4f}, bf16 {half.top1:.4f}, {changed} answers changed"

    assert changed <= 0.02 * samples, text
    assert abs(half.top1 - full.top1) <= 0.01, text


@pytest.mark.parametrize("file", zoo_files(ROOT), ids=lambda file: file.name)
def test_files_from_the_wild(file):
    """Every file of the zoo runs like onnxruntime."""
    feeds = zoo_example(read_onnx(file).inputs)
    ours, theirs = (load(file, runtime, 2) for runtime in (Runtime.OURS, Runtime.ONNXRUNTIME))

    assert difference(ours.run(feeds), theirs.run(feeds)) <= 1e-4
