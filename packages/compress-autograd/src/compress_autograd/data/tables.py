"""Tables of texts: .tsv, .csv and .jsonl, each also as .gz."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from pathlib import Path

from compress_tensor import FileError

from .dataset import read_bytes


class TextTable:
    """Labelled texts.

    * ``.tsv``: text, tab, label (no header);
    * ``.csv``: label, then one or more columns of text (no header);
    * ``.jsonl``: objects with the keys ``text`` and ``label``.

    Labels may be any strings or numbers; classes are numbered in their sorted order.
    """

    kind = "text"

    def __init__(self, path: Path) -> None:
        name = path.name.removesuffix(".gz")
        lines = [line for line in _text(path).replace("\r\n", "\n").split("\n") if line]
        try:
            if name.endswith(".tsv"):
                rows = [line.rsplit("\t", 1) for line in lines]
            elif name.endswith(".csv"):
                cells = list(csv.reader(io.StringIO(_text(path))))
                rows = [["\n".join(row[1:]), row[0]] for row in cells if row]
            else:
                objects = [json.loads(line) for line in lines]
                rows = [[str(o["text"]), str(o["label"])] for o in objects]
        except (csv.Error, ValueError, KeyError, TypeError) as error:
            raise FileError(f"{path} is not a table of texts and labels: {error}") from error
        wrong = next((i for i, row in enumerate(rows) if len(row) != 2), None)
        if wrong is not None or not rows:
            raise FileError(f"{path} line {(wrong or 0) + 1} is not a text and a label")
        self.classes = sorted({row[1] for row in rows}, key=_as_number)
        self._rows = rows
        self._path = path

    def __len__(self) -> int:
        return len(self._rows)

    def sample(self, index: int) -> str:
        """Return one text."""
        return self._rows[index][0]

    def label(self, index: int) -> int:
        """Return the class number."""
        return self.classes.index(self._rows[index][1])

    def name(self, index: int) -> str:
        """Return file and line."""
        return f"{self._path} line {index + 1}"


def _as_number(label: str) -> tuple[int, int, str]:
    return (0, int(label), "") if label.lstrip("-").isdigit() else (1, 0, label)


def _text(path: Path) -> str:
    raw = read_bytes(path)
    try:
        if path.name.endswith(".gz"):
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise FileError(f"{path} is not readable text: {error}") from error
