"""What behaves otherwise in training: batch normalisation by this batch, and dropout."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

import compress_tensor as ct
from compress_tensor import InputError, ShapeError, Tensor
from compress_tensor.eager import run, run_many
from compress_tensor.random import Generator

from . import tape
from .backward import pull
from .function import Function


def _wide(values: Tensor, rank: int) -> Tensor:
    return values.reshape((-1, *[1] * (rank - 2)))


def _composed(x: Tensor, scale: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    axes = (0, *range(2, x.ndim))
    apart = x - ct.mean(x, axes, keepdims=True)
    factor = scale / ct.sqrt(ct.mean(apart * apart, axes) + epsilon)
    return apart * _wide(factor, x.ndim) + _wide(bias, x.ndim)


class BatchNorm(Function):
    """Normalise the channels of x (n, c, ...) by mean and variance of this batch.

    Ioffe and Szegedy, 2015; the derivative as in its section 3.

    Args:
        epsilon: added to the variance.
        relu: whether what is below 0 becomes 0, after a residual is added.

    Attributes:
        mean: of the batch, (c,).
        variance: of the batch (biased), (c,).
    """

    def __init__(self, epsilon: float = 1e-5, *, relu: bool = False) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.relu = relu
        self.mean: Any = None
        self.variance: Any = None
        self._inverse: Any = None

    def forward(
        self, x: Tensor, scale: Tensor, bias: Tensor, residual: Tensor | None = None
    ) -> Tensor:
        """Return the normalised tensor, plus a residual of its shape."""
        if x.ndim < 2 or not prod(x.shape[:1] + x.shape[2:]):
            raise ShapeError(f"batch normalisation of shape {list(x.shape)}: a channel is empty")
        pairs = (("epsilon", self.epsilon), ("relu", int(self.relu)))
        operands = (x, scale, bias, residual)
        y, self.mean, self.variance = run_many("compress::BatchNorm", operands, pairs, 3)
        self._inverse = 1.0 / ct.sqrt(self.variance + self.epsilon)
        # A view of the result: the result itself leads to its record, and so in a circle.
        self.save(x, scale, bias, residual, y.detach() if self.relu else None)
        return y

    def _again(self, x: Tensor, scale: Tensor, bias: Tensor, residual: Tensor | None) -> Tensor:
        y = _composed(x, scale, bias, self.epsilon)
        y = y if residual is None else y + residual
        return run("Relu", (y,)) if self.relu else y

    def vjp(self, g: Tensor) -> Any:
        """Return the gradients of x, scale, bias and the residual."""
        x, scale, bias, residual, y = self.saved
        if tape.is_grad_enabled():
            return pull(self._again, (x, scale, bias, residual), self.needs, [g])
        if y is not None:
            g = run("compress::UnaryGrad", (y, g), (("function", "Relu"),))
        operands = (x, g, self.mean, self._inverse, scale)
        return (*run_many("compress::BatchNormGrad", operands, (), 3), g)


def dropout(x: Tensor, ratio: float, generator: Generator) -> Tensor:
    """Return x with elements set to 0 at random, the others divided by 1 - ratio.

    Args:
        x: a float tensor.
        ratio: the probability of 0, below 1.
        generator: one number is drawn per element.
    """
    if not 0 <= ratio < 1:
        raise InputError(f"a dropout ratio is from 0 to below 1, not {ratio}")
    if ratio == 0:
        return x
    kept = generator.words(x.size).reshape(x.shape) >= np.uint32(ratio * 2**32)
    mask = ct.from_numpy(kept).astype(x.dtype) * (1 / (1 - ratio))
    return x * mask
