"""Files written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import CompressError, FileError

_ADVICE = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENOENT: "create its folder first",
    errno.ENOTDIR: "create its folder first",
}


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a binary file that becomes ``path`` when the block ends well.

    It is written beside ``path`` under another name, flushed to the disk, and renamed; a reader
    sees the old contents or the new ones.  When the block raises (Ctrl-C included) nothing is
    left behind and ``path`` is untouched.

    Raises:
        FileError: if the file cannot be written.
    """
    given = Path(path)
    if not given.name or "\0" in given.name:
        raise FileError(f"{str(given)!r} names no file; give a file name")
    part: Path | None = None
    try:
        # A link keeps pointing where it did: its target is what is replaced.
        target = Path(os.path.realpath(given))
        if target.exists() and not target.is_file():
            raise FileError(f"{given} is not a regular file; choose another name")
        part = target.with_name(f".{target.name[:100]}.{os.urandom(6).hex()}.part")
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
        _sync_folder(target.parent)
    except CompressError:
        raise
    except OSError as error:
        if error.errno is None:
            raise
        advice = _ADVICE.get(error.errno, "choose another place")
        raise FileError(f"{given} cannot be written: {error.strerror}; {advice}") from error
    finally:
        if part is not None:  # already renamed when all went well
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new name last too, on systems where a folder can be flushed."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
