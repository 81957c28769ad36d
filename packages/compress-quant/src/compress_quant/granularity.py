"""How many elements share a scale: all, those of a channel, or a group within a channel.

A granularity is a rule about shapes.  For a tensor of shape S the scales have a shape T of the
same rank with T[i] = 1, T[i] = S[i], or T[i] = S[i] / group, and element j along axis i uses
scale ``j // (S[i] / T[i])``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compress_tensor import InputError

from .affine import AffineParams, Array, params_from_range
from .grid import Grid


@dataclass(frozen=True, slots=True)
class Granularity:
    """Which elements share a scale.

    Attributes:
        axis: the axis along which scales differ, or None: one scale for the tensor.
        group: elements along ``axis`` that share a scale; they must divide its length.
        across: with a group, the axis that has one scale per index besides (the output channel).
    """

    axis: int | None = None
    group: int = 1
    across: int | None = None

    def shape(self, of: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the scales of a tensor.

        Raises:
            InputError: if the axis does not exist or the group does not divide its length.
        """
        found = [1] * len(of)
        for axis, group in ((self.axis, self.group), (self.across, 1)):
            if axis is None:
                continue
            if not -len(of) <= axis < len(of):
                raise InputError(f"axis {axis} is out of range for a {len(of)}-d tensor")
            if group < 1 or of[axis] % group:
                raise InputError(f"groups of {group} do not divide axis {axis} of {list(of)}")
            found[axis % len(of)] = of[axis] // group
        return tuple(found)

    def ranges(self, x: Array) -> tuple[Array, Array]:
        """Return the smallest and largest value of each set of elements that share a scale.

        Sets without elements have the range 0 .. 0.
        """
        scales = self.shape(x.shape)
        if not x.size:
            return np.zeros(scales, np.float32), np.zeros(scales, np.float32)
        blocks = [n for t, s in zip(scales, x.shape, strict=True) for n in (t, s // max(t, 1))]
        split = x.reshape(blocks)
        inner = tuple(range(1, 2 * x.ndim, 2))
        return split.min(axis=inner), split.max(axis=inner)


PER_TENSOR = Granularity()


def per_channel(axis: int) -> Granularity:
    """One scale for each index along ``axis``."""
    return Granularity(axis)


def per_group(axis: int, group: int, across: int | None = None) -> Granularity:
    """One scale for each ``group`` neighbours along ``axis`` (and each index of ``across``)."""
    return Granularity(axis, group, across)


def params_of(x: Array, grid: Grid, granularity: Granularity = PER_TENSOR) -> AffineParams:
    """Return the parameters that cover all of a tensor.

    Raises:
        InputError: if it has a NaN or an infinity.
    """
    low, high = granularity.ranges(x)
    return params_from_range(low, high, grid)
