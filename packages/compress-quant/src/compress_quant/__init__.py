"""compress-quant: quantizes networks to small integers, and proves that the result is good."""

from __future__ import annotations

from compress_tensor import require_api

require_api("compress_tensor", (0, 1))

# Nothing else may be imported before the handshake.
from compress_tensor.api import api_version

from ._version import __version__
from .affine import AffineParams, dequantize, fake_quantize, params_from_range, quantize
from .certificate import Certificate, certify
from .granularity import PER_TENSOR, Granularity, params_of, per_channel, per_group
from .grid import INT4, INT8, INT8_SYMMETRIC, UINT4, UINT8, Grid
from .ledger import Decision, Ledger
from .observe import Observer
from .qtensor import QTensor
from .quantizer import (
    ModelQuantizer,
    QuantizedConv2d,
    QuantizedLinear,
    Quantizer,
    quantized_matmul,
)
from .recipe import Override, Recipe, When
from .static import quantize_static
from .target import Activations, Target

API_VERSION = api_version(__version__)

__all__ = [
    "API_VERSION",
    "INT4",
    "INT8",
    "INT8_SYMMETRIC",
    "PER_TENSOR",
    "UINT4",
    "UINT8",
    "Activations",
    "AffineParams",
    "Certificate",
    "Decision",
    "Granularity",
    "Grid",
    "Ledger",
    "ModelQuantizer",
    "Observer",
    "Override",
    "QTensor",
    "QuantizedConv2d",
    "QuantizedLinear",
    "Quantizer",
    "Recipe",
    "Target",
    "When",
    "__version__",
    "certify",
    "dequantize",
    "fake_quantize",
    "params_from_range",
    "params_of",
    "per_channel",
    "per_group",
    "quantize",
    "quantize_static",
    "quantized_matmul",
]
