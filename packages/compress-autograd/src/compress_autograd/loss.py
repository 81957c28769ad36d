"""Losses: one number from what a network says and what is right."""

from __future__ import annotations

from typing import Any

import compress_tensor as ct
from compress_tensor import DType, InputError, ShapeError, Tensor
from compress_tensor.eager import run

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


class _CrossEntropy(Function):
    """Softmax and cross-entropy in one; the gradient is probabilities minus targets."""

    def __init__(self, smoothing: float, ignore_index: int | None, count: float) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.ignore_index = ignore_index
        self.count = count
        self.pairs: tuple[tuple[str, Any], ...] = (("smoothing", float(smoothing)),)
        if ignore_index is not None:
            self.pairs += (("ignore_index", ignore_index),)

    def _composed(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss by operators that have derivatives."""
        log_prob = ct.log_softmax(scores, 1)
        kept = None if self.ignore_index is None else labels != self.ignore_index
        places = labels if kept is None else ct.where(kept, labels, 0)
        loss = ct.take_along_axis(log_prob, places.unsqueeze(1), 1).squeeze(1)
        loss = loss * (self.smoothing - 1) - ct.mean(log_prob, 1) * self.smoothing
        return ct.sum(loss if kept is None else ct.where(kept, loss, 0.0)) * (1 / self.count)

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the loss."""
        self.save(scores, labels)
        rows = run("compress::CrossEntropy", _flat(scores, labels), self.pairs)
        return ct.sum(rows) * (1 / self.count)

    def vjp(self, g: Tensor) -> Any:
        """Return the gradient of the scores."""
        scores, labels = self.saved
        if tape.is_grad_enabled():
            again = pull(lambda s: self._composed(s, labels), [scores], self.needs, [g])
            return (again[0], None)
        operands = (*_flat(scores, labels), (g * (1 / self.count)).reshape(()))
        found = run("compress::CrossEntropyGrad", operands, self.pairs)
        if scores.ndim == 2:
            return (found, None)
        outer = (scores.shape[0], *scores.shape[2:], scores.shape[1])
        return (
            found.reshape(outer).transpose(0, scores.ndim - 1, *range(1, scores.ndim - 1)),
            None,
        )


def _flat(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return (n, classes, ...) as rows of classes, and the labels in the same order."""
    if scores.ndim == 2:
        return scores, labels
    last = scores.transpose(0, *range(2, scores.ndim), 1)
    return last.reshape((labels.size, scores.shape[1])), labels.reshape((labels.size,))


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
    ignored = 0 if ignore_index is None else int((places.numpy() == ignore_index).sum())
    count = places.size - ignored
    if not count:
        raise InputError("the loss of no samples is not defined")
    found: Tensor = _CrossEntropy(label_smoothing, ignore_index, count)(scores, places)
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
