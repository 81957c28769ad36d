"""Run one operator of libcore on numpy arrays, whatever their strides."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtype import DType
from ..errors import NativeUnsupportedError
from .library import Pool, core, opcode

TENSOR_WORDS = 20
MAX_RANK = 8


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
    words = np.zeros((max(len(tensors), 1), TENSOR_WORDS), np.int64)
    data = np.zeros(max(len(tensors), 1), np.int64)
    for i, array in enumerate(tensors):
        if array is None:
            words[i, 0] = -1
            continue
        if array.ndim > MAX_RANK:
            raise NativeUnsupportedError(f"{op}: {array.ndim} dimensions, libcore takes {MAX_RANK}")
        if any(stride % array.itemsize for stride in array.strides):
            raise ValueError(f"{op}: operand {i} has a stride that is not whole elements")
        words[i, 2:4] = DType.of(array.dtype), array.ndim
        words[i, 4 : 4 + array.ndim] = array.shape
        words[i, 12 : 12 + array.ndim] = [stride // array.itemsize for stride in array.strides]
        data[i] = array.ctypes.data
    numbers = arg_words(args)
    core().cpr_call(
        opcode(op),
        len(tensors),
        words.ctypes.data,
        data.ctypes.data,
        len(args),
        numbers.ctypes.data,
        pool.handle if pool else None,
    )
