"""Where the parameters of a network come from: seeded initial values, or zeros to count them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt
from typing import Any, Protocol

import numpy as np

from compress_tensor.random import Generator

Array = np.ndarray[Any, np.dtype[Any]]
_BOUND = 2.0  #: standard deviations at which a normal distribution is cut


class Weights(Protocol):
    """Makes the initial values of parameters, in the order in which a builder asks."""

    def he(self, shape: Sequence[int]) -> Array:
        """Return weights for layers before a ReLU: variance 2 / fan-in (He et al., 2015).

        The fan-in is the product of all dimensions but the first.
        """

    def normal(self, shape: Sequence[int], deviation: float = 0.02) -> Array:
        """Return a normal distribution cut at two standard deviations (Devlin et al., 2019)."""

    def uniform(self, shape: Sequence[int], bound: float) -> Array:
        """Return a uniform distribution over [-bound, bound)."""

    def around(self, shape: Sequence[int], centre: float, deviation: float) -> Array:
        """Return values near ``centre``: scales and shifts as training leaves them."""


class Seeded:
    """Random weights; the same seed gives the same bytes on every machine."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = Generator(seed)

    def he(self, shape: Sequence[int]) -> Array:
        """See `Weights`."""
        return self._randn(shape) * np.float32(sqrt(2 / prod(shape[1:])))

    def normal(self, shape: Sequence[int], deviation: float = 0.02) -> Array:
        """See `Weights`."""
        found = self._randn(shape).reshape(-1)
        outside = np.flatnonzero(np.abs(found) > _BOUND)
        while outside.size:
            found[outside] = self._randn([outside.size])
            outside = outside[np.abs(found[outside]) > _BOUND]
        return found.reshape(shape) * np.float32(deviation)

    def uniform(self, shape: Sequence[int], bound: float) -> Array:
        """See `Weights`."""
        found: Array = self._generator.rand(*shape).numpy()
        return (found * np.float32(2) - np.float32(1)) * np.float32(bound)

    def around(self, shape: Sequence[int], centre: float, deviation: float) -> Array:
        """See `Weights`."""
        return self._randn(shape) * np.float32(deviation) + np.float32(centre)

    def _randn(self, shape: Sequence[int]) -> Array:
        found: Array = self._generator.randn(*shape).numpy()
        return np.array(found)


class Initial(Seeded):
    """Random weights as training starts from them: scales are 1 and shifts are 0."""

    def around(self, shape: Sequence[int], centre: float, deviation: float) -> Array:
        """Return ``centre`` everywhere."""
        return np.full(shape, centre, np.float32)


class Blank:
    """Zeros of the right shapes, for whoever asks for shapes only; they cost no memory."""

    def he(self, shape: Sequence[int]) -> Array:
        """See `Weights`."""
        return np.zeros(shape, np.float32)

    def normal(self, shape: Sequence[int], deviation: float = 0.02) -> Array:
        """See `Weights`."""
        return self.he(shape)

    def uniform(self, shape: Sequence[int], bound: float) -> Array:
        """See `Weights`."""
        return self.he(shape)

    def around(self, shape: Sequence[int], centre: float, deviation: float) -> Array:
        """See `Weights`."""
        return self.he(shape)
