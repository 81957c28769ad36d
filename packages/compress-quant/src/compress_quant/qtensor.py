"""A quantized tensor: codes with the parameters that give them meaning.

Invariants:

* ``codes`` have the element type of ``params.grid`` and the shape of the original;
* ``params.scale`` has the original's rank, each dimension dividing its own (`granularity`);
* original ≈ ``scale * (codes - zero_point)``.
"""

from __future__ import annotations

from dataclasses import dataclass

from compress_tensor import DType, InputError

from .affine import AffineParams, Array, dequantize, quantize
from .granularity import PER_TENSOR, Granularity, params_of
from .grid import INT8, Grid


@dataclass(frozen=True, slots=True)
class QTensor:
    """Codes and what they mean.

    Attributes:
        codes: integers.
        params: scale, zero point and grid.
    """

    codes: Array
    params: AffineParams

    def __post_init__(self) -> None:
        if DType.of(self.codes.dtype) is not self.params.grid.dtype:
            raise InputError(
                f"codes have type {self.codes.dtype}, the grid {self.params.grid.dtype.label}"
            )

    @classmethod
    def from_float(
        cls, x: Array, grid: Grid = INT8, granularity: Granularity = PER_TENSOR
    ) -> QTensor:
        """Return a tensor quantized over its own range."""
        params = params_of(x, grid, granularity)
        return cls(quantize(x, params), params)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return tuple(self.codes.shape)

    def dequantize(self) -> Array:
        """Return the floats that it stands for."""
        return dequantize(self.codes, self.params)

    @property
    def n_bytes(self) -> int:
        """Bytes of codes, scales and zero points as a file holds them."""
        bits = self.params.grid.dtype.bits
        groups = self.params.scale.size
        return -(-self.codes.size * bits // 8) + groups * 4 + -(-groups * bits // 8)
