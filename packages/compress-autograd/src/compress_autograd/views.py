"""Gradients of views: reshape, transpose, slices, broadcasting, whatever strides can show."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

import compress_tensor as ct
from compress_tensor import DType, Tensor
from compress_tensor.eager import kernel
from compress_tensor.engine.view import reshape_strides
from compress_tensor.native.call import MAX_RANK

from .function import Function
from .tape import Gradients, Record, is_grad_enabled
from .unbroadcast import unbroadcast

Strides = tuple[int, ...]
#: shape, strides and offset
Layout = tuple[tuple[int, ...], Strides, int]


class ViewRecord(Record):
    """A view, by where it and its source lie in the memory that they share."""

    __slots__ = ("source", "view")

    def __init__(self, source: Any, view: Any) -> None:
        super().__init__("view", [source._tape], [view._shape])
        self.source: Layout = (source._shape, source._strides, source._offset)
        self.view: Layout = (view._shape, view._strides, view._offset)

    def vjp(self, grads: Gradients) -> Sequence[Any]:
        """Bring the gradient back to the shape of the source, or say where in it it lies."""
        (g,) = grads
        if g is None:
            return (None,)
        (shape, strides, offset), (seen, steps, start) = self.source, self.view
        if offset == start and g.size:
            if _repeated(shape, strides, seen) == steps:
                return (unbroadcast(g, shape),)
            if prod(shape) == prod(seen) and reshape_strides(shape, strides, seen) == steps:
                return (g.reshape(shape),)
            order = _permutation(self.source, self.view)
            if order is not None:
                moved = g.reshape([n for n in seen if n != 1]).transpose(order)
                return (moved.reshape(shape),)
        if not is_grad_enabled() and g.size and Piece.fits(self.source, self.view):
            return (Piece(g, self.source, self.view),)
        return (_Unview(self.source, self.view)(g),)


def _repeated(shape: tuple[int, ...], strides: Strides, wanted: tuple[int, ...]) -> Strides | None:
    """Return the strides of the source broadcast to a shape; None if it does not fit."""
    extra = len(wanted) - len(shape)
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, wanted[extra:], strict=True)):
        return None
    kept = zip(shape, wanted[extra:], strides, strict=True)
    return (0,) * extra + tuple(0 if n == 1 != m else stride for n, m, stride in kept)


def _permutation(source: Layout, view: Layout) -> list[int] | None:
    """Return where each dimension (above size 1) of the source is among those of the view."""
    have = [pair for pair in zip(*source[:2], strict=True) if pair[0] != 1]
    seen = [pair for pair in zip(*view[:2], strict=True) if pair[0] != 1]
    if len(set(have)) != len(have) or sorted(have) != sorted(seen):
        return None
    return [seen.index(pair) for pair in have]


def _reach(layout: Layout) -> tuple[int, int]:
    """Return the first and the last element that a layout touches."""
    shape, strides, offset = layout
    low = high = offset
    for size, stride in zip(shape, strides, strict=True):
        low += min(0, stride * (size - 1))
        high += max(0, stride * (size - 1))
    return low, high


def _alone(layout: Layout) -> Layout:
    """Return a layout whose repeated dimensions are seen once."""
    shape, strides, offset = layout
    kept = tuple(n if step or not n else 1 for n, step in zip(shape, strides, strict=True))
    return kept, strides, offset


class Piece:
    """A view's gradient, before zeros are put around it: many add up in one memory.

    Args:
        g: of the shape of the view.
        source: what was viewed.
        view: the view.
    """

    __slots__ = ("g", "shape", "source", "view")

    def __init__(self, g: Tensor, source: Layout, view: Layout) -> None:
        self.g = g
        self.source = source
        self.view = view
        self.shape = source[0]

    @staticmethod
    def fits(source: Layout, view: Layout) -> bool:
        """Return whether the source is dense and the view has no element at two places."""
        low, high = _reach(source)
        dense = prod(source[0]) == high - low + 1 and not _overlaps(source)
        return dense and _alone(source)[0] == source[0] and not _overlaps(_alone(view))

    def canvas(self) -> Tensor:
        """Return zeros with the layout of the source."""
        low, high = _reach(self.source)
        return _in(ct.zeros(high - low + 1, dtype=self.g.dtype), low, self.source)

    def add_to(self, canvas: Tensor) -> None:
        """Add in place."""
        once = _alone(self.view)
        target = _in(canvas, self.source[2] - canvas.offset, once)
        g = unbroadcast(self.g, once[0])
        if g.dtype is DType.FLOAT32 and target.ndim <= MAX_RANK:
            here = target.numpy()
            kernel("binary", [here, g.numpy(), here], [0])
        else:
            ct.add(target, g, out=target)


def _in(memory: Tensor, low: int, layout: Layout) -> Tensor:
    """Return the view of a 1-d memory, which starts at element ``low``, in a layout."""
    shape, strides, offset = layout
    return Tensor._make(memory._storage, memory._dtype, shape, strides, offset - low)


class _Unview(Function):
    """Put a view's gradient where the view's elements lie in its source, 0 elsewhere."""

    def __init__(self, source: Layout, view: Layout) -> None:
        super().__init__()
        self.source = source
        self.view = view

    def forward(self, g: Tensor) -> Tensor:
        shape = self.source[0]
        if 0 in shape or not g.size:
            return ct.zeros(shape, dtype=g.dtype)
        low, high = _reach(self.source)
        memory = ct.zeros(high - low + 1, dtype=g.dtype)
        once = _alone(self.view)
        target = _in(memory, low, once)
        if _overlaps(once):
            rows = Tensor.from_numpy(_places(once, low))
            memory = ct.scatter(memory, 0, rows, unbroadcast(g, once[0]).reshape(-1), "add")
        else:
            target.copy_(unbroadcast(g, once[0]))
        single = _alone(self.source)
        if single[0] == shape:
            return _in(memory, low, self.source)
        # The source repeats elements: the whole gradient goes to the first of each.
        found = ct.zeros(shape, dtype=g.dtype)
        corner = found
        for axis, n in enumerate(single[0]):
            corner = corner.narrow(axis, 0, n)
        corner.copy_(_in(memory, low, single))
        return found

    def vjp(self, g: Tensor) -> Any:
        if 0 in self.source[0] or 0 in self.view[0]:
            return (ct.zeros(self.view[0], dtype=g.dtype),)
        return (_Review(self.source, self.view)(g),)


class _Review(Function):
    """See a tensor as the view sees its source."""

    def __init__(self, source: Layout, view: Layout) -> None:
        super().__init__()
        self.source = source
        self.view = view

    def forward(self, x: Tensor) -> Tensor:
        low, high = _reach(self.source)
        memory = ct.zeros(high - low + 1, dtype=x.dtype)
        single = _alone(self.source)
        corner = x
        for axis, n in enumerate(single[0]):
            corner = corner.narrow(axis, 0, n)
        _in(memory, low, single).copy_(corner)
        return _in(memory, low, self.view)

    def vjp(self, g: Tensor) -> Any:
        return (_Unview(self.source, self.view)(g),)


def _overlaps(layout: Layout) -> bool:
    """Return whether some elements may lie in the same place (sliding windows)."""
    pairs = sorted((abs(s), n) for n, s in zip(*layout[:2], strict=True) if n > 1)
    reach = 0
    for stride, size in pairs:
        if stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


def _places(layout: Layout, low: int) -> Any:
    """Return where each element of a layout lies."""
    shape, strides, offset = layout
    found = np.full(shape, offset - low, np.int64)
    for axis, (size, stride) in enumerate(zip(shape, strides, strict=True)):
        wide = [1] * len(shape)
        wide[axis] = size
        found += np.arange(size).reshape(wide) * stride
    return found.reshape(-1)


def embed(g: Tensor, shape: tuple[int, ...], starts: Any, steps: Any) -> Tensor:
    """Return zeros of ``shape`` with ``g`` at ``starts``, ``steps`` apart: a slice's gradient.

    What would lie outside of ``shape`` is dropped, where steps are positive.
    """
    starts = list(starts)
    for axis, (n, start, step) in enumerate(zip(shape, starts, steps, strict=True)):
        if step < 0:
            continue  # as slices give them: inside
        first = max(0, -(start // step))
        last = min(g.shape[axis], max(-(-(n - start) // step), 0))
        if first or last < g.shape[axis]:
            g = g.narrow(axis, min(first, g.shape[axis]), max(last - first, 0))
            starts[axis] = start + first * step
    strides, stride = [], 1
    for n in reversed(shape):
        strides.append(stride)
        stride *= n
    strides.reverse()
    if not g.size:
        return ct.zeros(shape, dtype=g.dtype)
    offset = sum(a * b for a, b in zip(starts, strides, strict=True))
    steps = tuple(a * b for a, b in zip(steps, strides, strict=True))
    found: Tensor = _Unview((shape, tuple(strides), 0), (g.shape, steps, offset))(g)
    return found
