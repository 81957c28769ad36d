"""Data sets as they lie on disk, and the preprocessing that a network expects."""

from __future__ import annotations

from .arrays import ArrayFile
from .batches import Batch, batches
from .characters import CharacterStreams
from .cifar import CifarBinary
from .dataset import Dataset
from .idx import Idx
from .images import ImageFolder
from .open import open_dataset
from .preprocess import Preprocess, load_preprocess
from .presets import PRESETS, preset
from .tables import TextTable
from .wav import WavFolder

__all__ = [
    "PRESETS",
    "ArrayFile",
    "Batch",
    "CharacterStreams",
    "CifarBinary",
    "Dataset",
    "Idx",
    "ImageFolder",
    "Preprocess",
    "TextTable",
    "WavFolder",
    "batches",
    "load_preprocess",
    "open_dataset",
    "preset",
]
