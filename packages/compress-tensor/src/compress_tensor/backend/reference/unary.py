"""Mathematical functions of one tensor, element by element."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...graph.graph import Array
from .common import widened
from .registry import reference
from .special import erf


def _plain(op: str, function: Callable[[Array], Array]) -> None:
    """Register a numpy function that keeps the type."""

    def definition(X: Array) -> Array:
        return np.asarray(function(X))

    definition.__name__ = op.lower()
    definition.__doc__ = f"Return {op} of every element."
    reference(op)(widened(definition))


for _op, _function in {
    "Abs": np.abs,
    "Acos": np.arccos,
    "Acosh": np.arccosh,
    "Asin": np.arcsin,
    "Asinh": np.arcsinh,
    "Atan": np.arctan,
    "Atanh": np.arctanh,
    "Ceil": np.ceil,
    "Cos": np.cos,
    "Cosh": np.cosh,
    "Erf": erf,
    "Exp": np.exp,
    "Floor": np.floor,
    "Log": np.log,
    "Neg": np.negative,
    "Round": np.rint,
    "Sign": np.sign,
    "Sin": np.sin,
    "Sinh": np.sinh,
    "Sqrt": np.sqrt,
    "Tan": np.tan,
    "Tanh": np.tanh,
}.items():
    _plain(_op, _function)  # type: ignore[arg-type]


@reference("Reciprocal")
@widened
def reciprocal(X: Array) -> Array:
    """Return 1 / X."""
    return np.asarray(X.dtype.type(1) / X)


@reference("Not")
def logical_not(X: Array) -> Array:
    """Return the negation."""
    return np.logical_not(X)


@reference("BitwiseNot")
def bitwise_not(X: Array) -> Array:
    """Return all bits flipped."""
    return np.invert(X)


@reference("IsNaN")
@widened
def is_nan(X: Array) -> Array:
    """Return where X is NaN."""
    return np.isnan(X)


@reference("IsInf")
@widened
def is_inf(X: Array, *, detect_negative: int = 1, detect_positive: int = 1) -> Array:
    """Return where X is infinite, of the wanted signs."""
    wanted = (X > 0) & bool(detect_positive) | (X < 0) & bool(detect_negative)
    return np.isinf(X) & wanted


@reference("Identity")
def identity(input: Array) -> Array:
    """Return the input."""
    return input
