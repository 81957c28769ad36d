"""Folders of pictures: labels.tsv, class folders, or neither."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from compress_tensor import FileError, MissingExtraError

from .dataset import Array, files_and_labels

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm")
MOST_PIXELS = 100_000_000  #: a picture that claims more is refused before it is decoded


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


def read_image(path: Path) -> Array:
    """Return a picture as uint8 (height, width, 3), RGB.

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
            with Image.open(path) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise FileError(f"{path} claims {picture.width} x {picture.height} pixels")
                turned = ImageOps.exif_transpose(picture)
                return np.asarray(turned.convert("RGB"))
    except FileError:
        raise
    except Exception as error:  # decoders raise whatever a broken file makes them raise
        raise FileError(f"{path} is not a picture that can be read: {error}") from error
