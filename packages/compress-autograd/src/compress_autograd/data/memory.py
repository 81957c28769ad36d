"""Samples that are in memory already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compress_tensor import InputError

from .dataset import Array


class InMemory:
    """Rows of an array (or arrays of different lengths), with class numbers if there are any.

    Raises:
        InputError: if there is not one label per sample.
    """

    kind = "array"

    def __init__(
        self, samples: Array | Sequence[Array], labels: Sequence[int] | Array | None = None
    ) -> None:
        if labels is not None and len(labels) != len(samples):
            raise InputError(f"there are {len(samples)} samples, but {len(labels)} labels")
        self._samples = samples
        self._labels = None if labels is None else np.asarray(labels, np.int64)
        known = self._labels if self._labels is not None else np.empty(0, np.int64)
        top = int(known.max()) + 1 if known.size else 0
        self.classes = [str(n) for n in range(top)]

    def __len__(self) -> int:
        return len(self._samples)

    def sample(self, index: int) -> Array:
        """Return one sample."""
        return np.asarray(self._samples[index])

    def label(self, index: int) -> int | None:
        """Return the class number, or None."""
        return None if self._labels is None else int(self._labels[index])

    def name(self, index: int) -> str:
        """Return its number."""
        return f"sample {index}"
