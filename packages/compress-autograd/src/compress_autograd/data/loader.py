"""Shuffled, augmented batches, epoch by epoch.

What an epoch holds depends on the seed and the epoch's number alone: neither on the number of
workers, nor on where in the epoch one starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from compress_tensor import InputError
from compress_tensor.random import Generator

from .augment import Augment
from .batches import Batch, ahead
from .chance import Chance
from .dataset import Array, Dataset

_POOL = 50  #: batches among which samples are sorted by length
_BATCH = 1 << 31  #: batches draw their numbers under sample numbers from here on


class Loader:
    """Batches of a data set.

    Args:
        dataset: where samples come from.
        preprocess: applied to each (`Preprocess`, or a function of what the data set gives).
        size: samples per batch.
        shuffle: go through the samples in another order in every epoch.
        augment: random changes, applied in this order after ``preprocess``.
        mixup: the alpha of Beta(alpha, alpha) by which pairs of samples are mixed; 0: none.
        drop_last: leave out a last batch that is smaller.
        pad: fill samples of a batch up to the longest with this value, along their first
            dimension, instead of refusing different lengths.
        lengths: of the samples; batches are made of samples of similar length.
        seed: of order and changes.
        workers: threads that load ahead.

    Raises:
        InputError: if the data set is empty, or an argument does not fit.
    """

    def __init__(
        self,
        dataset: Dataset,
        preprocess: Callable[[Any], Array],
        size: int,
        *,
        shuffle: bool = True,
        augment: Sequence[Augment] = (),
        mixup: float = 0.0,
        drop_last: bool = False,
        pad: float | None = None,
        lengths: Sequence[int] | None = None,
        seed: int = 0,
        workers: int = 1,
    ) -> None:
        if size < 1 or workers < 1:
            raise InputError(f"batch size and workers are at least 1, not {size} and {workers}")
        if not len(dataset):
            raise InputError("the data set is empty: there is nothing to train on")
        if drop_last and len(dataset) < size:
            raise InputError(
                f"{len(dataset)} samples make no whole batch of {size}; make it smaller"
            )
        if lengths is not None and len(lengths) != len(dataset):
            raise InputError(f"{len(lengths)} lengths do not belong to {len(dataset)} samples")
        self.dataset = dataset
        self.preprocess = preprocess
        self.size = size
        self.shuffle = shuffle
        self.augment = tuple(augment)
        self.mixup = mixup
        self.drop_last = drop_last
        self.pad = pad
        self.lengths = None if lengths is None else np.asarray(lengths)
        self.seed = seed
        self.workers = workers

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        whole, rest = divmod(len(self.dataset), self.size)
        return whole + (rest > 0 and not self.drop_last)

    def order(self, epoch: int) -> Array:
        """Return the numbers of the samples in the order of an epoch."""
        total = len(self.dataset)
        if not self.shuffle:
            return np.arange(total)
        chance = Generator(self.seed, epoch << 40)
        found: Array = chance.permutation(total).numpy()
        if self.lengths is None:
            return found
        pool = self.size * _POOL
        parts = [found[at : at + pool] for at in range(0, total, pool)]
        found = np.concatenate([p[np.argsort(self.lengths[p], kind="stable")] for p in parts])
        whole = total // self.size
        rows = found[: whole * self.size].reshape(whole, self.size)
        rows = rows[chance.permutation(whole).numpy()]
        return np.concatenate([rows.reshape(-1), found[whole * self.size :]])

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, from number ``start`` on.

        Raises:
            InputError: if samples of one batch have different shapes.
        """
        order = self.order(epoch)

        def load(number: int) -> Batch:
            return self._batch(epoch, number, order[number * self.size : (number + 1) * self.size])

        yield from ahead(load, range(start, len(self)), self.workers)

    def _batch(self, epoch: int, number: int, indices: Array) -> Batch:
        samples = []
        for index in indices.tolist():
            sample = self.preprocess(self.dataset.sample(index))
            if self.augment:
                chance = Chance(self.seed, epoch, index)
                for change in self.augment:
                    sample = change(sample, chance)
            samples.append(sample)
        inputs = self._stack(samples, indices)
        labels = [self.dataset.label(index) for index in indices.tolist()]
        known = None if None in labels else np.array(labels, np.int64)
        sizes = np.array([len(s) for s in samples]) if self.pad is not None else None
        batch = Batch(inputs, known, number * self.size, sizes)
        return (
            self._mixed(batch, Chance(self.seed, epoch, _BATCH + number)) if self.mixup else batch
        )

    def _stack(self, samples: list[Array], indices: Array) -> Array:
        if self.pad is not None:
            return pad_sequences(samples, self.pad)
        for index, sample in zip(indices.tolist(), samples, strict=True):
            if sample.shape != samples[0].shape or sample.dtype != samples[0].dtype:
                raise InputError(
                    f"{self.dataset.name(index)} has shape {sample.shape} after preprocessing, "
                    f"others have {samples[0].shape}; resize, crop, or pass pad"
                )
        return np.stack(samples)

    def _mixed(self, batch: Batch, chance: Chance) -> Batch:
        """Mix every sample with another (Zhang et al., 2018, "mixup")."""
        share = np.float32(chance.beta(self.mixup))
        turn = chance.integer(0, len(batch.inputs) - 1)
        other = np.roll(np.arange(len(batch.inputs)), turn)
        inputs = batch.inputs * share + batch.inputs[other] * (np.float32(1) - share)
        labels = None if batch.labels is None else batch.labels[other]
        return Batch(inputs, batch.labels, batch.start, batch.lengths, labels, float(share))


def pad_sequences(samples: Sequence[Array], value: float = 0) -> Array:
    """Return arrays of different lengths as one, filled up behind with ``value``."""
    longest = max(len(s) for s in samples)
    found = np.full((len(samples), longest, *samples[0].shape[1:]), value, samples[0].dtype)
    for row, sample in zip(found, samples, strict=True):
        row[: len(sample)] = sample
    return found
