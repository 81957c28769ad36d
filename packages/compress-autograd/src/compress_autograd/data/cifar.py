"""CIFAR-10's binary format: 1 label byte, then 1024 red, 1024 green, 1024 blue, rows first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from compress_tensor import FileError

from .dataset import Array, read_bytes, read_text

RECORD = 1 + 3 * 32 * 32


class CifarBinary:
    """Pictures of 32 x 32 as uint8 (32, 32, 3); names from labels.txt beside the file."""

    kind = "image"

    def __init__(self, path: Path) -> None:
        data = np.frombuffer(read_bytes(path), np.uint8)
        if not data.size or data.size % RECORD:
            raise FileError(f"{path} has {data.size} bytes, not a multiple of {RECORD} as CIFAR-10")
        self._records = data.reshape(-1, RECORD)
        if self._records[:, 0].max() > 9:
            raise FileError(f"{path} has a label above 9: it is not CIFAR-10")
        names = path.parent / "labels.txt"
        self.classes = read_text(names).split() if names.is_file() else [str(i) for i in range(10)]
        self._path = path

    def __len__(self) -> int:
        return len(self._records)

    def sample(self, index: int) -> Array:
        """Return a picture."""
        planes = self._records[index, 1:].reshape(3, 32, 32)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))

    def label(self, index: int) -> int:
        """Return the class number."""
        return int(self._records[index, 0])

    def name(self, index: int) -> str:
        """Return file and number."""
        return f"{self._path}[{index}]"
