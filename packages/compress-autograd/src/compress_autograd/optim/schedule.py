"""Learning rates as functions of the number of steps done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import cos, pi

from compress_tensor import InputError

Schedule = Callable[[int], float]


def constant(lr: float) -> Schedule:
    """Return ``lr`` for ever."""
    return lambda step: lr


def step_decay(lr: float, at: Sequence[int], factor: float = 0.1) -> Schedule:
    """Return ``lr``, multiplied by ``factor`` at each of these steps."""
    return lambda step: lr * factor ** sum(step >= n for n in at)


def cosine(lr: float, steps: int, lowest: float = 0.0) -> Schedule:
    """Return half a cosine from ``lr`` to ``lowest`` (Loshchilov and Hutter, 2017)."""
    _positive(steps)
    return lambda step: lowest + (lr - lowest) * (1 + cos(pi * min(step / steps, 1.0))) / 2


def warm_up(schedule: Schedule, steps: int, first: float = 0.0) -> Schedule:
    """Return a line from ``first`` of the schedule's start to all of it, then the schedule.

    Args:
        schedule: what follows; its step 0 comes after the line.
        steps: of the line.
        first: the part at step 0.
    """

    def found(step: int) -> float:
        if step < steps:
            return schedule(0) * (first + (1 - first) * (step + 1) / steps)
        return schedule(step - steps)

    return found


def one_cycle(lr: float, steps: int, rising: float = 0.3, start: float = 0.04) -> Schedule:
    """Return half a cosine up to ``lr`` and half a cosine down to almost 0.

    Smith and Topin, 2018, "Super-convergence"; as torch's OneCycleLR.

    Args:
        lr: the peak.
        steps: in all.
        rising: the part of the steps that goes up.
        start: the first rate, as a part of the peak; the last is 1e-4 of the first.
    """
    _positive(steps)
    peak = max(rising * steps - 1, 1e-9)
    low, end = lr * start, lr * start * 1e-4

    def found(step: int) -> float:
        if step <= peak:
            return low + (lr - low) * (1 - cos(pi * step / peak)) / 2
        share = min((step - peak) / max(steps - 1 - peak, 1e-9), 1.0)
        return end + (lr - end) * (1 + cos(pi * share)) / 2

    return found


def _positive(steps: int) -> None:
    if steps < 1:
        raise InputError(f"a schedule has at least one step, not {steps}")
