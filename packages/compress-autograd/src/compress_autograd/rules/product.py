"""Derivatives of matrix products."""

from __future__ import annotations

from math import prod
from typing import Any

import compress_tensor as ct
from compress_tensor import Tensor, UnsupportedError
from compress_tensor.eager import run

from ..unbroadcast import unbroadcast
from .registry import rule


def _matrices(g: Tensor, a: tuple[int, ...], b: tuple[int, ...]) -> Tensor:
    """Return a product's gradient with the dimensions that vectors lost."""
    if len(b) == 1:
        g = g.unsqueeze(g.ndim)
    return g.unsqueeze(g.ndim - 1) if len(a) == 1 else g


@rule("MatMul", 0)
def matmul_left(g: Tensor, b: Tensor, call: Any) -> Tensor:
    """Return g B^T."""
    shape = call.shape(0)
    g = _matrices(g, shape, b.shape)
    b = b.unsqueeze(1) if b.ndim == 1 else b
    if b.ndim == 2 and g.ndim > 2:
        rows = g.reshape((prod(g.shape[:-1]), g.shape[-1]))
        return ct.matmul(rows, b.T).reshape(shape)
    wide = (1, *shape) if len(shape) == 1 else shape
    return unbroadcast(ct.matmul(g, b.swapaxes(-1, -2)), wide).reshape(shape)


@rule("MatMul", 1)
def matmul_right(g: Tensor, a: Tensor, call: Any) -> Tensor:
    """Return A^T g."""
    shape = call.shape(1)
    g = _matrices(g, a.shape, shape)
    a = a.unsqueeze(0) if a.ndim == 1 else a
    if len(shape) <= 2 and g.ndim > 2:
        rows = prod(g.shape[:-1])
        a, g = a.reshape((rows, a.shape[-1])), g.reshape((rows, g.shape[-1]))
    wide = (*shape, 1) if len(shape) == 1 else shape
    return unbroadcast(ct.matmul(a.swapaxes(-1, -2), g), wide).reshape(shape)


def _scaled(x: Tensor, factor: float) -> Tensor:
    return x if factor == 1.0 else x * factor


@rule("Gemm", 0)
def gemm_left(g: Tensor, B: Tensor, *, alpha: float, transA: int, transB: int) -> Tensor:
    """Return g B^T, or its transpose."""
    other = B if transB else B.T
    found = ct.matmul(other.T, g.T) if transA else ct.matmul(g, other)
    return _scaled(found, alpha)


@rule("Gemm", 1)
def gemm_right(g: Tensor, A: Tensor, *, alpha: float, transA: int, transB: int) -> Tensor:
    """Return A^T g, or its transpose."""
    other = A if transA else A.T
    found = ct.matmul(g.T, other.T) if transB else ct.matmul(other, g)
    return _scaled(found, alpha)


@rule("Gemm", 2)
def gemm_bias(g: Tensor, call: Any, *, beta: float) -> Tensor:
    """Return the sum over what was broadcast."""
    return _scaled(unbroadcast(g, call.shape(2)), beta)


@rule("Einsum")
def einsum(g: Tensor, xs: Any, call: Any, *, equation: str) -> list[Tensor | None]:
    """Exchange an operand with the result, in the equation too."""
    text = equation.replace(" ", "")
    left, _, out = text.partition("->")
    terms = left.split(",")
    if "->" not in text:
        out = "".join(sorted(c for c in set(left) - {","} if left.count(c) == 1))
    if "." in text or any(len(set(term)) != len(term) for term in terms):
        raise UnsupportedError(
            f"Einsum {equation!r}: the derivative of diagonals and '...' is not supported"
        )
    found: list[Tensor | None] = []
    for n, term in enumerate(terms):
        if not call.needs[n]:
            found.append(None)
            continue
        others = [(t, x) for i, (t, x) in enumerate(zip(terms, xs, strict=True)) if i != n]
        reach = set(out).union(*(t for t, _ in others))
        kept = "".join(c for c in term if c in reach)
        sources = ",".join([out, *(t for t, _ in others)])
        operands = (g, *(x for _, x in others))
        part = run("Einsum", operands, (("equation", f"{sources}->{kept}"),))
        shape = call.shape(n)
        seen = [size if c in reach else 1 for c, size in zip(term, shape, strict=True)]
        found.append(part.reshape(seen).broadcast_to(shape))
    return found
