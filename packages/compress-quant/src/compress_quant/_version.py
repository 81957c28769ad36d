"""The version of compress-quant."""

__version__ = "0.1.0"
