"""Checking a derivative against differences, along random directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import compress_tensor as ct
from compress_tensor import DType, InputError, Tensor

from .backward import pull
from .tape import no_grad

Array = np.ndarray[Any, np.dtype[Any]]


def _all(found: Any) -> list[Tensor]:
    outputs = found if isinstance(found, (tuple, list)) else [found]
    return [out for out in outputs if out.dtype is DType.FLOAT64]


def gradcheck(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    seed: int = 0,
    step: float = 1e-4,
    tolerance: float = 1e-6,
    order: int = 1,
) -> None:
    """Compare the derivatives of a function with its differences.

    With u and v random, <u, f'(x) v> is computed once by going back, and once from four values of
    f on the line through x (error: step ** 4 and 1e-16 / step, relative to what f is made of).

    Args:
        function: of tensors; returns one or several.
        inputs: float64 tensors; anything else is passed on.
        seed: of u and v.
        step: between the values.
        tolerance: largest difference, relative to the larger of 1 and the value.
        order: 2 checks second derivatives too.

    Raises:
        InputError: if the two differ, naming the input.
    """
    rng = np.random.default_rng(seed)
    held = [x.numpy().copy() if _real(x) else x for x in inputs]
    with no_grad():
        outputs = _all(function(*inputs))
    weights = [rng.standard_normal(out.shape) for out in outputs]
    seeds: list[Tensor | None] = [ct.Tensor(u) for u in weights]

    def back(*given: Any) -> list[Tensor | None]:
        return pull(lambda *x: _all(function(*x)), given, [_real(x) for x in inputs], seeds)

    with no_grad():
        gradients = back(*inputs)
    for n, x in enumerate(held):
        if not _real(inputs[n]):
            continue
        v = rng.standard_normal(x.shape)

        def value(t: float, n: int = n, v: Array = v) -> float:
            moved = [ct.Tensor(held[n] + t * v) if i == n else inputs[i] for i in range(len(held))]
            with no_grad():
                found = _all(function(*moved))
            return float(
                sum((out.numpy() * u).sum() for out, u in zip(found, weights, strict=True))
            )

        wide, near = value(2 * step) - value(-2 * step), value(step) - value(-step)
        wanted = (8 * near - wide) / (12 * step)
        mine = gradients[n]
        have = 0.0 if mine is None else float((mine.numpy() * v).sum())
        if not abs(have - wanted) <= tolerance * max(1.0, abs(wanted)):
            raise InputError(f"input {n}: the derivative is {have!r}, differences give {wanted!r}")
    if order > 1:
        gradcheck(
            lambda *x: [g for g in back(*x) if g is not None],
            inputs,
            seed=seed + 1,
            step=step,
            tolerance=tolerance,
        )


def _real(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dtype is DType.FLOAT64
