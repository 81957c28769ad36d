"""Changing the size of images and signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..eager import run
from ..errors import InputError, ShapeError
from ..tensor import Tensor
from .operands import as_tensor, float_tensor, known

_MODES = {
    "nearest": "nearest",
    "linear": "linear",
    "bilinear": "linear",
    "trilinear": "linear",
    "bicubic": "cubic",
}


def interpolate(
    x: Any,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    *,
    align_corners: bool = False,
    antialias: bool = False,
) -> Tensor:
    """Return images (n, c, ...) in another size, as torch computes them.

    Args:
        x: a tensor.
        size: of the spatial dimensions; one number stands for all.
        scale_factor: instead of ``size``.
        mode: nearest, linear (bilinear, trilinear) or bicubic.
        align_corners: whether the outermost pixels keep their values.
        antialias: whether to average when shrinking.

    Raises:
        InputError: unless exactly one of ``size`` and ``scale_factor`` is given.
    """
    if mode not in _MODES:
        raise InputError(f"interpolate: mode {mode!r} is not one of {', '.join(_MODES)}")
    found = as_tensor(x) if mode == "nearest" else float_tensor(x)
    rank = found.ndim - 2
    if rank < 1:
        raise ShapeError(f"interpolate: x must be (n, c, ...), not {list(found.shape)}")
    if (size is None) == (scale_factor is None):
        raise InputError("interpolate needs either size or scale_factor")
    if mode == "nearest":
        how = "asymmetric"
    else:
        how = "align_corners" if align_corners else "pytorch_half_pixel"
    attributes = (
        ("mode", _MODES[mode]),
        ("coordinate_transformation_mode", how),
        ("nearest_mode", "floor"),
        ("cubic_coeff_a", -0.5 if antialias else -0.75),
        ("antialias", int(antialias)),
    )
    given = _numbers(size if scale_factor is None else scale_factor, rank)
    if scale_factor is not None:
        scales = np.array([1, 1, *given], np.float32)
        return run("Resize", (found, None, scales), attributes)
    sizes = known([*found.shape[:2], *(int(n) for n in given)])
    return run("Resize", (found, None, None, sizes), attributes)


def _numbers(value: Any, rank: int) -> list[float]:
    found = [float(n) for n in np.atleast_1d(value)]
    found = found * rank if len(found) == 1 else found
    if len(found) != rank or min(found) <= 0:
        raise InputError(f"interpolate: {value} is not one positive number per spatial dimension")
    return found


__all__ = [
    "interpolate",
]
