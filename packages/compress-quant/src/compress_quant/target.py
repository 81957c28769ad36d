"""Consumers of a quantized file, and what each one takes."""

from __future__ import annotations

from enum import Enum


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
