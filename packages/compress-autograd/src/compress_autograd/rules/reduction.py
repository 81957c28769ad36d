"""Derivatives of reductions and running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

import compress_tensor as ct
from compress_tensor import Tensor
from compress_tensor.eager import run

from .registry import RULES, Rule, rule


def chosen(call: Any, axes: Any) -> tuple[int, ...]:
    """Return the dimensions that a reduction reduced, not negative."""
    rank = len(call.shape(0))
    if axes is None or not np.asarray(axes).size:
        return () if call.attributes["noop_with_empty_axes"] else tuple(range(rank))
    return tuple(sorted(int(a) % rank for a in np.asarray(axes).reshape(-1)))


def _kept(g: Tensor, call: Any, axes: tuple[int, ...]) -> Tensor:
    """Return a result with the reduced dimensions as 1."""
    return g.reshape([1 if i in axes else n for i, n in enumerate(call.shape(0))])


def _slope(op: str, function: Any) -> None:
    """Enter a rule g * function(x, y, axes), y and g having the reduced dimensions as 1."""

    def found(g: Tensor, y: Tensor, x: Tensor, axes: Any, call: Any) -> Any:
        dims = chosen(call, axes)
        return _kept(g, call, dims) * function(x, _kept(y, call, dims), dims)

    RULES[op] = Rule(op, {0: found})


def _ties(x: Tensor, y: Tensor, axes: tuple[int, ...]) -> Tensor:
    hits = (x == y).astype(x.dtype)
    return hits / ct.sum(hits, axes, keepdims=True) if axes else hits


def _others(x: Tensor, y: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return the product of all other elements, which a single 0 does not spoil."""
    zero = x == 0
    count = ct.sum(zero.astype(x.dtype), axes, keepdims=True) if axes else zero.astype(x.dtype)
    safe = ct.where(zero, 1.0, x)
    rest = ct.prod(safe, axes, keepdims=True) if axes else safe
    alone = ct.where(count == 1, ct.where(zero, rest, 0.0), 0.0)
    return ct.where(count == 0, rest / safe, alone)


@rule("ReduceSum", 0)
def reduce_sum(g: Tensor, axes: Any, call: Any) -> Tensor:
    """Repeat."""
    return _kept(g, call, chosen(call, axes)).broadcast_to(call.shape(0))


@rule("ReduceMean", 0)
def reduce_mean(g: Tensor, axes: Any, call: Any) -> Tensor:
    """Repeat, divided by the number of elements."""
    dims, shape = chosen(call, axes), call.shape(0)
    count = max(int(np.prod([shape[i] for i in dims])), 1)
    return _kept(g * (1 / count), call, dims).broadcast_to(shape)


_slope("ReduceMax", _ties)
_slope("ReduceMin", _ties)
_slope("ReduceProd", _others)
_slope("ReduceL1", lambda x, y, axes: ct.sign(x))
_slope("ReduceL2", lambda x, y, axes: x / ct.where(y == 0, 1.0, y))
_slope("ReduceSumSquare", lambda x, y, axes: 2.0 * x)
_slope("ReduceLogSum", lambda x, y, axes: ct.exp(-y) * ct.ones_like(x))
_slope("ReduceLogSumExp", lambda x, y, axes: ct.exp(x - y))


@rule("CumSum", 0)
def cumsum(g: Tensor, axis: Any, *, exclusive: int, reverse: int) -> Tensor:
    """Add up from the other end."""
    where = np.asarray(axis).astype(np.int64)
    return run("CumSum", (g, where), (("exclusive", exclusive), ("reverse", 1 - reverse)))
