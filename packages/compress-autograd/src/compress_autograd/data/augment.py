"""Random changes of samples; all take a sample and its random numbers.

Pictures are (channels, height, width), audio is (..., samples).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .chance import Chance
from .dataset import Array

Augment = Callable[[Array, Chance], Array]


@dataclass(frozen=True)
class Crop:
    """Move a picture by up to ``pad`` pixels in each direction; what comes in is ``value``."""

    pad: int
    value: float = 0.0

    def __call__(self, sample: Array, chance: Chance) -> Array:
        """Return a picture of the same size."""
        down, right = (chance.integer(-self.pad, self.pad) for _ in range(2))
        found = np.full_like(sample, self.value)
        height, width = sample.shape[-2:]
        if abs(down) < height and abs(right) < width:
            to = np.s_[..., max(down, 0) : height + down, max(right, 0) : width + right]
            of = np.s_[..., max(-down, 0) : height - down, max(-right, 0) : width - right]
            found[to] = sample[of]
        return found


@dataclass(frozen=True)
class Flip:
    """Mirror a picture, left to right, with this probability."""

    probability: float = 0.5

    def __call__(self, sample: Array, chance: Chance) -> Array:
        """Return the picture or its mirror image."""
        return sample[..., ::-1] if chance.uniform() < self.probability else sample


@dataclass(frozen=True)
class Cutout:
    """Set a square of ``size`` pixels to ``value`` (DeVries and Taylor, 2017).

    Its centre is anywhere in the picture, so part of it may lie outside.
    """

    size: int
    value: float = 0.0

    def __call__(self, sample: Array, chance: Chance) -> Array:
        """Return the picture with a hole."""
        height, width = sample.shape[-2:]
        top = chance.integer(0, height - 1) - self.size // 2
        left = chance.integer(0, width - 1) - self.size // 2
        found = sample.copy()
        found[..., max(top, 0) : top + self.size, max(left, 0) : left + self.size] = self.value
        return found


@dataclass(frozen=True)
class Shift:
    """Move audio by up to ``most`` samples in either direction, zeros coming in."""

    most: int

    def __call__(self, sample: Array, chance: Chance) -> Array:
        """Return audio of the same length."""
        step = chance.integer(-self.most, self.most)
        found = np.zeros_like(sample)
        length = sample.shape[-1]
        if abs(step) < length:
            found[..., max(step, 0) : length + step] = sample[..., max(-step, 0) : length - step]
        return found


@dataclass(frozen=True)
class Noise:
    """Add normal noise whose deviation is from 0 to ``most``."""

    most: float

    def __call__(self, sample: Array, chance: Chance) -> Array:
        """Return the noisy sample."""
        level = np.float32(chance.uniform() * self.most)
        return sample + level * chance.normal(sample.size).reshape(sample.shape)
