"""Data for training that `compress_autograd.data` does not read as it is needed here."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compress_autograd.data import Dataset
from compress_autograd.data.characters import HELD_OUT
from compress_autograd.data.dataset import read_text
from compress_tensor import FileError, InputError

from ..runtimes import Array

EVERY = 5  #: every fifth sample of a class is held out where there is no test set
_PAD, _UNKNOWN, _FIRST = range(3)  #: padding, a word not in the vocabulary, the start of a text


class Part:
    """Some samples of a data set."""

    def __init__(self, whole: Dataset, indices: Sequence[int]) -> None:
        self.kind, self.classes = whole.kind, whole.classes
        self._whole, self._indices = whole, indices

    def __len__(self) -> int:
        return len(self._indices)

    def sample(self, index: int) -> Any:
        """Return one sample."""
        return self._whole.sample(self._indices[index])

    def label(self, index: int) -> int | None:
        """Return its class number."""
        return self._whole.label(self._indices[index])

    def name(self, index: int) -> str:
        """Return what messages call it."""
        return self._whole.name(self._indices[index])


def held_out(whole: Dataset) -> tuple[Part, Part]:
    """Return a data set without every fifth sample of each class, and those.

    Raises:
        InputError: if no class has five samples.
    """
    seen: Counter[int | None] = Counter()
    kept: list[int] = []
    out: list[int] = []
    for index in range(len(whole)):
        label = whole.label(index)
        seen[label] += 1
        (kept if seen[label] % EVERY else out).append(index)
    if not out:
        raise InputError(f"no class has {EVERY} samples to hold one out for the test; give --test")
    return Part(whole, kept), Part(whole, out)


class Vocabulary:
    """Words of texts as numbers: lower case, letters or single other signs.

    Calling it gives the int64 ids (length,) of a text: a start, then its words, cut or padded.

    Args:
        texts: whose most frequent words get a number.
        size: of the vocabulary.
        length: of what is returned.
    """

    def __init__(self, texts: Iterable[str], size: int, length: int) -> None:
        counts = Counter(word for text in texts for word in _words(text))
        # The same order wherever it runs: by frequency, then by spelling.
        ordered = sorted(counts, key=lambda word: (-counts[word], word))
        self._ids = {word: n + 3 for n, word in enumerate(ordered[: size - 3])}
        self._length = length

    def __call__(self, text: Any) -> Array:
        """Return the ids of a text."""
        ids = [_FIRST, *(self._ids.get(word, _UNKNOWN) for word in _words(str(text)))]
        found = np.full(self._length, _PAD, np.int64)
        found[: min(len(ids), self._length)] = ids[: self._length]
        return found

    def to_json(self) -> str:
        """Return words and their ids."""
        return json.dumps(self._ids)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+|[^\sa-z']", text.lower())


def characters(path: Path, length: int) -> tuple[Array, list[str]]:
    """Return a text but its last tenth as pieces, and its alphabet.

    Returns:
        int64 (pieces, length + 1): each goes on where the one before it ended, its first
        character being the last one there; and the characters by their number.

    Raises:
        FileError: if it is too short.
    """
    text = read_text(path)
    alphabet = sorted(set(text))
    numbers = {c: n for n, c in enumerate(alphabet)}
    ids = np.array([numbers[c] for c in text[: len(text) * (HELD_OUT - 1) // HELD_OUT]], np.int64)
    count = (len(ids) - 1) // length
    if count < 1:
        raise FileError(f"{path} is too short: it needs {length + 1} characters to train on")
    places = np.arange(count)[:, None] * length + np.arange(length + 1)
    return ids[places], alphabet
