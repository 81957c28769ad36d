"""DLPack both ways: sharing memory with other libraries through its capsules.

numpy makes and takes the capsules, and so looks after lifetimes, strides and read-only memory.
The types that it lacks travel as integers of the same size whose type is named anew in the
capsule: ``bfloat16`` and the 8-bit floats that DLPack has.  (https://dmlc.github.io/dlpack)
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .dtype import DType
from .errors import InputError
from .graph.graph import Array

CPU = 1  #: kDLCPU

#: DLPack's type codes for what numpy holds in structured dtypes
_CODES = {
    DType.BFLOAT16: 4,
    DType.FLOAT8E4M3FN: 10,
    DType.FLOAT8E4M3FNUZ: 11,
    DType.FLOAT8E5M2: 12,
    DType.FLOAT8E5M2FNUZ: 13,
    DType.FLOAT8E8M0: 14,
}
_DTYPES = {code: dtype for dtype, code in _CODES.items()}
_UNSIGNED = 1  #: kDLUInt


class _DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    """DLTensor up to its type."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
    )


class _Versioned(ctypes.Structure):
    """DLManagedTensorVersioned up to the type."""

    _fields_ = (
        ("version", ctypes.c_uint32 * 2),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.argtypes, _is_valid.restype = (ctypes.py_object, ctypes.c_char_p), ctypes.c_int
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.argtypes, _pointer.restype = (ctypes.py_object, ctypes.c_char_p), ctypes.c_void_p


def _type_of(capsule: Any) -> _DataType:
    """Return the element type in a capsule that nobody has taken yet, to read and to write."""
    for name, kind in ((b"dltensor_versioned", _Versioned), (b"dltensor", _Tensor)):
        if _is_valid(capsule, name):
            content = kind.from_address(_pointer(capsule, name))
            found: _DataType = (content.tensor if kind is _Versioned else content).dtype
            return found
    raise InputError("the object's __dlpack__ did not give a DLPack capsule that is still unused")


def export(array: Array, dtype: DType, **keywords: Any) -> Any:
    """Return a capsule over an array's memory.

    Args:
        array: as ``DType.numpy`` holds it.
        dtype: its element type.
        keywords: those of ``__dlpack__``: stream, max_version, dl_device, copy.

    Raises:
        BufferError: if the type, or read-only memory, cannot be expressed.
    """
    wanted = {name: value for name, value in keywords.items() if value is not None}
    if array.dtype.names is not None:
        if dtype not in _CODES:
            raise BufferError(f"DLPack has no way to share {dtype.label}; convert it first")
        array = array.view(f"u{array.dtype.itemsize}")
    try:
        capsule = array.__dlpack__(**wanted)
    except TypeError:  # numpy before 2.1 knows nothing of versions
        wanted.pop("max_version", None)
        if wanted.pop("copy", None):
            array = array.copy()
        wanted.pop("dl_device", None)
        capsule = array.__dlpack__(**wanted)
    if dtype in _CODES:
        _type_of(capsule).code = _CODES[dtype]
    return capsule


class _Retyped:
    """A producer whose types that numpy lacks appear as unsigned integers."""

    def __init__(self, producer: Any) -> None:
        self.producer = producer
        self.dtype: DType | None = None

    def __dlpack_device__(self) -> tuple[int, int]:
        found: tuple[int, int] = self.producer.__dlpack_device__()
        return found

    def __dlpack__(self, **keywords: Any) -> Any:
        capsule = self.producer.__dlpack__(**keywords)
        kind = _type_of(capsule)
        if kind.code in _DTYPES:
            self.dtype = _DTYPES[kind.code]
            kind.code = _UNSIGNED
        return capsule


def take(producer: Any) -> Array:
    """Return the array that shares the memory of an object with ``__dlpack__``.

    It is read-only unless the producer says that it may be written to, which takes a capsule with
    a version (DLPack 1.0) and numpy 2.1.

    Raises:
        InputError: if it has none, lies on another device, or has a type without counterpart.
    """
    if not hasattr(producer, "__dlpack__") or not hasattr(producer, "__dlpack_device__"):
        raise InputError(f"an object of type {type(producer).__name__} does not support DLPack")
    device = producer.__dlpack_device__()
    if int(device[0]) != CPU:
        raise InputError(f"the data lies on DLPack device {tuple(device)}; move it to the CPU")
    retyped: Any = _Retyped(producer)
    try:
        array = np.from_dlpack(retyped)
    except (BufferError, RuntimeError, ValueError) as error:
        raise InputError(f"DLPack: {error}") from error
    return array if retyped.dtype is None else array.view(retyped.dtype.numpy)
