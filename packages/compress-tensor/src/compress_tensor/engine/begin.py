"""Codes are made by the kernel that reads them, and floats by the kernel that finds their codes.

Quantized rows that one int8 product alone reads are quantized by its kernel, row by row as it
takes them; codes that a look-up finds become floats as it writes them.  They are the same bytes
as those of two records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from ..dtype import DType
from .chains import grid_of
from .steps import Record, Step, uses_of, views_of
from .view import Buffer, Kind, View

_EPILOGUE = 8  #: arguments of gemm_s8 before those of the grid
_BYTES = (DType.UINT8, DType.INT8)


def begun(steps: Sequence[Step], results: Collection[Buffer]) -> list[Step]:
    """Return the steps with such conversions taken over by the step before or behind.

    Args:
        steps: of a plan, in order.
        results: memory that is read after the last step.
    """
    uses = uses_of(steps, results)
    found: list[Step] = []
    for step in steps:
        made = _together(found[-1], step, uses) if found else None
        if made is None:
            found.append(step)
        else:
            found[-1] = made
    return found


def _together(first: Step, second: Step, uses: Counter[int]) -> Record | None:
    """Return both steps as one record, or None."""
    if not isinstance(first, Record) or not isinstance(second, Record):
        return None
    if first.kernel == "quantize_linear" and second.kernel == "gemm_s8":
        return _product(first, second, uses)
    if first.kernel == "gather" and second.kernel == "dequantize_linear":
        return _look_up(first, second, uses)
    return None


def _product(first: Record, second: Record, uses: Counter[int]) -> Record | None:
    grid, rows = grid_of(first), second.operands[0]
    if grid is None or rows is None:
        return None
    x, codes = first.operands[0], first.operands[-1]
    assert x is not None
    assert codes is not None
    if codes.dtype is not DType.UINT8 or not _passes(codes, rows, second, uses):
        return None
    floats = _shown(x, codes, rows)
    if floats is None or (floats.shape[-1] > 1 and floats.strides[-1] != 1):
        return None
    if any(view.buffer is x.buffer for view in views_of(second)):
        return None  # a result there would be written before all rows are read
    scale, zero = grid
    args = (*second.args[:_EPILOGUE], scale, int(zero), *second.args[_EPILOGUE:])
    return replace(second, operands=(floats, *second.operands[1:]), args=args)


def _look_up(first: Record, second: Record, uses: Counter[int]) -> Record | None:
    grid, codes = grid_of(second), first.operands[2]
    if grid is None or codes is None or codes.dtype not in _BYTES:
        return None
    source, target = second.operands[0], second.operands[-1]
    assert source is not None
    assert target is not None
    if not _passes(codes, source, second, uses):
        return None
    floats = _shown(target, source, codes)
    if floats is None or any(view.buffer is target.buffer for view in views_of(first)):
        return None
    scale, zero = grid
    operands = (*first.operands[:2], floats)
    return replace(
        first, operands=operands, args=(*first.args, scale, int(zero)), label=second.label
    )


def _passes(made: View, read: View, reader: Record, uses: Counter[int]) -> bool:
    """Whether a value that is made goes to one reader alone, whole."""
    buffer = made.buffer
    once = [view for view in views_of(reader) if view.buffer is buffer]
    whole = read.buffer is buffer and read.offset == made.offset and read.size == made.size
    return whole and buffer.kind is Kind.ARENA and uses[id(buffer)] == 2 and len(once) == 1


def _shown(other: View, as_it_was: View, wanted: View) -> View | None:
    """Return ``other``, seen until now element by element beside a view, beside another of that.

    Both ``as_it_was`` and ``wanted`` show the same elements of one buffer.
    """
    if _steps(other) == _steps(as_it_was):  # laid out alike: whatever is seen of one is of both
        strides = wanted.strides
    else:
        seen = [
            (n, step) for n, step in zip(as_it_was.shape, as_it_was.strides, strict=True) if n > 1
        ]
        steps = iter(step for n, step in zip(other.shape, other.strides, strict=True) if n > 1)
        if seen != [(n, s) for n, s in zip(wanted.shape, wanted.strides, strict=True) if n > 1]:
            return None
        strides = tuple(next(steps) if n > 1 else 0 for n in wanted.shape)
    return View(other.buffer, other.offset, other.dtype, wanted.shape, strides)


def _steps(view: View) -> list[int]:
    return [step for n, step in zip(view.shape, view.strides, strict=True) if n > 1]
