"""Functions of two or more tensors, element by element, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from ...graph.graph import Array
from .common import widened
from .registry import reference


def _plain(op: str, function: Callable[[Array, Array], Array]) -> None:
    """Register a numpy function of two tensors of one type."""

    def definition(A: Array, B: Array) -> Array:
        return np.asarray(function(A, B))

    definition.__name__ = op.lower()
    definition.__doc__ = f"Return {op} of every pair of elements."
    reference(op)(widened(definition))


for _op, _function in {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
    "BitwiseAnd": np.bitwise_and,
    "BitwiseOr": np.bitwise_or,
    "BitwiseXor": np.bitwise_xor,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
}.items():
    _plain(_op, _function)


@reference("Div")
@widened
def div(A: Array, B: Array) -> Array:
    """Return A / B; of integers, rounded towards zero."""
    if A.dtype.kind not in "iu":
        return np.asarray(A / B)
    quotient = np.floor_divide(A, B)
    if A.dtype.kind == "i":
        inexact = (quotient * B != A) & ((A < 0) != (B < 0)) & (B != 0)
        quotient = quotient + inexact.astype(A.dtype)
    return np.asarray(quotient)


@reference("Mod")
@widened
def mod(A: Array, B: Array, *, fmod: int = 0) -> Array:
    """Return the remainder, with the sign of B, or of A if ``fmod``."""
    return np.asarray(np.fmod(A, B) if fmod else np.mod(A, B))


@reference("Pow")
@widened
def power(X: Array, Y: Array) -> Array:
    """Return X to the power Y, in the type of X."""
    if X.dtype == Y.dtype and (X.dtype.kind == "f" or (Y >= 0).all()):
        return np.asarray(np.power(X, Y))
    if X.dtype.kind == "f":
        return np.asarray(np.power(X, Y.astype(X.dtype)))
    return np.asarray(np.power(X.astype(np.float64), Y.astype(np.float64))).astype(X.dtype)


@reference("BitShift")
def bit_shift(X: Array, Y: Array, *, direction: str) -> Array:
    """Return X shifted by Y bits; all bits are gone when Y is the width or more."""
    width = X.dtype.itemsize * 8
    amount = np.minimum(Y, np.array(width - 1, Y.dtype)).astype(X.dtype)
    one = np.array(1, X.dtype)
    if direction == "LEFT":
        shifted = np.left_shift(X, amount)
        return np.asarray(np.where(Y >= width, np.left_shift(shifted, one), shifted))
    shifted = np.right_shift(X, amount)
    return np.asarray(np.where(Y >= width, np.right_shift(shifted, one), shifted))


@reference("Max")
@widened
def maximum(*data_0: Array) -> Array:
    """Return the largest of the inputs; NaN wins."""
    return reduce(np.maximum, data_0)


@reference("Min")
@widened
def minimum(*data_0: Array) -> Array:
    """Return the smallest of the inputs; NaN wins."""
    return reduce(np.minimum, data_0)


@reference("Sum")
@widened
def add_all(*data_0: Array) -> Array:
    """Return the sum of the inputs."""
    return reduce(np.add, data_0)


@reference("Mean")
@widened
def mean(*data_0: Array) -> Array:
    """Return the mean of the inputs."""
    total = reduce(np.add, data_0)
    return np.asarray(total / total.dtype.type(len(data_0)))


@reference("Where")
def where(condition: Array, X: Array, Y: Array) -> Array:
    """Return X where the condition holds, Y elsewhere."""
    return np.where(condition, X, Y)
