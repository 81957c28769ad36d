"""Indexing: ints, slices, None and Ellipsis make a view; arrays of indices gather.

The rules are numpy's, with at most one array of indices or a boolean mask of the whole tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .errors import InputError, OutOfRangeError, ShapeError

if TYPE_CHECKING:
    from .strided import Strided

S = TypeVar("S", bound="Strided")


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is left to do after the view was made.

    Attributes:
        indices: the array of indices, or None.
        axis: the dimension of the view that it chooses from.
    """

    indices: Any = None
    axis: int = 0


def is_index_array(part: Any) -> bool:
    """Return whether a part of a key is an array of indices (or a mask)."""
    if isinstance(part, list):
        return True
    if isinstance(part, np.ndarray):
        return True
    return hasattr(part, "_storage")


def choose(tensor: S, key: Any) -> tuple[S, Chosen]:
    """Return the view that a key describes, and the array of indices in it, if there is one.

    Raises:
        ShapeError: if it names more dimensions than there are.
        InputError: for an index out of range, or something that is no index.
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    used = sum(part is not None and part is not Ellipsis for part in parts)
    if used > tensor.ndim:
        raise ShapeError(f"{used} indices are too many for a {tensor.ndim}-d tensor")
    dots = [i for i, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise InputError("an index may have only one Ellipsis (...)")
    at = dots[0] if dots else len(parts)
    parts[at : at + 1] = [slice(None)] * (tensor.ndim - used)
    shape: list[int] = []
    strides: list[int] = []
    offset, axis, chosen = tensor._offset, 0, Chosen()
    for part in parts:
        if part is None:
            shape.append(1)
            strides.append(0)
            continue
        size, stride = tensor._shape[axis], tensor._strides[axis]
        axis += 1
        if isinstance(part, slice):
            span = _span(part, size)
            offset += span.start * stride if len(span) else 0
            shape.append(len(span))
            strides.append(stride * span.step)
        elif is_index_array(part):
            if chosen.indices is not None:
                raise InputError("only one array of indices is supported in an index")
            chosen = Chosen(part, len(shape))
            shape.append(size)
            strides.append(stride)
        else:
            offset += _index(part, size, axis - 1) * stride
    return tensor._view(tuple(shape), tuple(strides), offset), chosen


def _span(part: slice, size: int) -> range:
    try:
        return range(*part.indices(size))
    except (TypeError, ValueError) as error:
        raise InputError(f"slice {part} is not valid: {error}") from error


def _index(part: Any, size: int, axis: int) -> int:
    if isinstance(part, (bool, np.bool_)) or not hasattr(part, "__index__"):
        raise InputError(
            f"{part!r} is no index; ints, slices, None, ... and arrays of ints or bools are"
        )
    index: int = part.__index__()
    if not -size <= index < size:
        raise OutOfRangeError(f"index {index} is out of range for dimension {axis} of size {size}")
    return index % size
