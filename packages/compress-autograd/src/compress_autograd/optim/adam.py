"""Adam and what came after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import compress_tensor as ct
from compress_tensor import InputError, Tensor

from .optimizer import Group, Optimizer, step_kernel
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

    def _change(
        self, p: Tensor, g: Tensor, kept: dict[str, Tensor], lr: float, keep: float, decay: float
    ) -> None:
        """Update m and v; p = keep p - lr m' / (sqrt(v') + eps), g including decay keep p."""
        one, two = self.betas
        root, mean = (1 - two**self.steps) ** -0.5, 1 / (1 - one**self.steps)
        args = (lr, keep, decay, one, two, self.eps, root, mean)
        step_kernel("adam_step", p, g, [kept["m"], kept["v"]], [float(a) for a in args])

    def _update(
        self, p: Tensor, g: Tensor, kept: dict[str, Tensor], lr: float, decay: float
    ) -> None:
        if self._decoupled:
            self._change(p, g, kept, lr, 1 - lr * decay, 0.0)
        else:
            self._change(p, g, kept, lr, 1.0, decay)


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
        r = ct.zeros(p.shape, dtype=p.dtype)
        self._change(r, g, kept, -1.0, 1.0, 0.0)
        if decay:
            r = r + p * decay
        size, length = ct.norm(p).item(), ct.norm(r).item()
        ratio = size / length if size and length else 1.0
        ct.add(p, r * (-lr * ratio), out=p)
