"""Errors of training."""

from __future__ import annotations

from compress_tensor import CompressError


class DivergedError(CompressError, ArithmeticError):
    """A loss or a parameter is no number any more."""


class BudgetError(CompressError, MemoryError):
    """A step does not fit the memory it was given."""
