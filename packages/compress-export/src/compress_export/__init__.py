"""compress-export: ONNX files to graphs and back, and proof that both compute the same."""

from __future__ import annotations

from compress_tensor import require_api

require_api("compress_tensor", (0, 1))

# Nothing else may be imported before the handshake.
from compress_tensor.api import api_version

from ._version import __version__
from .onnx_read import read_onnx
from .onnx_write import write_onnx

API_VERSION = api_version(__version__)

__all__ = ["API_VERSION", "__version__", "read_onnx", "write_onnx"]
