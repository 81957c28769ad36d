"""Strided: elements of a storage seen as an n-dimensional tensor.

Everything here makes another view of the same memory; only ``reshape`` (and what is built on it)
copies, where no strides can show the new shape.  Strides and offsets count elements.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from .differentiable import Differentiable
from .dtype import DType
from .engine.view import reshape_strides, row_major
from .errors import InputError, ShapeError
from .graph.rules.common import MAX_RANK
from .storage import Storage

if TYPE_CHECKING:
    from typing_extensions import Self

Shape = tuple[int, ...]


class Strided(Differentiable):
    """Memory, element type, shape, strides and offset; the views that can be made of them."""

    __slots__ = ("__weakref__", "_dtype", "_offset", "_shape", "_storage", "_strides")

    _storage: Storage
    _dtype: DType
    _shape: Shape
    _strides: Shape
    _offset: int

    @classmethod
    def _make(
        cls, storage: Storage, dtype: DType, shape: Shape, strides: Shape, offset: int = 0
    ) -> Self:
        """Return a tensor over memory that is known to hold it."""
        found: Self = object.__new__(cls)
        found._storage = storage
        found._dtype = dtype
        found._shape = shape
        found._strides = strides
        found._offset = offset
        found._tape = None
        return found

    def _view(self, shape: Shape, strides: Shape, offset: int | None = None) -> Self:
        if len(shape) > MAX_RANK:
            raise ShapeError(f"a tensor of {len(shape)} dimensions has more than {MAX_RANK}")
        start = self._offset if offset is None else offset
        found = self._make(self._storage, self._dtype, shape, strides, start)
        if self._tape is not None:
            self._tape.viewed(self, found)
        return found

    # ---- what it is ----

    @property
    def shape(self) -> Shape:
        """Elements per dimension."""
        return self._shape

    @property
    def strides(self) -> Shape:
        """Elements between neighbours of each dimension (not bytes); any sign, 0 repeats."""
        return self._strides

    @property
    def offset(self) -> int:
        """Elements from the start of the storage to element (0, ..., 0)."""
        return self._offset

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self._dtype

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self._shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self._shape)

    @property
    def nbytes(self) -> int:
        """Bytes that the elements take when contiguous (two int4 share one)."""
        return -(-self.size * self._dtype.bits // 8)

    @property
    def writable(self) -> bool:
        """Whether in-place operations are allowed: not on memory shared read-only."""
        return self._storage.writable

    def is_contiguous(self) -> bool:
        """Whether the elements lie one after another, the last dimension fastest."""
        step = 1
        for size, stride in zip(reversed(self._shape), reversed(self._strides), strict=True):
            if size == 0:
                return True
            if size != 1 and stride != step:
                return False
            step *= size
        return True

    def _contiguous(self) -> Self:
        """Return the elements packed; Tensor says how to copy."""
        raise NotImplementedError

    # ---- views ----

    def axis(self, axis: int, *, extra: int = 0) -> int:
        """Return a dimension's number with negative ones counted from the end.

        Raises:
            ShapeError: if there is no such dimension.
        """
        rank = len(self._shape) + extra
        if not -rank <= axis < rank:
            raise ShapeError(f"axis {axis} is out of range for a {len(self._shape)}-d tensor")
        return axis % rank if rank else 0

    def axes(self, axes: int | Sequence[int] | None) -> tuple[int, ...]:
        """Return dimensions as distinct non-negative numbers; None means all."""
        if axes is None:
            return tuple(range(len(self._shape)))
        found = tuple(self.axis(a) for a in ([axes] if isinstance(axes, int) else axes))
        if len(set(found)) != len(found):
            raise ShapeError(f"axes {list(found)} name a dimension twice")
        return found

    def reshape(self, *shape: int | Sequence[int]) -> Self:
        """Return the elements in another shape; one dimension may be -1, which is computed.

        A view where strides can show it, else a view of a contiguous copy.

        Raises:
            ShapeError: if the number of elements differs.
        """
        wanted = resolve(as_shape(shape), self._shape)
        strides = reshape_strides(self._shape, self._strides, wanted)
        if strides is None:
            return self._contiguous()._view(wanted, row_major(wanted))
        return self._view(wanted, strides)

    def view(self, *shape: int | Sequence[int]) -> Self:
        """Return a view in another shape, never a copy.

        Raises:
            ShapeError: if only a copy can have this shape.
        """
        wanted = resolve(as_shape(shape), self._shape)
        strides = reshape_strides(self._shape, self._strides, wanted)
        if strides is None:
            raise ShapeError(
                f"a tensor of shape {list(self._shape)} and strides {list(self._strides)} has no "
                f"view of shape {list(wanted)}; use reshape, which copies"
            )
        return self._view(wanted, strides)

    def flatten(self, start: int = 0, end: int = -1) -> Self:
        """Return the tensor with dimensions ``start`` to ``end`` (included) made one."""
        if not self._shape:
            return self.reshape(1)
        first, last = self.axis(start), self.axis(end)
        if first > last:
            raise ShapeError(f"flatten: dimension {start} is behind dimension {end}")
        middle = prod(self._shape[first : last + 1])
        return self.reshape((*self._shape[:first], middle, *self._shape[last + 1 :]))

    def transpose(self, *axes: int | Sequence[int]) -> Self:
        """Return the view with its dimensions in another order, reversed if none is given.

        Raises:
            ShapeError: unless every dimension is named once.
        """
        order = as_shape(axes) if axes else tuple(range(len(self._shape)))[::-1]
        found = self.axes(order)
        if len(found) != len(self._shape):
            raise ShapeError(
                f"transpose: {list(order)} does not name every dimension of a {self.ndim}-d tensor"
            )
        return self._view(
            tuple(self._shape[i] for i in found), tuple(self._strides[i] for i in found)
        )

    permute = transpose

    @property
    def T(self) -> Self:  # noqa: N802 - as in numpy
        """The view with its dimensions reversed."""
        return self._view(self._shape[::-1], self._strides[::-1])

    def swapaxes(self, a: int, b: int) -> Self:
        """Return the view with two dimensions exchanged."""
        order = list(range(len(self._shape)))
        first, second = self.axis(a), self.axis(b)
        order[first], order[second] = second, first
        return self.transpose(order)

    def squeeze(self, axis: int | Sequence[int] | None = None) -> Self:
        """Return the view without its dimensions of size 1, or without those named.

        Raises:
            ShapeError: if a named one has another size.
        """
        chosen = self.axes(axis)
        if axis is None:
            chosen = tuple(i for i in chosen if self._shape[i] == 1)
        for i in chosen:
            if self._shape[i] != 1:
                raise ShapeError(f"squeeze: dimension {i} has size {self._shape[i]}, not 1")
        kept = [i for i in range(len(self._shape)) if i not in chosen]
        return self._view(
            tuple(self._shape[i] for i in kept), tuple(self._strides[i] for i in kept)
        )

    def unsqueeze(self, axis: int | Sequence[int]) -> Self:
        """Return the view with new dimensions of size 1 at these places of the result."""
        wanted = [axis] if isinstance(axis, int) else list(axis)
        places = sorted({self.axis(a, extra=len(wanted)) for a in wanted})
        if len(places) != len(wanted):
            raise ShapeError(f"axes {wanted} name a dimension twice")
        shape, strides = list(self._shape), list(self._strides)
        for place in places:
            shape.insert(place, 1)
            strides.insert(place, 0)
        return self._view(tuple(shape), tuple(strides))

    def broadcast_to(self, *shape: int | Sequence[int]) -> Self:
        """Return the view repeated to a shape by numpy's rule; repeats have stride 0.

        Raises:
            ShapeError: if the shapes do not fit.
        """
        wanted = as_shape(shape)
        extra = len(wanted) - len(self._shape)
        strides = [0] * max(extra, 0)
        fits = extra >= 0 and min(wanted, default=0) >= 0
        if fits:
            for have, want, stride in zip(self._shape, wanted[extra:], self._strides, strict=True):
                fits = fits and have in (1, want)
                strides.append(0 if have == 1 and want != 1 else stride)
        if not fits:
            raise ShapeError(f"shape {list(self._shape)} does not broadcast to {list(wanted)}")
        return self._view(wanted, tuple(strides))

    def expand(self, *shape: int | Sequence[int]) -> Self:
        """Return ``broadcast_to``, in which -1 keeps a dimension as it is."""
        wanted = list(as_shape(shape))
        extra = len(wanted) - len(self._shape)
        for i in range(max(extra, 0), len(wanted)):
            if wanted[i] == -1:
                wanted[i] = self._shape[i - extra]
        return self.broadcast_to(wanted)

    def flip(self, axis: int | Sequence[int] | None = None) -> Self:
        """Return the view that runs backwards along these dimensions (None: all)."""
        chosen = self.axes(axis)
        strides, offset = list(self._strides), self._offset
        for i in chosen:
            offset += max(self._shape[i] - 1, 0) * strides[i]
            strides[i] = -strides[i]
        return self._view(self._shape, tuple(strides), offset)

    def narrow(self, axis: int, start: int, length: int, step: int = 1) -> Self:
        """Return ``length`` elements along a dimension from ``start``, ``step`` apart."""
        at = self.axis(axis)
        last = start + (length - 1) * step
        if length < 0 or (length and not (0 <= start < self._shape[at] > last >= 0)):
            raise InputError(
                f"{length} elements from {start} with step {step} are not inside dimension {at} "
                f"of size {self._shape[at]}"
            )
        shape, strides = list(self._shape), list(self._strides)
        offset = self._offset + (start * strides[at] if length else 0)
        shape[at] = length
        strides[at] *= step
        return self._view(tuple(shape), tuple(strides), offset)


def as_shape(given: Sequence[Any]) -> Shape:
    """Return what was given as ``f(2, 3)`` or ``f((2, 3))`` as a tuple of ints."""
    if len(given) == 1 and not hasattr(given[0], "__index__"):
        given = given[0]
    try:
        return tuple(n.__index__() for n in given)
    except (TypeError, AttributeError) as error:
        raise ShapeError(f"{given!r} is not a shape: whole numbers are needed") from error


def resolve(shape: Shape, old: Shape) -> Shape:
    """Return a shape with its -1 replaced, for the elements of shape ``old``."""
    total = prod(old)
    wanted = shape
    if shape.count(-1) == 1:
        rest = prod(n for n in shape if n != -1)
        if rest:
            wanted = tuple(total // rest if n == -1 else n for n in shape)
    if min(wanted, default=0) < 0 or prod(wanted) != total:
        raise ShapeError(f"{total} elements of shape {list(old)} do not fit shape {list(shape)}")
    return wanted
