"""Files are written whole or not at all."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from compress_tensor import FileError, InputError
from compress_tensor.files import write_atomically


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    """Until the block ends the old contents stay."""
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with write_atomically(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"

    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError, ZeroDivisionError])
def test_nothing_is_left_when_the_block_raises(tmp_path: Path, error: type[BaseException]) -> None:
    """Any exception passes through, Ctrl-C included, and leaves the folder as it was."""
    with pytest.raises(error), write_atomically(tmp_path / "a.bin") as file:
        file.write(b"half")
        raise error

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_file_error(tmp_path: Path) -> None:
    """What the system refuses to write becomes one sentence."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with (
            pytest.raises(FileError, match="cannot be written"),
            write_atomically(tmp_path / "a.bin") as file,
        ):
            file.write(b"x" * 100_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "no/such/folder.bin", "a\0b", "folder", "pipe"])
def test_places_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    """A folder, a pipe, a name that is none: each is refused and not replaced."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    path = str(tmp_path / name) if name else ""
    with pytest.raises(FileError), write_atomically(path) as file:
        file.write(b"x")

    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "pipe"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """Writing through a link replaces what it points to."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.bin"
    link.symlink_to(tmp_path / "real" / "a.bin")
    with write_atomically(link) as file:
        file.write(b"new")

    assert link.is_symlink()
    assert (tmp_path / "real" / "a.bin").read_bytes() == b"new"
