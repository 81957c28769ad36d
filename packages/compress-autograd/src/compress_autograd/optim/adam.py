"""Adam and what came after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import compress_tensor as ct
from compress_tensor import InputError, Tensor

from .optimizer import Group, Optimizer, add_, scale_
from .schedule import Schedule


class Adam(Optimizer):
    """p = p - lr m' / (sqrt(v') + eps), m and v being means of g and g squared.

    Kingma and Ba, 2015, "Adam: a method for stochastic optimization", algorithm 1.

    Args:
        parameters: by name, or groups.
        lr: the learning rate, or a schedule.
        betas: how much of m and of v is kept in a step.
        eps: added to the root.
        weight_decay: added to the gradient as weight_decay p.
    """

    slots = ("m", "v")
    _decoupled = False

    def __init__(
        self,
        parameters: Mapping[str, Tensor] | Sequence[Group],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        if not all(0 <= beta < 1 for beta in betas):
            raise InputError(f"betas are from 0 to below 1, not {betas}")
        self.betas = betas
        self.eps = eps

    def _direction(self, g: Tensor, kept: dict[str, Tensor]) -> Tensor:
        """Return m' / (sqrt(v') + eps), m and v having been updated."""
        one, two = self.betas
        m, v = kept["m"], kept["v"]
        scale_(m, one)
        add_(m, g * (1 - one))
        scale_(v, two)
        add_(v, g * g * (1 - two))
        root = ct.sqrt(v) * (1 / (1 - two**self.steps) ** 0.5) + self.eps
        return ct.multiply(m / root, 1 / (1 - one**self.steps))

    def _update(
        self, p: Tensor, g: Tensor, kept: dict[str, Tensor], lr: float, decay: float
    ) -> None:
        if decay and self._decoupled:
            scale_(p, 1 - lr * decay)
        elif decay:
            g = g + p * decay
        add_(p, self._direction(g, kept) * -lr)


class AdamW(Adam):
    """Adam whose weight decay is no part of the gradient: p = (1 - lr weight_decay) p - ...

    Loshchilov and Hutter, 2019, "Decoupled weight decay regularization".
    """

    _decoupled = True

    def __init__(
        self,
        parameters: Mapping[str, Tensor] | Sequence[Group],
        lr: float | Schedule = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay=weight_decay)


class LAMB(Adam):
    """Adam's step per parameter, made |p| long.

    You et al., 2020, "Large batch optimization for deep learning", algorithm 2: the step is
    lr |p| / |r| r with r = m' / (sqrt(v') + eps) + weight_decay p (the ratio is 1 if a norm is 0).
    """

    def _update(
        self, p: Tensor, g: Tensor, kept: dict[str, Tensor], lr: float, decay: float
    ) -> None:
        r = self._direction(g, kept)
        if decay:
            r = r + p * decay
        size, length = ct.norm(p).item(), ct.norm(r).item()
        ratio = size / length if size and length else 1.0
        add_(p, r * (-lr * ratio))
