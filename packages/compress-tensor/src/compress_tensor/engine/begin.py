"""Conversions are done by the kernel that reads, finds or moves what they make.

Rows that one int8 product alone reads are quantized by its kernel, as it takes them; codes that a
look-up finds become floats as it writes them, and floats codes; what is copied after a conversion
is converted into its place.  They are the same bytes as those of two records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from ..dtype import DType
from .chains import BYTES, grid_of
from .steps import Record, Step, uses_of, views_of
from .view import Buffer, Kind, View, collapse

_EPILOGUE = 8  #: arguments of gemm_s8 before those of the grid
_BACK = 4  #: how many steps back a conversion is looked for


def begun(steps: Sequence[Step], results: Collection[Buffer]) -> list[Step]:
    """Return the steps with such conversions taken over by the step before or behind.

    Args:
        steps: of a plan, in order.
        results: memory that is read after the last step.
    """
    uses = uses_of(steps, results)
    found: list[Step] = []
    for step in steps:
        last = _joined(found, step, uses)
        while last is not step:  # it may go together with one more
            step, last = last, _joined(found, last, uses)
        found.append(step)
    return found


def _joined(found: list[Step], step: Step, uses: Counter[int]) -> Step:
    """Return a step together with one of the last, which is taken away; or the step."""
    for back in range(1, min(len(found), _BACK) + 1):
        made = _together(found[-back], step, uses)
        if made is not None and not _touched(found[-back], found[len(found) - back + 1 :]):
            del found[-back]
            return made
    return step


def _touched(first: Step, between: Sequence[Step]) -> bool:
    """Whether a step between may write what the first one reads."""
    read = {id(view.buffer) for view in views_of(first)}
    return any(id(view.buffer) in read for step in between for view in views_of(step))


def _together(first: Step, second: Step, uses: Counter[int]) -> Record | None:
    """Return both steps as one record, in the place of the second, or None."""
    if not isinstance(first, Record) or not isinstance(second, Record):
        return None
    if first.kernel == "quantize_linear" and second.kernel == "gemm_s8":
        return _product(first, second, uses)
    if first.kernel == "quantize_linear" and second.kernel == "gather":
        return _codes_found(first, second, uses)
    if first.kernel == "gather" and second.kernel == "dequantize_linear":
        return _floats_found(first, second, uses)
    if first.kernel in ("quantize_linear", "dequantize_linear") and second.kernel == "copy":
        return _copied(first, second, uses)
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
    if floats is None and len(codes.shape) == 3 and rows.shape[0] == 1:  # rows of two dims
        in_two = rows.reshape(codes.shape)
        floats = None if in_two is None else _shown(x, codes, in_two)
    if floats is None or (floats.shape[-1] > 1 and floats.strides[-1] != 1):
        return None
    if any(view.buffer is x.buffer for view in views_of(second)):
        return None  # a result there would be written before all rows are read
    scale, zero = grid
    args = (*second.args[:_EPILOGUE], scale, int(zero), *second.args[_EPILOGUE:])
    return replace(second, operands=(floats, *second.operands[1:]), args=args)


def _codes_found(first: Record, second: Record, uses: Counter[int]) -> Record | None:
    grid, data = grid_of(first), second.operands[0]
    x, codes = first.operands[0], first.operands[-1]
    if grid is None or data is None or x is None or codes is None or codes.dtype not in BYTES:
        return None
    floats = _shown(x, codes, data) if _passes(codes, data, second, uses) else None
    if floats is None or any(view.buffer is x.buffer for view in views_of(second)):
        return None
    return _converts(second, (floats, *second.operands[1:]), grid)


def _floats_found(first: Record, second: Record, uses: Counter[int]) -> Record | None:
    grid, codes = grid_of(second), first.operands[2]
    source, target = second.operands[0], second.operands[-1]
    if grid is None or codes is None or source is None or target is None:
        return None
    if len(first.args) > 1 or codes.dtype not in BYTES:
        return None
    floats = _shown(target, source, codes) if _passes(codes, source, second, uses) else None
    if floats is None or any(view.buffer is target.buffer for view in views_of(first)):
        return None
    return _converts(first, (*first.operands[:2], floats), grid)


def _converts(
    gather: Record, operands: tuple[View | None, ...], grid: tuple[float, float]
) -> Record:
    scale, zero = grid
    return replace(gather, operands=operands, args=(*gather.args, scale, int(zero)))


def _copied(first: Record, second: Record, uses: Counter[int]) -> Record | None:
    """A conversion writes where its result would have been copied to."""
    source, target = second.operands[0], second.operands[-1]
    given, made = first.operands[0], first.operands[-1]
    if grid_of(first) is None or source is None or target is None or given is None or made is None:
        return None
    if source.dtype is not target.dtype or target.buffer is given.buffer:
        return None
    shown = _shown(given, made, source) if _passes(made, source, second, uses) else None
    if shown is None:
        return None
    parts = [
        view and View(view.buffer, view.offset, view.dtype, source.shape, (0,) * len(source.shape))
        for view in first.operands[1:-1]
    ]
    operands = collapse((shown, *parts, target))
    wide = tuple(view for view in operands if view is not None)
    return replace(first, operands=tuple(operands), wide=wide)


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
    if _dims(other) == _dims(as_it_was):  # laid out alike: whatever is seen of one is of both
        strides = wanted.strides
    elif _dims(wanted) == _dims(as_it_was):
        steps = iter(step for _, step in _dims(other))
        strides = tuple(next(steps) if n > 1 else 0 for n in wanted.shape)
    else:
        return None
    return View(other.buffer, other.offset, other.dtype, wanted.shape, strides)


def _dims(view: View) -> list[tuple[int, int]]:
    """Return size and stride of the dimensions of more than one element."""
    return [(n, step) for n, step in zip(view.shape, view.strides, strict=True) if n > 1]
