"""Data sets as they lie on disk, and the preprocessing that a network expects."""

from __future__ import annotations

from .arrays import ArrayFile
from .augment import Augment, Crop, Cutout, Flip, Noise, Shift
from .batches import Batch, batches
from .chance import Chance
from .characters import CharacterStreams
from .cifar import CifarBinary
from .dataset import Dataset
from .idx import Idx
from .images import ImageArchive, ImageFolder
from .loader import Loader, pad_sequences
from .memory import InMemory
from .open import open_dataset
from .preprocess import Preprocess, load_preprocess
from .presets import PRESETS, preset
from .tables import TextTable
from .wav import WavFolder

__all__ = [
    "PRESETS",
    "ArrayFile",
    "Augment",
    "Batch",
    "Chance",
    "CharacterStreams",
    "CifarBinary",
    "Crop",
    "Cutout",
    "Dataset",
    "Flip",
    "Idx",
    "ImageArchive",
    "ImageFolder",
    "InMemory",
    "Loader",
    "Noise",
    "Preprocess",
    "Shift",
    "TextTable",
    "WavFolder",
    "batches",
    "load_preprocess",
    "open_dataset",
    "pad_sequences",
    "preset",
]
