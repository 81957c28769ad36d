"""compress-quant: quantizes networks to small integers, and proves that the result is good."""

from __future__ import annotations

from compress_tensor import require_api

require_api("compress_tensor", (0, 1))

# Nothing else may be imported before the handshake.
from compress_tensor.api import api_version

from ._version import __version__

API_VERSION = api_version(__version__)

__all__ = ["API_VERSION", "__version__"]
