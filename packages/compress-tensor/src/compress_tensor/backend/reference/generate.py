"""Tensors from attributes and small inputs: constants, ranges, shapes, windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...codec import decode
from ...dtype import DType
from ...errors import ShapeError
from ...graph.graph import Array
from .common import axis_of, ints, scalar, to_dtype
from .registry import reference

LIMIT = 1 << 40  #: most elements a tensor may have


@reference("Constant")
def constant(
    *,
    value: Array | None = None,
    value_float: float | None = None,
    value_floats: list[float] | None = None,
    value_int: int | None = None,
    value_ints: list[int] | None = None,
    value_string: str | None = None,
    value_strings: list[str] | None = None,
) -> Array:
    """Return the one attribute that is given, as a tensor."""
    if value is not None:
        return value
    if value_float is not None or value_floats is not None:
        return np.array(value_float if value_floats is None else value_floats, np.float32)
    if value_int is not None or value_ints is not None:
        return np.array(value_int if value_ints is None else value_ints, np.int64)
    if value_string is not None or value_strings is not None:
        return np.array(value_string if value_strings is None else value_strings, object)
    raise ShapeError("Constant has no value")


@reference("ConstantOfShape")
def constant_of_shape(input: Array, *, value: Array | None = None) -> Array:
    """Return a tensor of the given shape filled with a value, by default float32 0."""
    fill = np.zeros(1, np.float32) if value is None else value
    result = np.empty(ints(input), fill.dtype)
    result[...] = fill.reshape(-1)[0]
    return result


@reference("Shape")
def shape(data: Array, *, start: int = 0, end: int | None = None) -> Array:
    """Return the shape, or a part of it."""
    return np.array(data.shape[start:end], np.int64)


@reference("Size")
def size(data: Array) -> Array:
    """Return the number of elements."""
    return np.array(data.size, np.int64)


def range_length(start: float, limit: float, delta: float) -> int:
    """Return how many numbers Range gives.

    Raises:
        ShapeError: if they are too many.
    """
    if delta == 0:
        raise ShapeError("Range needs a delta other than 0")
    if isinstance(start, int) and isinstance(limit, int) and isinstance(delta, int):
        count = -((start - limit) // delta)
    else:
        quotient = np.ceil((limit - start) / delta)
        count = int(quotient) if np.isfinite(quotient) else LIMIT
    if count >= LIMIT:
        raise ShapeError(f"Range from {start} to {limit} by {delta} is too long")
    return max(count, 0)


@reference("Range")
def range_(start: Array, limit: Array, delta: Array, *, stash_type: int = 1) -> Array:
    """Return start + i * delta below limit."""
    first, last, step = (scalar(a, "an input of Range") for a in (start, limit, delta))
    count = range_length(first, last, step)
    held = DType.of(start.dtype)
    if held in (DType.FLOAT16, DType.BFLOAT16):
        kind = np.dtype(np.float64 if stash_type == DType.FLOAT64 else np.float32)
        steps = np.arange(count).astype(kind) * kind.type(step)
        return to_dtype(steps + kind.type(first), held)
    return np.asarray((np.arange(count) * step + first).astype(start.dtype))


@reference("EyeLike")
def eye_like(input: Array, *, dtype: int | None = None, k: int = 0) -> Array:
    """Return a matrix with ones on a diagonal, of the input's shape."""
    held = DType(dtype) if dtype is not None else DType.of(input.dtype)
    return to_dtype(np.eye(input.shape[0], input.shape[1], k=k), held)


def _window(op: str, terms: tuple[float, ...]) -> Callable[..., Array]:
    """Register a window: a sum of cosines."""

    def definition(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Array:
        length = int(scalar(size, "size"))
        period = length if periodic else length - 1
        angle = np.arange(length) * (2 * np.pi / max(period, 1))
        total = sum(term * np.cos(i * angle) for i, term in enumerate(terms))
        return to_dtype(np.asarray(total), DType(output_datatype))

    definition.__name__ = op.lower()
    definition.__doc__ = f"Return a {op} of the given size."
    return reference(op)(definition)


_window("HannWindow", (0.5, -0.5))
_window("HammingWindow", (25 / 46, -21 / 46))
_window("BlackmanWindow", (0.42, -0.5, 0.08))


@reference("MelWeightMatrix")
def mel_weight_matrix(
    num_mel_bins: Array,
    dft_length: Array,
    sample_rate: Array,
    lower_edge_hertz: Array,
    upper_edge_hertz: Array,
    *,
    output_datatype: int = 1,
) -> Array:
    """Return the triangles that turn a spectrum into mel bins, (frequencies, bins)."""
    bins = int(scalar(num_mel_bins, "num_mel_bins"))
    length = int(scalar(dft_length, "dft_length"))
    rate = int(scalar(sample_rate, "sample_rate"))
    edges = [scalar(a, "an edge") for a in (lower_edge_hertz, upper_edge_hertz)]
    low, high = (2595 * np.log10(1 + edge / 700) for edge in edges)
    mel = low + np.arange(bins + 2) * ((high - low) / (bins + 2))
    places = ((length + 1) * (700 * (10 ** (mel / 2595) - 1)) // rate).astype(np.int64)
    result = np.zeros((length // 2 + 1, bins), np.float64)
    for i in range(bins):
        left, middle, right = places[i : i + 3]
        if middle == left:
            result[middle, i] = 1
        else:
            rise = np.arange(left, middle + 1)
            result[rise, i] = (rise - left) / (middle - left)
        if right > middle:
            fall = np.arange(middle, right)
            result[fall, i] = (right - fall) / (right - middle)
    return to_dtype(result, DType(output_datatype))


@reference("OneHot")
def one_hot(indices: Array, depth: Array, values: Array, *, axis: int = -1) -> Array:
    """Return the on value where an index along a new axis is that of the input, else off."""
    size = int(scalar(depth, "depth"))
    place = axis_of(axis, indices.ndim + 1)
    wide = decode(indices).astype(np.int64)
    wide = np.where((wide >= -size) & (wide < 0), wide + size, wide)
    steps = np.arange(size).reshape(-1, *[1] * (indices.ndim - place))
    hit = np.expand_dims(wide, place) == steps
    return np.asarray(np.where(hit, values[1], values[0]))
