"""Functions that numpy lacks: erf, to double precision, over whole arrays."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial

from ...graph.graph import Array

_SPLIT = 1.5  #: below: Taylor series in x * x; above: 1 - exp(-x * x) * smooth function
_END = 6.0  #: erf(6) rounds to 1


@cache
def _series() -> Polynomial:
    """Return erf(x) / x as a polynomial in x * x."""
    terms = [(-1) ** n / (math.factorial(n) * (2 * n + 1)) for n in range(28)]
    return Polynomial(np.array(terms) * (2 / math.sqrt(math.pi)))


@cache
def _tail() -> Chebyshev:
    """Return erfc(x) * exp(x * x), interpolated."""

    def scaled(points: Array) -> Array:
        return np.array([math.erfc(x) * math.exp(x * x) for x in points.tolist()])

    return Chebyshev.interpolate(scaled, 30, domain=[_SPLIT, _END])


def erf(x: Array) -> Array:
    """Return the error function, in the precision of ``x``."""
    wide = np.asarray(x, np.float64)
    size = np.minimum(np.abs(wide), _END)
    near = np.minimum(size, _SPLIT)
    small = near * _series()(near * near)
    far = np.maximum(size, _SPLIT)
    large = 1.0 - np.exp(-far * far) * _tail()(far)
    result = np.copysign(np.where(size < _SPLIT, small, large), wide)
    result = np.where(np.isnan(wide), wide, result)
    return result.astype(x.dtype) if x.dtype.kind == "f" else result
