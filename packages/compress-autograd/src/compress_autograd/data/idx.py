"""IDX, the format of MNIST: magic number, dimensions big-endian, then the numbers."""

from __future__ import annotations

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from compress_tensor import FileError

from .dataset import Array, read_bytes

_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


class Idx:
    """Images or other arrays of an IDX file, with the labels file that belongs to it.

    ``train-images-idx3-ubyte`` finds ``train-labels-idx1-ubyte`` beside it (either may be .gz).
    Images of bytes are given as uint8 (height, width, 3), grey repeated.
    """

    def __init__(self, path: Path) -> None:
        self._data = read_idx(path)
        if self._data.ndim < 1:
            raise FileError(f"{path} holds a single number, not samples")
        labels = _labels_beside(path)
        self._labels = None if labels is None else read_idx(labels)
        if self._labels is not None and len(self._labels) != len(self._data):
            raise FileError(f"{path} and {labels} have different numbers of samples")
        self.kind = "image" if self._data.ndim == 3 and self._data.dtype == np.uint8 else "array"
        top = 0 if self._labels is None or not len(self._labels) else int(self._labels.max()) + 1
        self.classes = [str(i) for i in range(top)]
        self._path = path

    def __len__(self) -> int:
        return len(self._data)

    def sample(self, index: int) -> Array:
        """Return one image or array."""
        data = self._data[index]
        return np.repeat(data[:, :, None], 3, axis=2) if self.kind == "image" else data

    def label(self, index: int) -> int | None:
        """Return the class number, or None."""
        return None if self._labels is None else int(self._labels[index])

    def name(self, index: int) -> str:
        """Return file and number."""
        return f"{self._path}[{index}]"


def read_idx(path: Path) -> Array:
    """Return the array in an IDX file, plain or gzip.

    Raises:
        FileError: if it is not one, or cut off.
    """
    raw = read_bytes(path)
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise FileError(f"{path} is not a complete gzip file: {error}") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] not in _TYPES:
        raise FileError(f"{path} is not an IDX file")
    rank = raw[3]
    start = 4 + 4 * rank
    if len(raw) < start:
        raise FileError(f"{path} is cut off inside its header")
    dims = tuple(int(n) for n in np.frombuffer(raw, ">u4", rank, 4))
    dtype = np.dtype(_TYPES[raw[2]])
    if len(raw) - start != prod(dims) * dtype.itemsize:
        raise FileError(f"{path} says {dims}, but holds {len(raw) - start} bytes of data")
    data = np.frombuffer(raw, dtype, offset=start).reshape(dims)
    return data.astype(dtype.newbyteorder("="))


def _labels_beside(path: Path) -> Path | None:
    for images, labels in (("images-idx3", "labels-idx1"), ("images.idx3", "labels.idx1")):
        if images in path.name:
            plain = path.with_name(path.name.replace(images, labels))
            for found in (plain, plain.with_suffix(""), Path(f"{plain}.gz")):
                if found.is_file():
                    return found
    return None
