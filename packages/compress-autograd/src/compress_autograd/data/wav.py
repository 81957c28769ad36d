"""Folders of .wav clips."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from compress_tensor import FileError

from .dataset import Array, files_and_labels

MOST_FRAMES = 1 << 28


class WavFolder:
    """Clips as float32 in [-1, 1), one channel (several are averaged), 16-bit PCM."""

    kind = "audio"

    def __init__(self, folder: Path) -> None:
        self.files, self.labels, self.classes = files_and_labels(folder, (".wav",))

    def __len__(self) -> int:
        return len(self.files)

    def sample(self, index: int) -> Array:
        """Return one clip, shape (samples,).

        Raises:
            FileError: if it cannot be read.
        """
        return read_wav(self.files[index])

    def label(self, index: int) -> int | None:
        """Return the class number, or None."""
        return self.labels[index] if self.labels else None

    def name(self, index: int) -> str:
        """Return the file."""
        return str(self.files[index])


def read_wav(path: Path) -> Array:
    """Return a 16-bit PCM file as float32: int16 / 32768, channels averaged.

    Raises:
        FileError: if it is missing, broken, or of another sample format.
    """
    try:
        with wave.open(str(path), "rb") as clip:
            if clip.getsampwidth() != 2:
                raise FileError(f"{path} has {8 * clip.getsampwidth()}-bit samples, 16 are needed")
            if clip.getnframes() > MOST_FRAMES:
                raise FileError(f"{path} claims {clip.getnframes()} samples")
            channels = clip.getnchannels()
            raw = clip.readframes(clip.getnframes())
    except (wave.Error, EOFError, OSError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} is not a .wav file that can be read: {error}") from error
    data = np.frombuffer(raw[: len(raw) // (2 * channels) * 2 * channels], "<i2")
    samples = data.astype(np.float32) / np.float32(32768)
    return (
        samples if channels == 1 else samples.reshape(-1, channels).mean(axis=1, dtype=np.float32)
    )
