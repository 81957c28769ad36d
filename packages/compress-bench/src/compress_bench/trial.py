"""What a model of the collection is calibrated on and measured with: classifier or character model.

The CIFAR networks are also measured on the 10,000 pictures of the JPEG test half, where it is
there: lossy, so that everyone scores less, but ten times as many, so that differences between
quantized networks are three times as certain.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from compress_autograd.data import CharacterStreams, Dataset, open_dataset, preset
from compress_quant.calibration import Samples
from compress_tensor import DType, FileError, Graph, compile  # noqa: A004

from .paired import labels_of
from .quality import CHUNK, Progress, Quality, evaluate, evaluate_characters, vocabulary_of
from .runtimes import Array, Runtime, load
from .suite_models import Job

#: calibration samples of ours; NNCF's default is 300
SAMPLES = 256
_TRAINING = {"cifar10/test_1000.bin": "cifar10/train_4000.bin"}
_MANY = {"cifar10/test_1000.bin": "cifar10/cifar10_jpeg_test.tar.gz"}
Feeds = Mapping[str, Array]


class Trial:
    """One model with its data.

    Args:
        root: the folder of models and data.
        job: which model, which data.
        many: the larger test set, if there is one.
    """

    def __init__(self, root: Path, job: Job, many: Path | None) -> None:
        self.root = root
        self.job = job
        self.many = many
        self.path = root / "models" / job.file
        self.source = _TRAINING.get(job.data, job.data)

    @property
    def is_text(self) -> bool:
        """Whether it is a character model."""
        return self.job.preprocess == "charlm"

    @cached_property
    def streams(self) -> CharacterStreams:
        """The text of a character model."""
        return CharacterStreams(self.root / self.job.data, vocabulary_of(self.path))

    def calibration(self, graph: Graph) -> list[dict[str, Array]]:
        """Return feeds of one sample each."""
        if self.is_text:
            return self._texts(graph)
        feeds = Samples(graph, self._dataset(self.source), preset(self.job.preprocess), SAMPLES)
        return [{n: a[i : i + 1] for n, a in part.items()} for part in feeds
                for i in range(len(next(iter(part.values()))))]  # fmt: skip

    def _texts(self, graph: Graph) -> list[dict[str, Array]]:
        """Return one chunk of each stream, with the states that the float network had there."""
        session = compile(graph, threads=2)
        ids = self.streams.ids
        (token,) = (v.name for v in graph.inputs if v.dtype is DType.INT64)
        width = {v.name: v.shape[-1] for v in graph.inputs if v.shape and v.name != token}
        found = []
        for stream in range(len(ids)):
            states = {n: np.zeros((1, 1, int(w or 0)), np.float32) for n, w in width.items()}
            for start in (0, CHUNK):
                part = ids[stream : stream + 1, start : start + CHUNK]
                found.append({token: part, **states})
                outputs = session.run(found[-1])
                states = {n: outputs[f"{n}_out"] for n in states}
        return found

    @cached_property
    def labels(self) -> Array:
        """The right answers."""
        if self.is_text:
            steps = self.streams.ids.shape[1] - 1
            ends = [min(start + CHUNK, steps) for start in range(0, steps, CHUNK)]
            starts = range(0, steps, CHUNK)
            parts = [self.streams.ids[:, s + 1 : e + 1] for s, e in zip(starts, ends, strict=True)]
            return np.concatenate([part.reshape(-1) for part in parts])
        dataset = self._dataset(self.job.data)
        return labels_of(dataset, len(dataset))

    @cached_property
    def many_labels(self) -> Array:
        """The right answers of the larger test set."""
        dataset = open_dataset(self._large())
        return labels_of(dataset, len(dataset))

    def quality(self, file: Path, runtime: Runtime, progress: Progress) -> Quality:
        """Measure on the test set."""
        runner = load(file, runtime, 2)
        if self.is_text:
            return evaluate_characters(runner, self.streams, progress=progress)
        dataset = self._dataset(self.job.data)
        return evaluate(runner, dataset, preset(self.job.preprocess), progress=progress)

    def many_quality(self, file: Path, runtime: Runtime, progress: Progress) -> Quality:
        """Measure on the larger test set."""
        dataset, steps = open_dataset(self._large()), preset(self.job.preprocess)
        return evaluate(load(file, runtime, 2), dataset, steps, progress=progress)

    def _dataset(self, name: str) -> Dataset:
        return open_dataset(self.root / name)

    def _large(self) -> Path:
        if self.many is None:
            raise FileError(f"there is no larger test set for {self.job.file}")
        return self.many


@contextmanager
def open_trial(root: Path, job: Job) -> Iterator[Trial]:
    """Yield a trial; its larger test set is unpacked for that long."""
    archive = root / _MANY.get(job.data, "")
    if not archive.is_file():
        yield Trial(root, job, None)
        return
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        yield Trial(root, job, Path(folder) / "test")
