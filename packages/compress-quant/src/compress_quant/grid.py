"""Integer grids: the codes that a quantized number may take."""

from __future__ import annotations

from dataclasses import dataclass

from compress_tensor import DType, InputError


@dataclass(frozen=True, slots=True)
class Grid:
    """All integers from ``qmin`` to ``qmax``, held in ``dtype``.

    Attributes:
        qmin: smallest code.
        qmax: largest code.
        dtype: the element type that holds a code.
        symmetric: whether the zero point must be 0.
    """

    qmin: int
    qmax: int
    dtype: DType
    symmetric: bool = False

    def __post_init__(self) -> None:
        low, high = self.dtype.integer_range if self.dtype.is_int else (0, -1)
        if not low <= self.qmin < self.qmax <= high:
            raise InputError(
                f"codes {self.qmin} .. {self.qmax} do not fit the type {self.dtype.label}"
            )
        if self.symmetric and not self.qmin <= 0 <= self.qmax:
            raise InputError(f"codes {self.qmin} .. {self.qmax} have no 0 to be symmetric about")

    @property
    def steps(self) -> int:
        """How many steps lie between the smallest and the largest code."""
        return self.qmax - self.qmin

    @property
    def label(self) -> str:
        """How tables name it, as in ``u8`` or ``s4 symmetric``."""
        sign = "u" if self.qmin >= 0 else "s"
        return f"{sign}{self.steps.bit_length()}{' symmetric' if self.symmetric else ''}"


UINT8 = Grid(0, 255, DType.UINT8)
INT8 = Grid(-128, 127, DType.INT8)
#: as many codes below 0 as above: -128 is not used, so that -w has a code wherever w has one
INT8_SYMMETRIC = Grid(-127, 127, DType.INT8, symmetric=True)
UINT4 = Grid(0, 15, DType.UINT4)
INT4 = Grid(-8, 7, DType.INT4)
INT4_SYMMETRIC = Grid(-7, 7, DType.INT4, symmetric=True)
INT16_SYMMETRIC = Grid(-32767, 32767, DType.INT16, symmetric=True)
