"""Random operators: reproducible, from the seed attribute (0 if there is none).

ONNX leaves the numbers themselves open; ours come from numpy's Mersenne twister, which is what the
expected outputs of ONNX's own dropout cases were drawn from.
"""

from __future__ import annotations

import numpy as np

from ...codec import decode
from ...dtype import DType
from ...errors import ShapeError
from ...graph.graph import Array
from .cast import convert
from .common import scalar, to_dtype
from .registry import reference


def _generator(seed: float | None) -> np.random.RandomState:
    return np.random.RandomState(int(abs(seed or 0)) % (1 << 32))


def _type(dtype: int | None, default: Array) -> DType:
    return DType.of(default.dtype) if dtype is None else DType(dtype)


@reference("RandomNormal")
def random_normal(
    *,
    shape: list[int],
    dtype: int = 1,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> Array:
    """Return numbers from a normal distribution."""
    return to_dtype(_generator(seed).normal(mean, scale, shape), DType(dtype))


@reference("RandomUniform")
def random_uniform(
    *,
    shape: list[int],
    dtype: int = 1,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
) -> Array:
    """Return numbers from a uniform distribution."""
    return to_dtype(_generator(seed).uniform(low, high, shape), DType(dtype))


@reference("RandomNormalLike")
def random_normal_like(
    input: Array,
    *,
    dtype: int | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> Array:
    """Return numbers from a normal distribution, of the input's shape."""
    values = _generator(seed).normal(mean, scale, input.shape)
    return to_dtype(np.asarray(values), _type(dtype, input))


@reference("RandomUniformLike")
def random_uniform_like(
    input: Array,
    *,
    dtype: int | None = None,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
) -> Array:
    """Return numbers from a uniform distribution, of the input's shape."""
    values = _generator(seed).uniform(low, high, input.shape)
    return to_dtype(np.asarray(values), _type(dtype, input))


@reference("Bernoulli")
def bernoulli(input: Array, *, dtype: int | None = None, seed: float | None = None) -> Array:
    """Return 1 with the probability that the input says, else 0."""
    drawn = _generator(seed).random_sample(input.shape) < decode(input)
    return convert(np.asarray(drawn), _type(dtype, input))


@reference("Multinomial")
def multinomial(
    input: Array, *, dtype: int = 6, sample_size: int = 1, seed: float | None = None
) -> Array:
    """Return classes drawn by their unnormalised log-probabilities."""
    logits = decode(input).astype(np.float64)
    power = np.exp(logits - logits.max(axis=1, keepdims=True))
    limits = (power / power.sum(axis=1, keepdims=True)).cumsum(axis=1)
    drawn = _generator(seed).random_sample((input.shape[0], sample_size, 1))
    classes = (drawn >= limits[:, None, :]).sum(axis=2)
    return convert(classes.clip(0, input.shape[1] - 1), DType(dtype))


@reference("Dropout")
def dropout(
    data: Array,
    ratio: Array | None = None,
    training_mode: Array | None = None,
    *,
    seed: int | None = None,
    n_outputs: int = 1,
) -> tuple[Array, ...]:
    """Return the data and a mask of all true; in training, a part of the data set to 0."""
    training = training_mode is not None and bool(scalar(training_mode, "training_mode"))
    share = 0.5 if ratio is None else float(scalar(ratio, "ratio"))
    if not training or share == 0:
        return data, np.ones(data.shape, np.bool_)
    if not 0 <= share < 1:
        raise ShapeError(f"ratio {share} must lie in [0, 1)")
    mask = np.asarray(_generator(seed).random_sample(data.shape) >= share)
    wide = decode(data)
    kept = np.where(mask, wide / wide.dtype.type(1 - share), wide.dtype.type(0))
    return to_dtype(kept, DType.of(data.dtype)), mask
