"""An ONNX file without the contents of its large tensors, which stay in it.

protobuf keeps every byte of a file twice, and hands it out as a third copy.  Here a file's wire
format (protobuf.dev/programming-guides/encoding) is followed to the initializers of the main
graph; where the contents of their ``raw_data`` lie is noted, and protobuf parses the rest, which
is small.  A file in which anything else than plain fields is met is left whole:
protobuf then says what is wrong with it.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from compress_tensor.errors import FileError
from compress_tensor.graph.stored import Place, Source

#: protobuf's own limit for one message
MAX_FILE_BYTES = (1 << 31) - 1
_LARGE_FILE = 1 << 20  # bytes of one that may hold large tensors

#: bytes of ``raw_data`` that are kept from protobuf
LARGE = 1 << 14
#: fields that are followed here; in a file of more, protobuf is faster
MOST_FIELDS = 1 << 18
_WINDOW = 1 << 13
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9  # fields of ModelProto, GraphProto, TensorProto

_Piece = bytes | tuple[int, int]  #: bytes, or where they lie in the file
_Handler = Callable[[int, int], list[_Piece]]

#: from where on how many bytes are wanted: what the file has of them
Reader = Callable[[int, int], bytes]


class Unusual(Exception):  # noqa: N818 - not an error of the caller
    """The file is not plain; protobuf must read it whole."""


class Wire:
    """One model's file, followed once.

    Args:
        read: reads the file.
        size: its bytes.
        large: bytes of ``raw_data`` that are kept from protobuf.

    Attributes:
        rest: the bytes of the file without those of `places`.
        places: first byte and end of contents, by number of the initializer in the main graph.

    Raises:
        Unusual: see there.
    """

    def __init__(self, read: Reader, size: int, large: int = LARGE) -> None:
        self._read, self._large = read, large
        self._at = self._base = 0
        self._window = b""
        self._count = self._fields = 0  # initializers and fields met
        self.places: dict[int, tuple[int, int]] = {}
        pieces = self._message(size, _GRAPH, self._graph)
        self.rest = b"".join(p if isinstance(p, bytes) else read(p[0], p[1] - p[0]) for p in pieces)

    def _graph(self, start: int, end: int) -> list[_Piece]:
        return self._message(end, _INITIALIZER, self._tensor)

    def _tensor(self, start: int, end: int) -> list[_Piece]:
        number, self._count = self._count, self._count + 1
        if end - start < self._large:
            return [(start, end)]

        met: list[int] = []

        def payload(first: int, last: int) -> list[_Piece]:
            if met:
                raise Unusual("raw_data twice")
            met.append(first)
            if last - first < self._large:
                return [(first, last)]
            self.places[number] = (first, last)
            return []

        return self._message(end, _RAW_DATA, payload)

    def _message(self, end: int, wanted: int, handler: _Handler) -> list[_Piece]:
        """Return a message whose fields ``wanted`` are replaced by what ``handler`` returns."""
        found: list[_Piece] = []
        start = self._at  # of what is kept as it is
        while self._at < end:
            before = self._at
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise Unusual("very many fields")
            key = self._varint()
            field, wire = key >> 3, key & 7
            if wire == _VARINT:
                self._varint()
            elif wire == _FIXED64:
                self._at += 8
            elif wire == _FIXED32:
                self._at += 4
            elif wire == _BYTES:
                size = self._varint()
                first = self._at
                last = first + size
                if last > end:
                    raise Unusual("a field ends behind its message")
                if field == wanted:
                    inner = handler(first, last)
                    if inner != [(first, last)]:
                        found.append((start, before))
                        found += self._wrapped(key, inner)
                        start = last
                self._at = last
            else:
                raise Unusual("a group")
            if not field:
                raise Unusual("field 0")
        if self._at != end:
            raise Unusual("a field ends behind its message")
        found.append((start, end))
        return found

    @staticmethod
    def _wrapped(key: int, inner: list[_Piece]) -> list[_Piece]:
        if not inner:  # the field goes
            return []
        size = sum(len(p) if isinstance(p, bytes) else p[1] - p[0] for p in inner)
        return [_varint_bytes(key) + _varint_bytes(size), *inner]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            try:
                byte = self._window[self._at - self._base]
            except IndexError:
                self._base, self._window = self._at, self._read(self._at, _WINDOW)
                if not self._window:
                    raise Unusual("the file ends") from None
                byte = self._window[0]
            self._at += 1
            if byte < 128:
                return value | byte << shift
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise Unusual("a number of more than 64 bits")


def _varint_bytes(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def contents(path: Path) -> tuple[bytes, dict[int, Place]]:
    """Return what protobuf must parse, and large initializers, or where they lie, by number.

    Raises:
        FileError: if the file cannot be read, or is none.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"{path} is not a file; give the path of an ONNX model")
        if status.st_size > MAX_FILE_BYTES:
            raise FileError(
                f"{path} has {status.st_size} bytes; one ONNX file holds at most 2 GB, "
                "larger models keep their weights as external data"
            )
        if status.st_size < _LARGE_FILE:
            return path.read_bytes(), {}
        source = Source(path)

        def read(start: int, size: int) -> bytes:
            return source.read(start, size).tobytes()

        with suppress(Unusual):
            wire = Wire(read, source.size)
            return wire.rest, {
                number: Place(source, first, end - first)
                for number, (first, end) in wire.places.items()
            }
        return read(0, source.size), {}
    except FileError:
        raise
    except MemoryError as error:
        raise FileError(f"{path} needs more memory than there is") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(f"{path} cannot be read: {reason}") from error
