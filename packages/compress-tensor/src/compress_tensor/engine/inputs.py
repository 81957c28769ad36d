"""Checking what a run is given against what the graph says."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import DType
from ..errors import InputError
from ..graph.graph import Array, Value


def checked_input(value: Value, given: Any, symbols: dict[str, tuple[int, str]]) -> Array:
    """Return the input as an array, after comparing type and shape with what the graph says."""
    array = np.asarray(given)
    if value.dtype is not None and array.dtype != value.dtype.numpy:
        if not (value.dtype is DType.STRING and array.dtype.kind in "USOT"):
            raise InputError(
                f"input {value.name!r} has type {array.dtype}, not {value.dtype.label}; convert it"
            )
        array = array.astype(object)
    if value.shape is None:
        return array
    wanted = ", ".join("?" if d is None else str(d) for d in value.shape)
    wrong = f"input {value.name!r} has shape {list(array.shape)}, not [{wanted}]"
    if len(array.shape) != len(value.shape):
        raise InputError(wrong)
    for have, dim in zip(array.shape, value.shape, strict=True):
        if isinstance(dim, int) and have != dim:
            raise InputError(wrong)
        if isinstance(dim, str):
            bound, other = symbols.setdefault(dim, (have, value.name))
            if bound != have:
                raise InputError(f"{wrong} with {dim} = {bound} as in input {other!r}")
    return array
