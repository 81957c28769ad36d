"""Folders of pictures (labels.tsv, class folders, or neither), and archives with class folders."""

from __future__ import annotations

import tarfile
import warnings
import zlib
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from compress_tensor import FileError, MissingExtraError

from .dataset import Array, files_and_labels

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm")
MOST_PIXELS = 100_000_000  #: a picture that claims more is refused before it is decoded
MOST_BYTES = 64 << 20  #: of a picture in an archive


class ImageFolder:
    """Pictures as uint8 arrays of shape (height, width, 3), RGB, turned as Exif says."""

    kind = "image"

    def __init__(self, folder: Path) -> None:
        self.files, self.labels, self.classes = files_and_labels(folder, SUFFIXES)

    def __len__(self) -> int:
        return len(self.files)

    def sample(self, index: int) -> Array:
        """Return a decoded picture.

        Raises:
            FileError: if it cannot be decoded.
        """
        return read_image(self.files[index])

    def label(self, index: int) -> int | None:
        """Return the class number, or None."""
        return self.labels[index] if self.labels else None

    def name(self, index: int) -> str:
        """Return the file."""
        return str(self.files[index])


class ImageArchive:
    """Pictures in a tar archive (also compressed), classes being the folders that they lie in.

    They stay compressed in memory and are decoded when they are asked for; nothing is unpacked
    to the disk.
    """

    kind = "image"

    def __init__(self, path: Path) -> None:
        found: dict[str, bytes] = {}
        try:
            with tarfile.open(path, "r:*") as archive:
                for member in archive:
                    if not member.isfile() or not member.name.lower().endswith(SUFFIXES):
                        continue
                    if member.size > MOST_BYTES:
                        raise FileError(f"{path} holds a picture of {member.size} bytes")
                    # Only as much is asked for as there is: a buffer that shrinks stays a
                    # mapping of its own, of which a process has 65,530.
                    file = archive.extractfile(member)
                    found[member.name] = b"" if file is None else file.read(member.size)
        except FileError:
            raise
        except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError) as error:
            raise FileError(f"{path} is not an archive that can be read: {error}") from error
        if not found:
            raise FileError(f"{path} holds no pictures")
        self._path = path
        self._files = sorted(found.items())
        folders = [PurePosixPath(name).parent.name for name, _ in self._files]
        self.classes = sorted(set(folders))
        self._labels = [self.classes.index(folder) for folder in folders]

    def __len__(self) -> int:
        return len(self._files)

    def sample(self, index: int) -> Array:
        """Return a decoded picture.

        Raises:
            FileError: if it cannot be decoded.
        """
        return decode(BytesIO(self._files[index][1]), self.name(index))

    def label(self, index: int) -> int:
        """Return the class number."""
        return self._labels[index]

    def name(self, index: int) -> str:
        """Return archive and file."""
        return f"{self._path}: {self._files[index][0]}"


def read_image(path: Path) -> Array:
    """Return a picture as uint8 (height, width, 3), RGB; see `decode`."""
    return decode(path, str(path))


def decode(source: Path | BinaryIO, name: str) -> Array:
    """Return a picture as uint8 (height, width, 3), RGB.

    Args:
        source: a file.
        name: of it, for messages.

    Raises:
        FileError: if it is missing, broken, or larger than 100 million pixels.
        MissingExtraError: if Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtraError(
            "reading pictures needs Pillow; install compress-autograd[images]"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise FileError(f"{name} claims {picture.width} x {picture.height} pixels")
                turned = ImageOps.exif_transpose(picture)
                return np.asarray(turned.convert("RGB"))
    except FileError:
        raise
    except Exception as error:  # decoders raise whatever a broken file makes them raise
        raise FileError(f"{name} is not a picture that can be read: {error}") from error
