"""Quantization-aware training: a graph whose values pass through the grids of their codes."""

from __future__ import annotations

from .convert import convert
from .fake import OPERATORS, FakeQuantize
from .prepare import Method, prepare_qat, scale_names, trainable_names
from .train import train

__all__ = [
    "OPERATORS",
    "FakeQuantize",
    "Method",
    "convert",
    "prepare_qat",
    "scale_names",
    "train",
    "trainable_names",
]
