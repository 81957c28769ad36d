"""What the shape rules share: results within bounds, broadcasting, types that must agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import prod

from ...backend.reference.common import ints
from ...dtype import DType
from ...errors import ShapeError
from .registry import Info

LIMIT = 1 << 40  #: most elements a tensor may have
MAX_RANK = 32  #: most dimensions (numpy 1 has no more)


def result(dtype: DType, shape: Iterable[int]) -> Info:
    """Return an Info without a value.

    Raises:
        ShapeError: if a dimension is negative, or there would be too many elements.
    """
    dims = tuple([int(n) for n in shape])
    _require_possible(dims)
    return Info(dtype, dims)


@lru_cache(1 << 12)
def _require_possible(dims: tuple[int, ...]) -> None:
    if len(dims) > MAX_RANK:
        raise ShapeError(f"a tensor of {len(dims)} dimensions has more than {MAX_RANK}")
    if min(dims, default=0) < 0:
        raise ShapeError(f"a dimension of shape {list(dims)} is negative")
    if prod(n for n in dims if n) >= LIMIT:
        raise ShapeError(f"shape {list(dims)} has more than 2**40 elements")


def same_type(*infos: Info | None) -> DType:
    """Return the type that all inputs have.

    Raises:
        ShapeError: if they differ.
    """
    kinds = list(dict.fromkeys(i.dtype for i in infos if i is not None))
    if len(kinds) != 1:
        raise ShapeError(f"inputs have different types: {', '.join(d.label for d in kinds)}")
    return kinds[0]


def broadcast_shapes(*shapes: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that several broadcast to.

    Raises:
        ShapeError: if they do not.
    """
    return _broadcast(*map(tuple, shapes))


@lru_cache(1 << 12)
def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(map(len, shapes))
    dims = []
    for i in range(-rank, 0):
        sizes = {shape[i] for shape in shapes if len(shape) >= -i} - {1}
        if len(sizes) > 1:
            raise ShapeError(f"shapes {', '.join(str(list(s)) for s in shapes)} do not broadcast")
        dims.append(sizes.pop() if sizes else 1)
    return tuple(dims)


def broadcast(*infos: Info | None) -> tuple[int, ...]:
    """Return the shape that the inputs broadcast to."""
    return broadcast_shapes(*(i.dims for i in infos if i is not None))


def require(condition: bool, sentence: str) -> None:
    """Raise a ShapeError unless a condition holds."""
    if not condition:
        raise ShapeError(sentence)


def require_type(info: Info | None, allowed: Iterable[DType], what: str) -> None:
    """Raise a ShapeError unless an input has one of some types."""
    if info is not None and info.dtype not in allowed:
        raise ShapeError(f"{what} must not have type {info.dtype.label}")


def length(info: Info | None, size: int, what: str) -> None:
    """Raise a ShapeError unless an input is a vector of a size."""
    if info is not None and info.dims != (size,):
        raise ShapeError(f"{what} must have shape [{size}], not {list(info.dims)}")


FLOATS = frozenset(
    {DType.FLOAT16, DType.BFLOAT16, DType.FLOAT32, DType.FLOAT64}
)  #: what is computed in
INTEGERS = frozenset(d for d in DType if d.is_int)
INDICES = frozenset({DType.INT32, DType.INT64})
NUMBERS = FLOATS | INTEGERS | {DType.COMPLEX64, DType.COMPLEX128}


def contents(info: Info, what: str) -> list[int]:
    """Return the numbers of an input that holds sizes, axes or positions.

    Raises:
        ShapeError: if they are not int32 or int64.
        NeedsValue: if they are not known.
    """
    require_type(info, INDICES, what)
    return ints(info.need())
