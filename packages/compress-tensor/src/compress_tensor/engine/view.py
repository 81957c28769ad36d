"""Views: where an engine value lies in memory.  Moving dimensions about costs nothing.

A view is a buffer, an offset and strides (all in elements).  Transpose, slice, expand and most
reshapes make another view; kernels read any strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod

from ..dtype import DType
from ..graph.stored import Entry


class Kind(Enum):
    """Who owns a buffer's memory."""

    ARENA = "arena"
    CONSTANT = "constant"
    INPUT = "input"
    OUTPUT = "output"


@dataclass(slots=True, eq=False)
class Buffer:
    """One piece of memory of a plan.

    Attributes:
        kind: who owns it.
        nbytes: its size.
        name: of the graph input or output; for the arena the value it was made for.
        array: the data of a constant; one in a file is read once a plan turns out to need it.
    """

    kind: Kind
    nbytes: int
    name: str = ""
    array: Entry | None = None


@dataclass(slots=True)  # a frozen one takes three times as long to make
class View:
    """Elements of one buffer, seen as an n-dimensional tensor; units are elements.

    Never changed once made.
    """

    buffer: Buffer
    offset: int
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.numpy.itemsize

    def seen(self, shape: tuple[int, ...], strides: tuple[int, ...]) -> View:
        """Return the same memory with another shape and strides."""
        return View(self.buffer, self.offset, self.dtype, shape, strides)

    def is_row_major(self) -> bool:
        """Whether elements lie one after another in the order of the dimensions."""
        return _packed(self.shape, self.strides, range(len(self.shape)))

    def is_channels_last(self) -> bool:
        """Whether dimension 1 varies fastest with stride 1 (any spacing of the others)."""
        return len(self.shape) > 1 and (self.shape[1] == 1 or self.strides[1] == 1)

    def transpose(self, order: Sequence[int]) -> View:
        """Return the view with its dimensions in another order."""
        return self.seen(tuple(self.shape[i] for i in order), tuple(self.strides[i] for i in order))

    def expand(self, shape: Sequence[int]) -> View:
        """Return the view broadcast to ``shape`` (numpy's rule), repeats having stride 0."""
        extra = len(shape) - len(self.shape)
        strides = [0] * extra
        for have, want, stride in zip(self.shape, shape[extra:], self.strides, strict=True):
            if have != want and have != 1:
                raise ValueError(f"{self.shape} does not broadcast to {tuple(shape)}")
            strides.append(0 if have == 1 and want != 1 else stride)
        return self.seen(tuple(shape), tuple(strides))

    def slice(self, axis: int, start: int, length: int, step: int = 1) -> View:
        """Return ``length`` elements along ``axis`` from ``start``, ``step`` apart (may be < 0)."""
        shape, strides = list(self.shape), list(self.strides)
        shape[axis] = length
        offset = self.offset + (start * strides[axis] if length else 0)
        strides[axis] *= step
        return View(self.buffer, offset, self.dtype, tuple(shape), tuple(strides))

    def insert(self, axis: int) -> View:
        """Return the view with a dimension of size 1 before ``axis``."""
        shape, strides = list(self.shape), list(self.strides)
        shape.insert(axis, 1)
        strides.insert(axis, 0)
        return self.seen(tuple(shape), tuple(strides))

    def reshape(self, shape: Sequence[int]) -> View | None:
        """Return the view with another shape, or None where that takes a copy."""
        strides = reshape_strides(self.shape, self.strides, shape)
        if strides is None:
            return None
        return self.seen(tuple(shape), strides)

    def astype(self, dtype: DType) -> View:
        """Return the same bits under another type of the same size."""
        return View(self.buffer, self.offset, dtype, self.shape, self.strides)


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a contiguous tensor."""
    return strides_in_order(shape, range(len(shape)))


def channels_last(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a tensor stored N, spatial..., C."""
    rank = len(shape)
    return strides_in_order(shape, [0, *range(2, rank), 1] if rank > 2 else range(rank))


def strides_in_order(shape: Sequence[int], order: Sequence[int]) -> tuple[int, ...]:
    """Return contiguous strides when dimensions are stored in ``order``, outermost first."""
    strides = [0] * len(shape)
    step = 1
    for axis in reversed(list(order)):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def storage_order(shape: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Return the dimensions from outermost to innermost in memory; size-1 ones keep place."""
    order = list(range(len(shape)))
    real = [i for i in order if shape[i] != 1 and strides[i] != 0]
    ranked = iter(sorted(real, key=lambda i: (-abs(strides[i]), i)))
    return [next(ranked) if i in real else i for i in order]


def _packed(shape: Sequence[int], strides: Sequence[int], order: Sequence[int]) -> bool:
    step = 1
    for axis in reversed(list(order)):
        if shape[axis] == 0:
            return True
        if shape[axis] != 1 and strides[axis] != step:
            return False
        step *= shape[axis]
    return True


def reshape_strides(
    old: Sequence[int], strides: Sequence[int], new: Sequence[int]
) -> tuple[int, ...] | None:
    """Return strides that show the same elements in shape ``new``, or None if none can."""
    if prod(old) == 0:
        return row_major(new)
    runs: list[list[int]] = []  # [elements, stride of the innermost]
    for size, stride in zip(old, strides, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][1] == stride * size:
            runs[-1] = [runs[-1][0] * size, stride]
        else:
            runs.append([size, stride])
    result = [0] * len(new)
    axis = len(new) - 1
    for count, stride in reversed(runs):
        left, step = count, stride
        while left > 1:
            if axis < 0 or left % new[axis]:
                return None
            result[axis] = step
            step *= new[axis]
            left //= new[axis]
            axis -= 1
    return tuple(result)


def collapse(views: Sequence[View | None]) -> list[View | None]:
    """Drop, order and merge dimensions so that a loop over them is short and its inside long.

    All views must have the shape of the last one, the output, whose storage order rules.
    """
    out = views[-1]
    assert out is not None
    given = [view for view in views if view is not None]
    dims = [i for i in range(len(out.shape)) if out.shape[i] != 1]
    dims.sort(key=lambda i: (-abs(out.strides[i]), i))
    shape: list[int] = []
    steps: list[list[int]] = []
    for i in dims:
        size, stride = out.shape[i], [view.strides[i] for view in given]
        if steps and all(a == b * size for a, b in zip(steps[-1], stride, strict=True)):
            shape[-1] *= size
            steps[-1] = stride
        else:
            shape.append(size)
            steps.append(stride)
    found = iter(
        view.seen(tuple(shape), tuple(step[n] for step in steps)) for n, view in enumerate(given)
    )
    return [None if view is None else next(found) for view in views]
