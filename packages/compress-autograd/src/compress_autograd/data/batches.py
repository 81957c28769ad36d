"""Batches: samples preprocessed ahead of their use, a bounded number at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from compress_tensor import InputError

from .dataset import Array, Dataset

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Batch:
    """Some samples.

    Attributes:
        inputs: (n, ...).
        labels: class numbers (n,), or None.
        start: how many samples came before.
        lengths: before padding, (n,), where samples were padded.
        other_labels: of the samples that were mixed in, (n,), where samples were mixed.
        share: of the first label in a mixed sample.
    """

    inputs: Array
    labels: Array | None
    start: int
    lengths: Array | None = None
    other_labels: Array | None = None
    share: float = 1.0


def batches(
    dataset: Dataset,
    preprocess: Callable[[Any], Array],
    size: int,
    *,
    limit: int | None = None,
    workers: int = 1,
) -> Iterator[Batch]:
    """Yield the samples in order, ``size`` at a time (the last batch may be smaller).

    At most ``workers + 1`` batches are in memory.

    Args:
        dataset: where samples come from.
        preprocess: applied to each.
        size: samples per batch, at least 1.
        limit: stop after that many samples.
        workers: threads that read and preprocess ahead.

    Raises:
        InputError: if samples of one batch have different shapes.
    """
    if size < 1:
        raise InputError(f"the batch size must be at least 1, not {size}")
    total = len(dataset) if limit is None else min(limit, len(dataset))

    def load(start: int) -> Batch:
        indices = range(start, min(start + size, total))
        samples = [preprocess(dataset.sample(i)) for i in indices]
        for i, sample in zip(indices, samples, strict=True):
            if sample.shape != samples[0].shape or sample.dtype != samples[0].dtype:
                raise InputError(
                    f"{dataset.name(i)} has shape {sample.shape} after preprocessing, others have "
                    f"{samples[0].shape}; resize or crop to one size"
                )
        labels = [dataset.label(i) for i in indices]
        known = None if None in labels else np.array(labels, np.int64)
        return Batch(np.stack(samples), known, start)

    yield from ahead(load, range(0, total, size), workers)


def ahead(load: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Yield ``load(item)`` in the order of the items, computed ahead by threads.

    At most ``workers + 1`` results wait.
    """
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(load, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
