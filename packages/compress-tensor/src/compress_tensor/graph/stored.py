"""Constants that stay in their file until they are read.

A graph of a large file would otherwise hold every weight in memory beside what is packed, folded
or quantized from it.  `Constants` looks like any other dict: whoever asks it for an array gets
one, read anew each time unless it is still alive somewhere.  Code that wants to know only what an
array looks like, or to hand it on, goes through `unread`, `spec` and `chosen`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Container, ItemsView, Iterator, Mapping, ValuesView
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FileError
from ..processors import physical_bytes
from .graph import Array

#: elements up to which a constant is read at once: numbers that shape inference may want to know
SMALL = 1 << 16
FEW = 1 << 12  #: and of other types, which are weights


class Source:
    """A file that stays open, and must stay as it is: moved or deleted it may be.

    Args:
        path: the file.

    Raises:
        OSError: if it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._file)
        status = os.fstat(self._file)
        self.size = status.st_size
        self._modified = status.st_mtime_ns

    def read(self, start: int, size: int) -> Array:
        """Return ``size`` bytes, or those up to the file's end, as uint8 (a new array).

        Raises:
            FileError: if the file was changed since it was opened, cannot be read, or does not
                fit into memory.
        """
        wanted = max(0, min(size, self.size - start))
        try:
            if wanted > physical_bytes():
                raise MemoryError
            found = np.empty(wanted, np.uint8)
            rest = memoryview(found)
            status = os.fstat(self._file)
            got = 1 if (status.st_size, status.st_mtime_ns) == (self.size, self._modified) else 0
            while rest and got:
                got = os.preadv(self._file, [rest], start)
                rest, start = rest[got:], start + got
        except MemoryError as error:
            raise FileError(
                f"{self.path}: one of its tensors has {wanted} bytes, more memory than there is"
            ) from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise FileError(f"{self.path} cannot be read any more: {reason}") from error
        if not got:
            raise FileError(
                f"{self.path} was changed while a graph of it was in use; read the file again "
                "(and write new versions to another file, that then takes its name)"
            )
        return found


@dataclass(frozen=True, slots=True)
class Place:
    """So many bytes of a file."""

    source: Source
    start: int
    size: int

    def read(self) -> Array:
        """Return them, as `Source.read` does."""
        return self.source.read(self.start, self.size)


class Stored:
    """An array in a file: type and shape as numpy has them, contents on demand."""

    __slots__ = ("__weakref__", "_alive", "_place", "dtype", "shape")

    def __init__(self, place: Place, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._place = place
        self.dtype, self.shape = dtype, shape
        self._alive: weakref.ref[Array] | None = None

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self._place.size

    def load(self) -> Array:
        """Return the contents, read-only.

        Raises:
            FileError: see `Source.read`.
        """
        alive = self._alive
        found = None if alive is None else alive()
        if found is None:
            found = self._place.read().view(self.dtype).reshape(self.shape)
            found.flags.writeable = False
            self._alive = weakref.ref(found)
        return found


Entry = Array | Stored


def loaded(entry: Entry) -> Array:
    """Return the array itself."""
    return entry.load() if isinstance(entry, Stored) else entry


class Constants(dict[str, Array]):
    """A dict of arrays of which some are `Stored`.

    Whatever takes a mapping apart (``dict(...)``, ``{**...}``, ``update``) gets arrays; `copy`
    and `chosen` leave them where they are.
    """

    def store(self, name: str, entry: Stored) -> None:
        """Set an entry that is read on demand."""
        super().__setitem__(name, entry)  # type: ignore[assignment]

    def __getitem__(self, name: str) -> Array:
        return loaded(super().__getitem__(name))

    def get(self, name: str, default: Any = None) -> Any:  # noqa: D102 - dict's
        try:
            return self[name]
        except KeyError:
            return default

    def __iter__(self) -> Iterator[str]:
        # Having this makes dict(...) and the like ask for items one by one.
        return super().__iter__()

    def values(self) -> ValuesView[Array]:  # type: ignore[override]  # noqa: D102 - dict's
        return ValuesView(self)

    def items(self) -> ItemsView[str, Array]:  # type: ignore[override]  # noqa: D102 - dict's
        return ItemsView(self)

    def copy(self) -> Constants:
        """Return a dict of the same entries, none of them read."""
        return _made(dict.items(self))

    def pop(self, name: str, *default: Any) -> Any:  # noqa: D102 - dict's
        return loaded(super().pop(name, *default))

    def popitem(self) -> tuple[str, Array]:  # noqa: D102 - dict's
        name = next(reversed(self.keys()))
        return name, self.pop(name)

    def setdefault(self, name: str, default: Any = None) -> Any:  # noqa: D102 - dict's
        if name not in self:
            self[name] = default
        return self[name]

    def __or__(self, other: Mapping[str, Array]) -> Constants:  # type: ignore[override]
        found = self.copy()
        found.update(other)
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def unread(constants: Mapping[str, Array]) -> Mapping[str, Entry]:
    """Return the entries as they are held, for a look at their types and shapes."""
    return _Unread(constants) if isinstance(constants, Constants) else constants


def chosen(constants: dict[str, Array], names: Container[str]) -> dict[str, Array]:
    """Return a dict of the entries with these names, in their order, none of them read."""
    if isinstance(constants, Constants):
        return _made((n, a) for n, a in dict.items(constants) if n in names)
    return {n: a for n, a in constants.items() if n in names}


class _Unread(Mapping[str, Entry]):
    __slots__ = ("_of",)

    def __init__(self, of: Constants) -> None:
        self._of = of

    def __getitem__(self, name: str) -> Entry:
        return dict.__getitem__(self._of, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    def __len__(self) -> int:
        return len(self._of)

    def __contains__(self, name: object) -> bool:
        return name in self._of


def _made(entries: Any) -> Constants:
    found = Constants()
    dict.update(found, entries)
    return found
