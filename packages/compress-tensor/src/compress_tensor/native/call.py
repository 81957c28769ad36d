"""Run one operator of libcore on numpy arrays, whatever their strides."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtype import DType
from ..errors import NativeUnsupportedError
from .library import Pool, core, opcode

TENSOR_WORDS = 20
MAX_RANK = 8
_ZEROS = (0,) * MAX_RANK
_ABSENT = (-1, *(0,) * (TENSOR_WORDS - 1))


def address(array: np.ndarray[Any, Any]) -> int:
    """Return where an array's first element lies."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # several times faster
    except (TypeError, ValueError, BufferError):  # read-only, empty, strided, unknown to buffers
        found: int = array.__array_interface__["data"][0]
        return found


def float_bits(value: float) -> int:
    """Return the int64 that carries a float argument."""
    found: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return found


def bits_of(value: Any, dtype: DType) -> int:
    """Return the word that carries one element for the ``fill`` kernel."""
    raw = np.array(value).astype(dtype.numpy).tobytes().ljust(8, b"\0")
    return int(np.frombuffer(raw, np.int64)[0])


def arg_words(args: Sequence[int | float]) -> list[int]:
    """Return the words of a record's arguments: ints as they are, floats as bits."""
    return [float_bits(a) if isinstance(a, float) else int(a) for a in args]


def call(
    op: str,
    tensors: Sequence[np.ndarray[Any, Any] | None],
    args: Sequence[int | float] = (),
    pool: Pool | None = None,
) -> None:
    """Run operator ``op``; outputs are among ``tensors`` and written in place.

    Raises:
        NativeError: with libcore's sentence.
        ValueError: if a stride is not a multiple of the element size.
    """
    words: list[int] = []
    data: list[int] = []
    for i, array in enumerate(tensors):
        if array is None:
            words += _ABSENT
            data.append(0)
            continue
        shape, strides, size = array.shape, array.strides, array.itemsize
        if len(shape) > MAX_RANK:
            raise NativeUnsupportedError(f"{op}: {len(shape)} dimensions, libcore takes {MAX_RANK}")
        if any(stride % size for stride in strides):
            raise ValueError(f"{op}: operand {i} has a stride that is not whole elements")
        pad = _ZEROS[len(shape) :]
        words += (0, 0, DType.of(array.dtype), len(shape), *shape, *pad)
        words += (*(stride // size for stride in strides), *pad)
        data.append(address(array))
    described = np.array(words or _ABSENT, np.int64)
    addresses = np.array(data or [0], np.int64)
    numbers = np.array(arg_words(args), np.int64)
    core().cpr_call(
        opcode(op),
        len(tensors),
        address(described),
        address(addresses),
        len(args),
        address(numbers) if args else None,
        pool.handle if pool else None,
    )
