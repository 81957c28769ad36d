"""Operators that choose elements by their values."""

from __future__ import annotations

import numpy as np

from ...errors import ShapeError
from ...graph.graph import Array
from .common import axis_of, scalar, widened
from .registry import reference


@reference("TopK")
@widened
def top_k(
    X: Array,
    K: Array,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,
) -> tuple[Array, Array]:
    """Return the K largest (or smallest) elements along an axis, in order, and their places."""
    axis, count = axis_of(axis, X.ndim), int(scalar(K, "K"))
    size = X.shape[axis]
    if not 0 <= count <= size:
        raise ShapeError(f"K {count} is outside of an axis of {size}")
    if largest:  # of equal elements the first wins: sort backwards, then turn round
        order = np.argsort(np.flip(X, axis), axis=axis, kind="stable")
        order = size - 1 - np.flip(order, axis)
    else:
        order = np.argsort(X, axis=axis, kind="stable")
    places = np.take(order, range(count), axis=axis).astype(np.int64)
    return np.take_along_axis(X, places, axis), places


@reference("NonZero")
@widened
def non_zero(X: Array) -> Array:
    """Return the places of all elements that are not 0, one column each."""
    return np.array(np.nonzero(np.atleast_1d(X)), np.int64).reshape(X.ndim, -1)


@reference("Compress")
def compress(input: Array, condition: Array, *, axis: int | None = None) -> Array:
    """Return the slices of an axis (or elements) where the condition holds."""
    kept = np.flatnonzero(condition)
    if axis is None:
        return input.reshape(-1)[kept]
    return np.take(input, kept, axis=axis_of(axis, input.ndim))


@reference("Unique")
@widened
def unique(X: Array, *, axis: int | None = None, sorted: int = 1) -> tuple[Array, ...]:
    """Return distinct elements (or slices), first places, inverse, and counts."""
    along = None if axis is None else axis_of(axis, X.ndim)
    source = X.reshape(-1) if along is None else X
    at = along or 0
    _, first, inverse, counts = np.unique(
        source, return_index=True, return_inverse=True, return_counts=True, axis=along
    )
    inverse = inverse.reshape(-1)
    if not sorted:
        order = np.argsort(first, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(order.size)
        first, counts, inverse = first[order], counts[order], rank[inverse]
    places = [a.astype(np.int64) for a in (first, inverse, counts)]
    return np.take(source, first, axis=at), *places


def _corners(boxes: Array, center_point_box: int) -> Array:
    """Return boxes as (top, left, bottom, right), in order."""
    if center_point_box:
        x, y, width, height = np.moveaxis(boxes, -1, 0)
        corners = (y - height / 2, x - width / 2, y + height / 2, x + width / 2)
        return np.stack(corners, axis=-1)
    a, b = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=-1)


def _overlap(box: Array, others: Array) -> Array:
    """Return the intersection over union of one box with others."""
    top = np.maximum(box[:2], others[:, :2])
    bottom = np.minimum(box[2:], others[:, 2:])
    inner = np.prod(np.maximum(bottom - top, 0), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    union = np.prod(box[2:] - box[:2]) + areas - inner
    return np.where(union > 0, inner / np.where(union > 0, union, 1), 0)


@reference("NonMaxSuppression")
@widened
def non_max_suppression(
    boxes: Array,
    scores: Array,
    max_output_boxes_per_class: Array | None = None,
    iou_threshold: Array | None = None,
    score_threshold: Array | None = None,
    *,
    center_point_box: int = 0,
) -> Array:
    """Return (batch, class, box) of the boxes that no better box overlaps much."""
    most = 0
    if max_output_boxes_per_class is not None:
        most = int(scalar(max_output_boxes_per_class, "max_output_boxes_per_class"))
    threshold = 0.0 if iou_threshold is None else scalar(iou_threshold, "iou_threshold")
    corners = _corners(boxes, center_point_box)
    found = []
    for batch, label in np.ndindex(*scores.shape[:2]):
        values = scores[batch, label]
        order = np.argsort(-values, kind="stable")
        if score_threshold is not None:
            order = order[values[order] > scalar(score_threshold, "score_threshold")]
        taken = 0
        while order.size and taken < most:
            best, order = order[0], order[1:]
            found.append((batch, label, best))
            taken += 1
            overlap = _overlap(corners[batch, best], corners[batch, order])
            order = order[overlap <= threshold]
    return np.array(found, np.int64).reshape(-1, 3)
