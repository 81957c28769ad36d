"""Arrays in .npy and .npz files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from compress_tensor import FileError

from .dataset import Array

_SAMPLES = ("x", "data", "images", "inputs", "input", "samples")
_LABELS = ("y", "labels", "label", "targets", "target")


class ArrayFile:
    """The rows of an array; labels from the array y, labels or targets of the same .npz file.

    A .npy file holds samples only.  Files with pickled objects are refused.
    """

    kind = "array"

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:  # numpy would leave it open when it is broken
                loaded = np.load(file, allow_pickle=False)
                found = {"x": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise FileError(f"{path} cannot be read as numpy data: {error}") from error
        named = {name.lower(): array for name, array in found.items()}
        samples = next((named[n] for n in _SAMPLES if n in named), None)
        if samples is None and len(found) == 1:
            (samples,) = found.values()
        if samples is None or samples.ndim < 1:
            raise FileError(f"{path} has arrays {sorted(found)}, none of them named x with rows")
        self._samples: Array = samples
        self._labels = next((named[n] for n in _LABELS if n in named), None)
        if self._labels is not None and self._labels.shape != (len(samples),):
            raise FileError(f"{path} has {len(samples)} samples, but labels {self._labels.shape}")
        top = int(self._labels.max()) + 1 if self._labels is not None and len(samples) else 0
        self.classes = [str(i) for i in range(top)]
        self._path = path

    def __len__(self) -> int:
        return len(self._samples)

    def sample(self, index: int) -> Array:
        """Return one row."""
        found: Array = self._samples[index]
        return found

    def label(self, index: int) -> int | None:
        """Return the class number, or None."""
        return None if self._labels is None else int(self._labels[index])

    def name(self, index: int) -> str:
        """Return file and number."""
        return f"{self._path}[{index}]"
