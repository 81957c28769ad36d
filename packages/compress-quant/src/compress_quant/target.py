"""Consumers of a quantized file, and what each one takes."""

from __future__ import annotations

from enum import Enum

from .grid import INT8, INT8_SYMMETRIC, UINT8, Grid


class Target(str, Enum):
    """Who runs the file.

    * cpu: our engine; the same file suits onnxruntime.
    * onnxruntime: activations u8 with zero points, weights s8 symmetric per output channel, bias
      s32 with the product of both scales.
    * tensorrt: everything s8 symmetric, bias in floats, a residual branch without codes between
      convolution and Add (strongly typed networks, explicit quantization).
    """

    CPU = "cpu"
    ONNXRUNTIME = "onnxruntime"
    TENSORRT = "tensorrt"

    @property
    def integer_bias(self) -> bool:
        """Whether a bias is stored as codes."""
        return self is not Target.TENSORRT


class Activations(str, Enum):
    """The codes of activations."""

    U8 = "u8"
    S8 = "s8"
    S8_SYMMETRIC = "s8-symmetric"

    @property
    def grid(self) -> Grid:
        """Its codes."""
        return {"u8": UINT8, "s8": INT8}.get(self.value, INT8_SYMMETRIC)


def grid_for(target: Target, activations: Activations, *, symmetric: bool) -> Grid:
    """Return the codes of an activation; ``symmetric``: a product's right side."""
    if target is Target.TENSORRT or symmetric:
        return INT8_SYMMETRIC
    return activations.grid
