"""Element types: ONNX's numbers, and how each one is held in a numpy array.

Types that numpy lacks are held in a structured dtype with one field that carries the name:
``bfloat16`` is ``np.dtype([("bfloat16", "<u2")])`` with the 16 bits, ``int4`` is
``np.dtype([("int4", "i1")])`` with one value per byte (unpacked), ``float8e4m3fn`` is
``np.dtype([("float8e4m3fn", "u1")])`` with the 8 bits.  So an array says by itself what it holds.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .errors import UnsupportedError


class DType(IntEnum):
    """An element type; the value is the number of ONNX's ``TensorProto.DataType``."""

    FLOAT32 = 1
    UINT8 = 2
    INT8 = 3
    UINT16 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    STRING = 8
    BOOL = 9
    FLOAT16 = 10
    FLOAT64 = 11
    UINT32 = 12
    UINT64 = 13
    COMPLEX64 = 14
    COMPLEX128 = 15
    BFLOAT16 = 16
    FLOAT8E4M3FN = 17
    FLOAT8E4M3FNUZ = 18
    FLOAT8E5M2 = 19
    FLOAT8E5M2FNUZ = 20
    UINT4 = 21
    INT4 = 22
    FLOAT4E2M1 = 23
    FLOAT8E8M0 = 24
    UINT2 = 25
    INT2 = 26

    @property
    def numpy(self) -> np.dtype[Any]:
        """The numpy dtype that holds it (see the module's docstring)."""
        return _NUMPY[self]

    @property
    def bits(self) -> int:
        """Bits per element as stored in a file; 0 for STRING."""
        return _BITS[self]

    @property
    def label(self) -> str:
        """The name in lower case, as in ``float32``."""
        return self.name.lower()

    @property
    def is_float(self) -> bool:
        """Whether it is a real floating-point type (8-bit and 4-bit ones included)."""
        return self in _FLOATS

    @property
    def is_int(self) -> bool:
        """Whether it is a signed or unsigned integer type (not bool)."""
        return self in _RANGES

    @property
    def integer_range(self) -> tuple[int, int]:
        """Smallest and largest value of an integer type."""
        return _RANGES[self]

    @classmethod
    def of(cls, dtype: DTypeLike) -> DType:
        """Return the type that a numpy dtype (or anything numpy takes for one) stands for.

        Raises:
            UnsupportedError: if none of ours is held that way.
        """
        found = _FROM_NUMPY.get(dtype if isinstance(dtype, np.dtype) else np.dtype(dtype))
        if found is None:
            if np.dtype(dtype).kind in "UST":
                return cls.STRING
            raise UnsupportedError(f"element type {np.dtype(dtype)} is not one of {_ALL}")
        return found


_CUSTOM = {
    DType.BFLOAT16: "<u2",
    DType.FLOAT8E4M3FN: "u1",
    DType.FLOAT8E4M3FNUZ: "u1",
    DType.FLOAT8E5M2: "u1",
    DType.FLOAT8E5M2FNUZ: "u1",
    DType.FLOAT4E2M1: "u1",
    DType.FLOAT8E8M0: "u1",
    DType.UINT4: "u1",
    DType.INT4: "i1",
    DType.UINT2: "u1",
    DType.INT2: "i1",
}
_NUMPY: dict[DType, np.dtype[Any]] = {
    **{d: np.dtype([(d.name.lower(), raw)]) for d, raw in _CUSTOM.items()},
    **{
        d: np.dtype(d.name.lower())
        for d in DType
        if d not in _CUSTOM and d not in (DType.STRING, DType.BOOL)
    },
    DType.BOOL: np.dtype(np.bool_),
    DType.STRING: np.dtype(object),
}
_FROM_NUMPY: dict[np.dtype[Any], DType] = {held: d for d, held in _NUMPY.items()}
_BITS = {
    **{d: held.itemsize * 8 for d, held in _NUMPY.items()},
    DType.STRING: 0,
    DType.UINT4: 4,
    DType.INT4: 4,
    DType.FLOAT4E2M1: 4,
    DType.UINT2: 2,
    DType.INT2: 2,
}
_FLOATS = frozenset(d for d in DType if "FLOAT" in d.name)
_RANGES = {
    **{
        d: (int(np.iinfo(str(d.numpy)).min), int(np.iinfo(str(d.numpy)).max))
        for d in DType
        if "INT" in d.name and d not in _CUSTOM
    },
    DType.UINT4: (0, 15),
    DType.INT4: (-8, 7),
    DType.UINT2: (0, 3),
    DType.INT2: (-2, 1),
}
_ALL = ", ".join(d.name.lower() for d in DType)
