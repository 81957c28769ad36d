"""Values that exist only as integer codes."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.graph import Array, Node


@dataclass(frozen=True, slots=True)
class Quantized:
    """A float value that exists only as codes: scale * (codes - zero_point).

    Attributes:
        codes: the name of the integer value.
        scale: float32, one number or one per element of ``axis``.
        zero_point: of the codes' type, shaped like ``scale``.
        axis: where several scales lie.
        node: the DequantizeLinear that says so.
    """

    codes: str
    scale: Array
    zero_point: Array
    axis: int
    node: Node

    def same_grid(self, other: Quantized) -> bool:
        """Whether both have one scale and zero point, and these are equal."""
        return (
            self.scale.size == other.scale.size == 1
            and self.zero_point.dtype == other.zero_point.dtype
            and float(self.scale.reshape(())) == float(other.scale.reshape(()))
            and int(self.zero_point.reshape(())) == int(other.zero_point.reshape(()))
        )
