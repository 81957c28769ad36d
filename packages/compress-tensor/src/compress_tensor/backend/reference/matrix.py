"""Matrix products, in floats and in quantized integers."""

from __future__ import annotations

import numpy as np

from ...codec import decode
from ...dtype import DType
from ...graph.graph import Array
from .common import accumulated, to_dtype
from .registry import reference


@reference("MatMul")
@accumulated
def matmul(A: Array, B: Array) -> Array:
    """Return the matrix product, as numpy.matmul defines it."""
    return np.asarray(np.matmul(A, B))


@reference("Gemm")
@accumulated
def gemm(
    A: Array,
    B: Array,
    C: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Array:
    """Return alpha * A' @ B' + beta * C."""
    product = np.matmul(A.T if transA else A, B.T if transB else B)
    if alpha != 1.0:
        product = (product * alpha).astype(product.dtype)
    if C is not None:
        product = product + (C if beta == 1.0 else (C * beta).astype(product.dtype))
    return np.asarray(product)


@reference("Einsum")
@accumulated
def einsum(*Inputs: Array, equation: str) -> Array:
    """Return the sum of products that the equation describes."""
    return np.asarray(np.einsum(equation.replace(" ", ""), *Inputs, optimize=len(Inputs) > 1))


def exact_product(A: Array, B: Array) -> Array:
    """Return the matrix product of small integers as int32, through exact float64."""
    product = np.matmul(A.astype(np.float64), B.astype(np.float64))
    return np.asarray(product.astype(np.int64).astype(np.int32))


def _row_zero(zero: Array | None) -> Array:
    """Return the zero point of a left operand, one per row, ready to subtract."""
    if zero is None:
        return np.zeros((), np.int32)
    wide = decode(zero).astype(np.int32)
    return wide[:, None] if wide.ndim == 1 and wide.size > 1 else wide


@reference("MatMulInteger")
def matmul_integer(
    A: Array, B: Array, a_zero_point: Array | None = None, b_zero_point: Array | None = None
) -> Array:
    """Return (A - a_zero_point) @ (B - b_zero_point) in int32."""
    b_zero = np.int32(0) if b_zero_point is None else b_zero_point.astype(np.int32)
    a = A.astype(np.int32) - _row_zero(a_zero_point)
    return exact_product(a, B.astype(np.int32) - b_zero)


@reference("QLinearMatMul")
def qlinear_matmul(
    a: Array,
    a_scale: Array,
    a_zero_point: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
) -> Array:
    """Return the product of two quantized matrices, quantized."""
    a_wide = a.astype(np.int32) - _row_zero(a_zero_point)
    product = exact_product(a_wide, b.astype(np.int32) - b_zero_point.astype(np.int32))
    left, right = decode(a_scale).astype(np.float32), decode(b_scale).astype(np.float32)
    if left.ndim == 1 and left.size > 1:
        left = left[:, None]
    return requantize(product, left * right / decode(y_scale).astype(np.float32), y_zero_point)


def requantize(accumulated: Array, scale: Array, zero_point: Array) -> Array:
    """Return clip(rint(float32(accumulated) * scale) + zero_point) in zero_point's type."""
    dtype = DType.of(zero_point.dtype)
    low, high = dtype.integer_range
    value = np.rint(accumulated.astype(np.float32) * scale) + zero_point.astype(np.float32)
    return to_dtype(np.clip(value, low, high), dtype)


@reference("Det")
@accumulated
def det(X: Array) -> Array:
    """Return the determinants of a stack of square matrices."""
    return np.asarray(np.linalg.det(X), X.dtype)
