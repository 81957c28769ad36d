"""Rows that would meet in the same sets of the L1 cache are laid a cache line further apart.

Rows of floats a multiple of 4096 bytes apart drive each other out while a product reads 14 of them,
so that its kernel copies them first (libcore's ``product.c``): 4 % of a product of k 3072 (Zen 5).
What products alone write and read can have other strides.  The bytes of results are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import prod

from .steps import Record, Step, views_of
from .view import Buffer, Kind, View

_ROWS = (0, 3, 4)  #: operands of gemm_f32 that are rows: left, residual, result
_COLLISION = 4096  #: bytes
_LINE = 64


def spaced(steps: Sequence[Step], results: Collection[Buffer]) -> list[Step]:
    """Return the steps with such values of products spaced out.

    Args:
        steps: of a plan, in order.
        results: memory that is read after the last step.
    """
    fixed = {id(buffer) for buffer in results}
    read: dict[int, int] = {}  # buffers that products read from the left; floats per row
    for step in steps:
        if not isinstance(step, Record) or step.kernel != "gemm_f32":
            fixed.update(id(view.buffer) for view in views_of(step))
            continue
        for at, view in enumerate(step.operands):
            if view is None:
                continue
            width = read.get(id(view.buffer), view.shape[-1])
            if at not in _ROWS or width != view.shape[-1] or not _collides(view):
                fixed.add(id(view.buffer))
            elif at == 0:
                read[id(view.buffer)] = width
    wider: dict[int, Buffer] = {}
    for step in steps:
        for view in views_of(step):
            key = id(view.buffer)
            if key in read and key not in fixed and key not in wider:
                nbytes = prod(view.shape[:-1]) * (view.shape[-1] * view.itemsize + _LINE)
                wider[key] = replace(view.buffer, nbytes=nbytes)
    return [_moved(step, wider) for step in steps] if wider else list(steps)


def _collides(view: View) -> bool:
    """Whether a view is all of a buffer of the arena, in rows that collide."""
    row = view.shape[-1] * view.itemsize
    whole = view.offset == 0 and view.size * view.itemsize == view.buffer.nbytes
    inside = view.buffer.kind is Kind.ARENA and view.is_row_major() and len(view.shape) == 3
    return inside and whole and row > 0 and row % _COLLISION == 0


def _moved(step: Step, wider: dict[int, Buffer]) -> Step:
    """Return a step whose operands lie in the wider buffers."""
    if not isinstance(step, Record) or not any(id(v.buffer) in wider for v in views_of(step)):
        return step
    operands = [_spread(view, wider) for view in step.operands]
    return replace(step, operands=tuple(operands))


def _spread(view: View | None, wider: dict[int, Buffer]) -> View | None:
    if view is None or id(view.buffer) not in wider:
        return view
    step = view.shape[-1] + _LINE // view.itemsize
    strides = (view.shape[1] * step, step, 1)
    return View(wider[id(view.buffer)], 0, view.dtype, view.shape, strides)
