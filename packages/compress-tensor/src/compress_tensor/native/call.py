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
        found: int = array.ctypes.data
        return found


def float_bits(value: float) -> int:
    """Return the int64 that carries a float argument."""
    found: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return found


def arg_words(args: Sequence[int | float]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the words of a record's arguments: ints as they are, floats as bits."""
    return np.array([float_bits(a) if isinstance(a, float) else int(a) for a in args], np.int64)


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
    numbers = arg_words(args)
    core().cpr_call(
        opcode(op),
        len(tensors),
        described.ctypes.data,
        addresses.ctypes.data,
        len(args),
        numbers.ctypes.data,
        pool.handle if pool else None,
    )
