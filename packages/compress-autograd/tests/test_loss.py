"""Losses against differences, of first and second order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compress_autograd.gradcheck import gradcheck
from compress_autograd.loss import cross_entropy
from compress_tensor import InputError, Tensor


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 2)], ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"label_smoothing": 0.2}, {"label_smoothing": 0.2, "ignore_index": 9}], ids=str
)
def test_cross_entropy(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, shape[:1] + shape[2:])
    if "ignore_index" in options:
        labels.reshape(-1)[1] = 9
    scores = Tensor(rng.standard_normal(shape))
    gradcheck(lambda s: cross_entropy(s, labels, **options), [scores], order=2)


def test_labels_are_checked() -> None:
    scores = Tensor(np.zeros((2, 3), np.float32))
    with pytest.raises(InputError, match="label 3 is out of range"):
        cross_entropy(scores, [0, 3])
    with pytest.raises(InputError, match="no samples"):
        cross_entropy(scores, [7, 7], ignore_index=7)
