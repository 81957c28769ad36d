"""The nodes of domain ``compress``, as the tape runs them.

FakeQuantize has inputs x and scale, attributes low and high (the ends of the grid minus the zero
point), zero_point, and axis where scales differ along one.  Without a scale it follows from x in
every step: the largest magnitude, per index of the axis, is the last code.  FakeBias rounds a bias
to what int32 codes hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import compress_tensor as ct
from compress_autograd import Function
from compress_tensor import Node, Tensor
from compress_tensor.fake_quantize import fake_quantize, fake_quantize_grads

from ..affine import Array

DOMAIN, OP, BIAS = "compress", "FakeQuantize", "FakeBias"
#: scales are learned, and must stay above 0
LEAST_SCALE = 1e-12


class FakeQuantize(Function):
    """Snap x to a grid, with usable gradients for x and for the scale.

    The scale's gradient is multiplied by 1 / sqrt(n high), n the elements that share a scale in
    one sample, so that scales and weights learn at comparable rates (Esser et al., 2020, Learned
    step size quantization, section 2.2).

    Args:
        low: smallest code minus the zero point.
        high: largest code minus the zero point.
        axis: along which scales differ; None: one scale.
        rows: samples in a batch, if x is one: n does not count them.
    """

    def __init__(self, low: int, high: int, axis: int | None = None, rows: int = 1) -> None:
        super().__init__()
        self.low, self.high, self.axis, self.rows = low, high, axis, rows

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return the nearest values on the grid."""
        safe = ct.maximum(scale, LEAST_SCALE)
        self.save(x, safe)
        return fake_quantize(x, safe, self.low, self.high, self.axis)

    def vjp(self, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return the gradients of x and of the scale."""
        x, scale = self.saved
        of_scale = self.needs[1]
        grads = fake_quantize_grads(x, scale, g, self.low, self.high, self.axis, of_scale=of_scale)
        if grads[1] is None:
            return grads[0], None
        axes = [i for i in range(x.ndim) if i != self.axis]
        each = x.size // max(scale.size, 1) // max(self.rows, 1)
        factor = 1.0 / np.sqrt(max(each, 1) * max(self.high, 1))
        summed = ct.sum(grads[1], axes) if axes else grads[1]
        return grads[0], summed.reshape(scale.shape) * factor


def run_fake_quantize(node: Node, x: Any, scale: Any = None) -> Tensor:
    """Run a node: what `compress_autograd.Trainable` is given for it."""
    given, a, axis = _tensor(x), node.attributes, _axis(node)
    scale = covering(given, int(a["high"]), axis) if scale is None else _tensor(scale)
    rows = given.shape[0] if a.get("batched") and given.ndim else 1
    made: Tensor = FakeQuantize(int(a["low"]), int(a["high"]), axis, rows)(given, scale)
    return made


class RoundBias(Function):
    """Round a bias to whole multiples of unit, as int32 codes do; the gradient passes through."""

    def __init__(self, unit: Array) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, bias: Tensor) -> Tensor:
        """Return the nearest multiples."""
        held = bias.numpy().astype(np.float64)
        return Tensor.from_numpy((np.rint(held / self.unit) * self.unit).astype(np.float32))

    def vjp(self, g: Tensor) -> tuple[Tensor]:
        """Return the gradient of the bias."""
        return (g,)


def run_fake_bias(
    node: Node, bias: Any, scale: Any, weight: Any, weight_scale: Any = None
) -> Tensor:
    """Run a node FakeBias: inputs bias, the activation's scale, the weight and its scale."""
    if weight_scale is None:
        weight_scale = covering(_tensor(weight), int(node.attributes["high"]), _axis(node))
    one = np.maximum(_tensor(scale).numpy(), np.float32(LEAST_SCALE))
    unit = one * np.maximum(_tensor(weight_scale).numpy(), np.float32(LEAST_SCALE))
    made: Tensor = RoundBias(unit.astype(np.float64))(_tensor(bias))
    return made


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor.from_numpy(np.asarray(value))


def _axis(node: Node) -> int | None:
    axis: int | None = node.attributes.get("axis")
    return axis


def covering(x: Tensor, high: int, axis: int | None) -> Tensor:
    """Return the scales at which the largest magnitude is the last code; 1 where all is 0."""
    held = np.abs(x.detach().numpy())
    others = tuple(i for i in range(held.ndim) if i != axis)
    most = held.max(axis=others if axis is not None else None, initial=0.0)
    scale = np.asarray(most.astype(np.float64) / high, np.float32)
    return Tensor.from_numpy(np.where(scale < np.finfo(np.float32).tiny, np.float32(1), scale))


#: for ``Trainable(graph, operators=OPERATORS)``
OPERATORS: Mapping[str, Any] = {
    f"{DOMAIN}::{OP}": run_fake_quantize,
    f"{DOMAIN}::{BIAS}": run_fake_bias,
}
