"""Losses."""

from __future__ import annotations

import numpy as np

from ...errors import ShapeError
from ...graph.graph import Array
from .activation import log_softmax
from .common import accumulated
from .registry import reference


def _reduced(
    scores: Array, target: Array, weight: Array | None, ignore_index: int | None, reduction: str
) -> Array:
    """Return the negative log-likelihood of the targets."""
    classes = scores.shape[1]
    wide = target.astype(np.int64)
    ignored = np.zeros(wide.shape, np.bool_) if ignore_index is None else wide == ignore_index
    wide = np.where(ignored, 0, wide)
    if wide.size and (wide.min() < -classes or wide.max() >= classes):
        raise ShapeError(f"a target lies outside of {classes} classes")
    picked = np.take_along_axis(scores, np.expand_dims(wide % max(classes, 1), 1), 1)[:, 0]
    factor = np.ones(wide.shape, scores.dtype) if weight is None else weight[wide]
    factor = np.where(ignored, scores.dtype.type(0), factor)
    loss = -picked * factor
    if reduction == "none":
        return loss
    if reduction == "sum":
        return np.asarray(loss.sum(dtype=scores.dtype))
    if reduction != "mean":
        raise ShapeError(f"reduction {reduction!r} is unknown")
    return np.asarray(loss.sum(dtype=scores.dtype) / factor.sum(dtype=scores.dtype))


@reference("NegativeLogLikelihoodLoss")
@accumulated
def negative_log_likelihood_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Array:
    """Return minus the log-probability of each target, weighted by class."""
    return _reduced(input, target, weight, ignore_index, reduction)


@reference("SoftmaxCrossEntropyLoss")
@accumulated
def softmax_cross_entropy_loss(
    scores: Array,
    labels: Array,
    weights: Array | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> tuple[Array, Array]:
    """Return the loss of LogSoftmax(scores), and LogSoftmax(scores)."""
    log_prob = np.asarray(log_softmax(scores, axis=1))
    return _reduced(log_prob, labels, weights, ignore_index, reduction), log_prob
