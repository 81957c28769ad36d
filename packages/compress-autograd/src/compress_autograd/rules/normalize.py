"""Derivatives of normalisations that have kernels; the others are in `composed`."""

from __future__ import annotations

from typing import Any

from compress_tensor import Tensor
from compress_tensor.eager import run_many

from ..tape import is_grad_enabled
from .composed import layer_norm as _composed
from .composed import pulled
from .registry import rule


@rule("LayerNormalization")
def layer_norm(gs: Any, xs: Any, call: Any) -> list[Tensor | None]:
    """Go back through all three operands at once, unless mean or deviation have gradients too."""
    x, scale, *bias = xs
    attributes = call.attributes
    axis = attributes["axis"] % x.ndim
    shapes = [each.shape for each in (scale, *bias) if each is not None]
    usual = x.size and all(shape == x.shape[axis:] for shape in shapes)
    if is_grad_enabled() or gs[0] is None or any(g is not None for g in gs[1:]) or not usual:
        return pulled(_composed, gs, xs, call)
    pairs = (("axis", axis), ("epsilon", attributes["epsilon"]))
    found: list[Tensor | None] = list(
        run_many("compress::LayerNormGrad", (x, gs[0], scale), pairs, 3)
    )
    return found[: len(xs)]
