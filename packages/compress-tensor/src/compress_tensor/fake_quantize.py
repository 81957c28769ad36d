"""Values moved to the grid of their codes, with the gradients that training uses.

With v = x / scale and whole bounds low <= 0 <= high (the ends of the grid minus its zero point)::

    y       = scale * rint(clip(v, low, high))
    dL/dx   = g             where low <= v <= high, else 0
    dL/ds   = g (rint(v) - v)   there, else g clip(v, low, high)

The first gradient is the straight-through estimator (Bengio et al., 2013); the second is that of
the step size, equation 3 of LSQ (Esser et al., 2020, https://arxiv.org/abs/1902.08153).
"""

from __future__ import annotations

import numpy as np

from .eager import kernel
from .graph.graph import Array
from .tensor import Tensor

_OF_X, _OF_SCALE = 0, 1


def fake_quantize(x: Tensor, scale: Tensor, low: int, high: int, axis: int | None = None) -> Tensor:
    """Return y, of the shape and layout of ``x``.

    Args:
        x: float32.
        scale: float32, positive: one element, or one per index of ``axis``.
        low: smallest code minus the zero point, from -65536 to 0.
        high: largest code minus the zero point, from 0 to 65536.
        axis: along which scales differ.
    """
    given = x.numpy()
    out = np.empty_like(given)
    kernel("fake_quantize", [given, _spread(scale, given, axis), out], [low, high])
    return Tensor.from_numpy(out)


def fake_quantize_grads(
    x: Tensor,
    scale: Tensor,
    g: Tensor,
    low: int,
    high: int,
    axis: int | None = None,
    *,
    of_scale: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Return dL/dx, and per element of ``x`` what it adds to dL/ds, given g = dL/dy."""
    given = x.numpy()
    operands = [given, _spread(scale, given, axis), g.numpy()]

    def gradient(of: int) -> Tensor:
        out = np.empty_like(given)
        kernel("fake_quantize_grad", [*operands, out], [low, high, of])
        return Tensor.from_numpy(out)

    return gradient(_OF_X), gradient(_OF_SCALE) if of_scale else None


def _spread(scale: Tensor, like: Array, axis: int | None) -> Array:
    held = scale.numpy()
    wide = [1] * like.ndim
    if axis is not None:
        wide[axis] = held.size
    return np.broadcast_to(held.reshape(wide), like.shape)
