"""Character streams: the preset ``charlm``.

The last tenth of a text is cut into parallel streams; each character is predicted from all
before it in its stream, states carried along.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from compress_tensor import FileError

from .dataset import Array, read_text

STREAMS = 16
HELD_OUT = 10  #: one part of so many


class CharacterStreams:
    """The held-out end of a text as ids, shape (streams, length), left-over characters dropped.

    Args:
        path: a text file.
        vocabulary: a JSON file with ``tokens`` (a list) or a map from character to id.
        streams: how many run in parallel.
    """

    kind = "characters"

    def __init__(self, path: Path, vocabulary: Path, streams: int = STREAMS) -> None:
        text = read_text(path)
        tokens = _tokens(vocabulary)
        held_out = text[len(text) * (HELD_OUT - 1) // HELD_OUT :]
        unknown = sorted(set(held_out) - set(tokens))
        if unknown:
            raise FileError(f"{vocabulary} has no id for {unknown[0]!r}, which {path} contains")
        length = len(held_out) // streams
        if length < 2:
            raise FileError(f"{path} is too short for {streams} streams")
        ids = np.array([tokens[c] for c in held_out[: streams * length]], np.int64)
        self.ids: Array = ids.reshape(streams, length)
        self.classes = sorted(tokens, key=lambda c: tokens[c])

    def __len__(self) -> int:
        return int(self.ids.size)


def _tokens(path: Path) -> dict[str, int]:
    try:
        loaded = json.loads(read_text(path))
    except ValueError as error:
        raise FileError(f"{path} is not JSON: {error}") from error
    if isinstance(loaded, dict) and isinstance(loaded.get("tokens"), list):
        return {str(c): i for i, c in enumerate(loaded["tokens"])}
    if isinstance(loaded, dict) and all(isinstance(i, int) for i in loaded.values()):
        return dict(loaded)
    raise FileError(f'{path} is neither {{"tokens": [...]}} nor a map from character to id')
