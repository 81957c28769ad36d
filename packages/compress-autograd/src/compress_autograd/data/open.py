"""Opening a data set by looking at what lies there."""

from __future__ import annotations

from pathlib import Path

from compress_tensor import FileError

from .arrays import ArrayFile
from .cifar import CifarBinary
from .dataset import Dataset
from .idx import Idx
from .images import SUFFIXES, ImageArchive, ImageFolder
from .tables import TextTable
from .wav import WavFolder


def open_dataset(path: str | Path) -> Dataset:
    """Return the data set at ``path``.

    A folder holds pictures or .wav clips (labels.tsv, class folders, or no labels).  A file is
    an archive of pictures in class folders (.tar, .tar.gz), CIFAR-10 binary (.bin), numpy (.npz,
    .npy), IDX (...-ubyte, .idx), or a table of texts (.tsv, .csv, .jsonl, also .gz).

    Raises:
        FileError: if nothing is there, or it is none of these.
    """
    found = Path(path)
    if found.is_dir():
        return _folder(found)
    if not found.is_file():
        raise FileError(f"{found} does not exist")
    if found.name.endswith((".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")):
        return ImageArchive(found)
    name = found.name.removesuffix(".gz")
    if name.endswith(".bin"):
        return CifarBinary(found)
    if name.endswith((".npz", ".npy")):
        return ArrayFile(found)
    if name.endswith(("ubyte", ".idx")) or ".idx" in name:
        return Idx(found)
    if name.endswith((".tsv", ".csv", ".jsonl")):
        return TextTable(found)
    raise FileError(
        f"{found} is not a data set that is known: a folder of pictures or .wav, or a .tar.gz, "
        ".bin, .npz, .npy, -ubyte, .tsv, .csv or .jsonl file"
    )


def _folder(folder: Path) -> Dataset:
    entries = sorted(folder.iterdir())
    inside = [f for entry in entries if entry.is_dir() for f in _first_files(entry)]
    for file in [*(entry for entry in entries if entry.is_file()), *inside]:
        if file.suffix.lower() == ".wav":
            return WavFolder(folder)
        if file.suffix.lower() in SUFFIXES:
            return ImageFolder(folder)
    raise FileError(f"{folder} holds neither pictures nor .wav files")


def _first_files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_file())[:3]
