"""External tensor data: bytes that a model keeps in files beside it.

A location is trusted no further than the model's own folder: absolute paths, ``..``, links that
lead out of the folder, and ranges outside the file are refused.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from compress_tensor.errors import FileError
from compress_tensor.graph.graph import Array
from compress_tensor.graph.stored import SMALL, Place, Source

#: files that may stay open, so that what lies in them is read on demand
MOST_OPEN = 16


class ExternalData:
    """The files beside one model; each range is found once, and no more than the files hold.

    Args:
        folder: the model's folder, or None for a model that came as bytes.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._found: dict[tuple[Path, int, int], Place | Array] = {}
        self._total: dict[Path, int] = {}
        self._open: dict[Path, Source] = {}

    def find(self, entries: Mapping[str, str], n_bytes: int, where: str) -> Place | Array:
        """Return the ``n_bytes`` that a tensor keeps outside the model file, or where they are.

        Args:
            entries: the tensor's ``external_data`` pairs: location, offset, length.
            n_bytes: what its shape and type ask for.
            where: how messages name the tensor.

        Raises:
            FileError: if the place is outside the folder or does not hold ``n_bytes``.
        """
        location = entries.get("location", "")
        if self.folder is None:
            raise FileError(
                f"{where} keeps its data in the file {location!r}; give read_onnx the model's "
                "path, not its bytes"
            )
        path = _inside(self.folder, location, where)
        offset = _number(entries.get("offset", "0"), "offset", where)
        length = _number(entries.get("length", str(n_bytes)), "length", where)
        if length != n_bytes:
            raise FileError(f"{where} needs {n_bytes} bytes but its external length is {length}")
        key = (path, offset, n_bytes)
        if key not in self._found:
            self._found[key] = self._range(path, offset, n_bytes, where)
        return self._found[key]

    def _range(self, path: Path, offset: int, n_bytes: int, where: str) -> Place | Array:
        try:
            source = self._open.get(path) or Source(path)
        except OSError as error:
            raise FileError(
                f"{where} keeps its data in {str(path)!r}, which cannot be read: {error.strerror}"
            ) from error
        if offset + n_bytes > source.size:
            raise FileError(
                f"{where} needs bytes {offset} to {offset + n_bytes} of {str(path)!r}, "
                f"which has {source.size}; the file is damaged or incomplete"
            )
        # Tensors may share bytes; many overlapping ranges are an attack on memory.
        self._total[path] = self._total.get(path, 0) + n_bytes
        if self._total[path] > 2 * source.size:
            raise FileError(f"the tensors in {str(path)!r} overlap; the file is damaged")
        place = Place(source, offset, n_bytes)
        if n_bytes > SMALL and (path in self._open or len(self._open) < MOST_OPEN):
            self._open[path] = source
            return place
        return place.read()


def _number(text: str, what: str, where: str) -> int:
    # A 64-bit file offset has at most 19 digits.
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise FileError(f"{where} has the external {what} {text[:40]!r}, which is no byte count")
    return int(text)


def _inside(folder: Path, location: str, where: str) -> Path:
    """Return the regular file ``location`` of ``folder``, links resolved."""
    parts = PurePosixPath(location.replace("\\", "/")).parts
    refused = (
        not location
        or "\0" in location
        or ".." in parts
        or PurePosixPath(location).is_absolute()
        or bool(PureWindowsPath(location).anchor)
    )
    if refused:
        raise FileError(
            f"{where} keeps its data at {location[:200]!r}; only files inside the model's own "
            "folder are read"
        )
    try:
        root = folder.resolve(strict=True)
        path = folder.joinpath(*parts).resolve(strict=True)
        regular = stat.S_ISREG(path.stat().st_mode)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links before Python 3.13
        raise FileError(
            f"{where} keeps its data in {location[:200]!r}, which is not beside the model; "
            "copy that file there"
        ) from error
    if not path.is_relative_to(root):
        raise FileError(
            f"{where} keeps its data in {location!r}, a link that leads out of the model's folder; "
            "put the file itself there"
        )
    if not regular:
        raise FileError(f"{where} keeps its data in {location!r}, which is not a regular file")
    return path
