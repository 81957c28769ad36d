"""compress-autograd: data sets and preprocessing; later the tape and training."""

from __future__ import annotations

from compress_tensor import require_api

require_api("compress_tensor", (0, 1))

from ._version import __version__

__all__ = ["__version__"]
