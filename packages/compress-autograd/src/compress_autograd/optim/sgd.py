"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compress_tensor import InputError, Tensor

from .optimizer import Group, Optimizer, step_kernel
from .schedule import Schedule


class SGD(Optimizer):
    """v = momentum v + g, p = p - lr v; g includes weight_decay p.

    With ``nesterov``, p = p - lr (g + momentum v) (Sutskever et al., 2013, as torch does it).

    Args:
        parameters: by name, or groups.
        lr: the learning rate, or a schedule.
        momentum: from 0 to below 1.
        nesterov: look ahead.
        weight_decay: added to the gradient as weight_decay p.
    """

    slots = ("momentum",)

    def __init__(
        self,
        parameters: Mapping[str, Tensor] | Sequence[Group],
        lr: float | Schedule,
        momentum: float = 0.0,
        *,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        if not 0 <= momentum < 1 or (nesterov and not momentum):
            raise InputError(f"momentum is from 0 to below 1, above 0 for nesterov, not {momentum}")
        self.momentum = momentum
        self.nesterov = nesterov

    def _slots(self, name: str, p: Tensor) -> dict[str, Tensor]:
        return super()._slots(name, p) if self.momentum else {}

    def _update(
        self, p: Tensor, g: Tensor, kept: dict[str, Tensor], lr: float, decay: float
    ) -> None:
        args = [float(lr), float(self.momentum), float(decay), int(self.nesterov)]
        step_kernel("sgd_step", p, g, list(kept.values()), args)
