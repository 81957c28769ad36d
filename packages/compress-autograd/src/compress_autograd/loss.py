"""Losses: one number from what a network says and what is right."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

import compress_tensor as ct
from compress_tensor import DType, InputError, ShapeError, Tensor

from . import tape
from .backward import pull
from .function import Function


def check_labels(labels: Tensor, classes: int, ignore_index: int | None = None) -> None:
    """Raise InputError if a label is no class.

    Args:
        labels: integers of any shape.
        classes: how many there are.
        ignore_index: a label that is allowed beside them.
    """
    values = labels.numpy()
    if ignore_index is not None:
        values = values[values != ignore_index]
    if values.size and (values.min() < 0 or values.max() >= classes):
        wrong = values[(values < 0) | (values >= classes)][0]
        raise InputError(
            f"label {wrong} is out of range: there are {classes} classes, 0 to {classes - 1}"
        )


def _picked(log_prob: Tensor, labels: Tensor) -> Tensor:
    return ct.take_along_axis(log_prob, labels.unsqueeze(1), 1).squeeze(1)


class _CrossEntropy(Function):
    """Softmax and cross-entropy in one; the gradient is probabilities minus targets."""

    def __init__(self, smoothing: float, kept: Tensor | None, count: float) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.kept = kept
        self.count = count

    def _loss(self, log_prob: Tensor, labels: Tensor) -> Tensor:
        loss = -_picked(log_prob, labels) * (1 - self.smoothing)
        if self.smoothing:
            loss = loss - ct.mean(log_prob, 1) * self.smoothing
        if self.kept is not None:
            loss = loss * self.kept
        return ct.sum(loss) * (1 / self.count)

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss."""
        log_prob = ct.log_softmax(scores, 1)
        self.save(scores, labels, log_prob)
        return self._loss(log_prob, labels)

    def vjp(self, g: Tensor) -> Any:
        """Return the gradient of the scores."""
        scores, labels, log_prob = self.saved
        if tape.is_grad_enabled():
            again = pull(
                lambda s: self._loss(ct.log_softmax(s, 1), labels), [scores], self.needs, [g]
            )
            return (again[0], None)
        classes = scores.shape[1]
        found = ct.exp(log_prob)
        if self.smoothing:
            found = found - self.smoothing / classes
        right = ct.full(labels.shape, 1 - self.smoothing, dtype=found.dtype).unsqueeze(1)
        found = ct.scatter(found, 1, labels.unsqueeze(1), -right, "add")
        factor = g * (1 / self.count)
        if self.kept is not None:
            factor = (self.kept * factor).unsqueeze(1)
        return (found * factor, None)


def cross_entropy(
    scores: Tensor,
    labels: Any,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> Tensor:
    """Return the mean of -log softmax(scores)[label].

    Args:
        scores: (n, classes, ...), before softmax.
        labels: integers, (n, ...).
        label_smoothing: the part of the target that is spread over all classes (Szegedy et al.,
            2016, "Rethinking the Inception architecture").
        ignore_index: samples with this label do not count.

    Raises:
        InputError: if a label is no class, or there are no samples.
        ShapeError: if shapes do not fit.
    """
    places = ct.asarray(labels)
    places = places if places.dtype is DType.INT64 else places.astype(DType.INT64)
    if scores.ndim < 2 or places.shape != scores.shape[:1] + scores.shape[2:]:
        raise ShapeError(
            f"labels of shape {list(places.shape)} do not fit scores of shape {list(scores.shape)}"
        )
    check_labels(places, scores.shape[1], ignore_index)
    kept, count = None, float(prod(places.shape))
    if ignore_index is not None:
        mask = places.numpy() != ignore_index
        count = float(mask.sum())
        kept = ct.from_numpy(mask).astype(scores.dtype)
        places = ct.from_numpy(np.where(mask, places.numpy(), 0))
    if not count:
        raise InputError("the loss of no samples is not defined")
    found: Tensor = _CrossEntropy(label_smoothing, kept, count)(scores, places)
    return found


def kl_divergence(scores: Tensor, target_scores: Any, *, temperature: float = 1.0) -> Tensor:
    """Return the mean over samples of KL(target || softmax), times temperature squared.

    Hinton, Vinyals and Dean, 2015, "Distilling the knowledge in a neural network".

    Args:
        scores: (n, classes, ...), before softmax.
        target_scores: of the same shape, before softmax; not followed.
        temperature: divides both.
    """
    target = ct.asarray(target_scores).detach()
    if target.shape != scores.shape:
        raise ShapeError(f"scores of {list(scores.shape)} and {list(target.shape)} do not fit")
    if not scores.size:
        raise InputError("the loss of no samples is not defined")
    wanted = ct.log_softmax(target * (1 / temperature), 1)
    have = ct.log_softmax(scores * (1 / temperature), 1)
    rows = scores.size // scores.shape[1]
    return ct.sum(ct.exp(wanted) * (wanted - have)) * (temperature**2 / rows)


def mse(x: Tensor, target: Any) -> Tensor:
    """Return the mean of (x - target) squared."""
    other = ct.asarray(target)
    if other.shape != x.shape:
        raise ShapeError(f"shapes {list(x.shape)} and {list(other.shape)} do not fit")
    if not x.size:
        raise InputError("the loss of no samples is not defined")
    apart = x - other
    return ct.mean(apart * apart)
