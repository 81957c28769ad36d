"""What all optimizers share: groups of parameters, the learning rate, the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import compress_tensor as ct
from compress_tensor import DType, InputError, Tensor
from compress_tensor.eager import kernel
from compress_tensor.graph.graph import Array
from compress_tensor.ops.movement import check_writable

from ..tape import no_grad
from .schedule import Schedule, constant


@dataclass(frozen=True)
class Group:
    """Parameters that are treated alike.

    Attributes:
        parameters: by name.
        weight_decay: of these; None: the optimizer's.
        rate: multiplies the learning rate.
    """

    parameters: Mapping[str, Tensor]
    weight_decay: float | None = None
    rate: float = 1.0


def groups_by_decay(parameters: Mapping[str, Tensor], weight_decay: float) -> list[Group]:
    """Return two groups: matrices and kernels decay, biases and normalisations do not."""
    wide = {name: p for name, p in parameters.items() if p.ndim > 1}
    narrow = {name: p for name, p in parameters.items() if p.ndim <= 1}
    return [Group(wide, weight_decay), Group(narrow, 0.0)]


class Optimizer:
    """Changes parameters by their gradients; subclasses say how.

    Args:
        parameters: by name, or groups of them.
        lr: the learning rate, or a schedule: a function of the number of steps done.
        weight_decay: of groups that do not say otherwise.
    """

    slots: tuple[str, ...] = ()  #: names of the tensors kept per parameter

    def __init__(
        self,
        parameters: Mapping[str, Tensor] | Sequence[Group],
        lr: float | Schedule,
        weight_decay: float = 0.0,
    ) -> None:
        groups = [Group(parameters)] if isinstance(parameters, Mapping) else list(parameters)
        self.groups = groups
        self.schedule = lr if callable(lr) else constant(lr)
        self.weight_decay = weight_decay
        self.steps = 0
        names = [name for group in groups for name in group.parameters]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"parameter {twice!r} is in two groups")
        for group in groups:
            for name, p in group.parameters.items():
                if not p.requires_grad:
                    raise InputError(f"parameter {name!r} does not require a gradient")
        self._kept: dict[str, dict[str, Tensor]] = {}

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.schedule(self.steps))

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for group in self.groups:
            for p in group.parameters.values():
                p.grad = None

    def step(self) -> None:
        """Change every parameter that has a gradient."""
        lr = self.lr
        self.steps += 1
        with no_grad():
            for group in self.groups:
                decay = self.weight_decay if group.weight_decay is None else group.weight_decay
                for name, p in group.parameters.items():
                    if p.grad is not None:
                        self._update(p, p.grad, self._slots(name, p), lr * group.rate, decay)

    def _slots(self, name: str, p: Tensor) -> dict[str, Tensor]:
        if name not in self._kept:
            self._kept[name] = {slot: ct.zeros(p.shape, dtype=p.dtype) for slot in self.slots}
        return self._kept[name]

    def _update(
        self, p: Tensor, g: Tensor, kept: dict[str, Tensor], lr: float, decay: float
    ) -> None:
        """Change one parameter in place."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return what was chosen when this was made, but the schedule; it fits into JSON."""
        found: dict[str, Any] = {"optimizer": type(self).__name__}
        for name, value in sorted(vars(self).items()):
            if name != "steps" and not name.startswith("_"):
                if isinstance(value, (bool, int, float)):
                    found[name] = value
                elif isinstance(value, tuple):
                    found[name] = list(value)
        for n, group in enumerate(self.groups):
            found[f"weight decay and rate of group {n}"] = [group.weight_decay, group.rate]
        return found

    def state(self) -> dict[str, Array]:
        """Return everything that steps change but the parameters, as arrays by name."""
        found = {
            f"{slot}/{name}": tensor.numpy().copy()
            for name, kept in self._kept.items()
            for slot, tensor in kept.items()
        }
        found["/steps"] = np.array(self.steps, np.int64)
        return found

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state` returned.

        Raises:
            InputError: if it belongs to other parameters.
        """
        known = {name: p for group in self.groups for name, p in group.parameters.items()}
        kept: dict[str, dict[str, Tensor]] = {}
        for key, array in state.items():
            slot, _, name = key.partition("/")
            if key == "/steps":
                continue
            if slot not in self.slots or name not in known or known[name].shape != array.shape:
                raise InputError(f"the state belongs to another optimizer or model: {key!r}")
            kept.setdefault(name, {})[slot] = Tensor(array)
        self._kept = kept
        self.steps = int(state["/steps"])


def step_kernel(name: str, p: Tensor, g: Tensor, slots: Sequence[Tensor], args: Any) -> None:
    """Let a kernel of libcore change a parameter and its slots in one pass.

    Args:
        name: of the kernel.
        p: the parameter; half precision is computed in float32.
        g: its gradient.
        slots: of the shape and type of ``p``.
        args: of the kernel.
    """
    held = [p, *slots]
    work = [_plain(t, p.dtype) for t in held]
    for t in held:
        check_writable(t)
    given = [work[0], _plain(g, p.dtype), *work[1:]]
    none = [None] * (2 - len(held))
    arrays = [t.numpy().reshape(-1) for t in given]
    kernel(name, [*arrays, *none, *(t.numpy().reshape(-1) for t in work), *none], args)
    for t, now in zip(held, work, strict=True):
        if now is not t:
            t.copy_(now)


def _plain(t: Tensor, dtype: DType) -> Tensor:
    """Return a tensor as kernels take it: itself, if it is."""
    wide = dtype if dtype in (DType.FLOAT32, DType.FLOAT64) else DType.FLOAT32
    t = t if t.dtype is wide else t.astype(wide)
    return t if t.is_contiguous() else t.contiguous()
