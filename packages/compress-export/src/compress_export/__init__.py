"""compress-export: ONNX files to graphs and back, and proof that both compute the same."""

from __future__ import annotations

from .onnx_read import read_onnx

__all__ = ["read_onnx"]
