"""The opposite of broadcasting: a gradient is added up over the dimensions that were repeated."""

from __future__ import annotations

import compress_tensor as ct
from compress_tensor import Tensor


def unbroadcast(g: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return ``g`` summed to ``shape``, from which it was broadcast by numpy's rule."""
    if g.shape == shape:
        return g
    extra = g.ndim - len(shape)
    axes = [i for i, n in enumerate(g.shape) if i < extra or (shape[i - extra] == 1 and n != 1)]
    if axes:
        g = ct.sum(g, axes, keepdims=True)
    return g.reshape(shape)
