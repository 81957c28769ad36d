"""Storage: a piece of memory that tensors share, and who keeps it alive.

What compress allocates starts at a multiple of 64 bytes.  What other libraries hand over stays
where it is; the storage keeps its owner alive.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from . import recycle
from .graph.graph import Array

ALIGN = 64  #: bytes; a cache line, and the widest vector register

_char_at = ctypes.c_char.from_buffer
_address_of = ctypes.addressof


class Storage:
    """Bytes at an address.

    Attributes:
        memory: the bytes, one-dimensional uint8; its base keeps them alive.
        address: of the first byte.
        writable: whether tensors may write here.
        version: how often tensors have written here.
    """

    __slots__ = ("address", "memory", "version", "writable")

    def __init__(self, memory: Array, address: int, *, writable: bool) -> None:
        self.memory = memory
        self.address = address
        self.writable = writable
        self.version = 0


def allocate(nbytes: int) -> Storage:
    """Return new aligned memory with arbitrary contents."""
    if nbytes >= recycle.LARGE and recycle.is_kept():
        raw: Array = np.asarray(recycle.take(nbytes + ALIGN))
        return _aligned(raw, nbytes)
    return _aligned(np.empty(nbytes + ALIGN, np.uint8), nbytes)


def allocate_zeros(nbytes: int) -> Storage:
    """Return new aligned memory, every byte 0."""
    return _aligned(np.zeros(nbytes + ALIGN, np.uint8), nbytes)


def _aligned(raw: Array, nbytes: int) -> Storage:
    address = _address_of(_char_at(raw))
    skipped = -address % ALIGN
    return Storage(raw[skipped : skipped + nbytes], address + skipped, writable=True)


class _Span:
    """Memory between two addresses, for numpy to look at; keeps its owner alive."""

    def __init__(self, address: int, nbytes: int, writable: bool, owner: object) -> None:
        self.owner = owner
        self.__array_interface__ = {
            "data": (address, not writable),
            "shape": (nbytes,),
            "typestr": "|u1",
            "version": 3,
        }


def share(array: Array) -> tuple[Storage, int]:
    """Return storage over all the memory that an array shows, and where its first element is.

    Returns:
        The storage, and the byte offset of element (0, ..., 0) in it.
    """
    writable = array.flags.writeable
    address: int = array.ctypes.data
    if not array.size:
        return Storage(np.empty(0, np.uint8), address, writable=writable), 0
    low = high = 0
    for size, stride in zip(array.shape, array.strides, strict=True):
        low += min(0, stride * (size - 1))
        high += max(0, stride * (size - 1))
    nbytes = high - low + array.itemsize
    span: Any = _Span(address + low, nbytes, writable, array)
    return Storage(np.asarray(span), address + low, writable=writable), -low
