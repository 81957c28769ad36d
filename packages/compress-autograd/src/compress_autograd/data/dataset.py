"""What every data set is: samples by number, each with a label where there are labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from compress_tensor import FileError

Array = np.ndarray[Any, np.dtype[Any]]


class Dataset(Protocol):
    """Samples that are read one at a time, so that memory does not grow with their number.

    Attributes:
        kind: what a sample is: "image" (uint8, height x width x 3), "audio" (float32 samples),
            "array" or "text" (a str).
        classes: the names of the labels, if they have any.
    """

    kind: str
    classes: list[str]

    def __len__(self) -> int:
        """Return the number of samples."""

    def sample(self, index: int) -> Any:
        """Return one sample as read from disk, before preprocessing."""

    def label(self, index: int) -> int | None:
        """Return the class number of a sample, or None if there are no labels."""

    def name(self, index: int) -> str:
        """Return how messages name a sample: its file, or its number."""


def files_and_labels(
    folder: Path, suffixes: Sequence[str]
) -> tuple[list[Path], list[int], list[str]]:
    """List the samples of a folder: by labels.tsv, by class folders, or without labels.

    ``labels.tsv`` has a header with the columns ``file`` and ``class`` (a number), and perhaps
    ``name``.  Class folders are numbered in the order of their names.

    Returns:
        Files, class numbers (empty: no labels) and class names.

    Raises:
        FileError: if there are none, a listed file is missing, or a line is not understood.
    """
    table = folder / "labels.tsv"
    if table.is_file():
        return _from_table(folder, table)
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    files: list[Path] = []
    labels: list[int] = []
    for number, name in enumerate(names):
        found = _matching(folder / name, suffixes)
        files += found
        labels += [number] * len(found)
    if files:
        return files, labels, names
    files = _matching(folder, suffixes)
    if not files:
        raise FileError(f"{folder} has no {' or '.join(suffixes)} files and no labels.tsv")
    return files, [], []


def _matching(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in suffixes and f.is_file())


def _from_table(folder: Path, table: Path) -> tuple[list[Path], list[int], list[str]]:
    lines = read_text(table).splitlines()
    header = lines[0].split("\t") if lines else []
    if "file" not in header or "class" not in header:
        raise FileError(f"{table} needs a header with the columns file and class, tabs between")
    at_file, at_class = header.index("file"), header.index("class")
    at_name = header.index("name") if "name" in header else None
    files, labels, names = [], [], {}
    for number, line in enumerate(lines[1:], 2):
        cells = line.split("\t")
        if len(cells) != len(header) or not cells[at_class].isdigit():
            raise FileError(f"{table} line {number} does not fit the header {header}")
        path = folder / cells[at_file]
        if not path.is_file():
            raise FileError(f"{table} line {number} names {cells[at_file]}, which is missing")
        files.append(path)
        labels.append(int(cells[at_class]))
        if at_name is not None:
            names[labels[-1]] = cells[at_name]
    if not files:
        raise FileError(f"{table} lists no files")
    return files, labels, [names.get(i, str(i)) for i in range(max(labels) + 1)]


def read_bytes(path: Path) -> bytes:
    """Return the contents of a file.

    Raises:
        FileError: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


def read_text(path: Path) -> str:
    """Return the contents of a UTF-8 file.

    Raises:
        FileError: if it cannot be read or is not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is not UTF-8 text (byte {error.start})") from error
