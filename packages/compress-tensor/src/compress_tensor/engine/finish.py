"""A function of a product's results alone is computed by the kernel that makes them.

Activations of floats (``unary_f32``) and tables of codes (``lut_u8``) that directly follow a
product or convolution become its last arguments (libcore's ``after.h``): results go through them
while they are in the cache.  They are the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from ..dtype import DType
from .steps import Record, Step, uses_of
from .view import Buffer, Kind, View

#: where a kernel's result stands among its operands
_RESULTS = {
    "gemm_f32": 4,
    "conv_f32": 4,
    "depthwise_f32": 3,
    "gemm_s8": 5,
    "conv_s8": 5,
    "depthwise_s8": 4,
}


def finished(steps: Sequence[Step], results: Collection[Buffer]) -> list[Step]:
    """Return the steps with such functions taken over by the step before.

    Args:
        steps: of a plan, in order.
        results: memory that is read after the last step.
    """
    uses = uses_of(steps, results)
    found: list[Step] = []
    taken = True  # what the last step found can take no more
    for step in steps:
        made = None if taken else _together(found[-1], step, uses)
        taken = made is not None
        if made is None:
            found.append(step)
        else:
            found[-1] = made
    return found


def result_of(record: Record) -> View | None:
    """Return what a record makes; of several, the last."""
    return record.operands[_RESULTS.get(record.kernel, -1)]


def _together(first: Step, second: Step, uses: Counter[int]) -> Record | None:
    """Return both steps as one record, or None."""
    if not isinstance(first, Record) or not isinstance(second, Record):
        return None
    where = _RESULTS.get(first.kernel)
    made = None if where is None else first.operands[where]
    if where is None or made is None or second.kernel not in _functions(made):
        return None
    source, *table, target = second.operands
    assert source is not None
    assert target is not None
    same = source.buffer is made.buffer and source.offset == made.offset
    if not same or source.size != made.size or not _fills(made):
        return None
    if not source.is_row_major() or len(source.shape) != 1 or target.strides != source.strides:
        return None  # in another order, or with gaps
    if target.buffer is not made.buffer:
        if made.buffer.kind is not Kind.ARENA or uses[id(made.buffer)] != 2:
            return None  # somebody else reads what the function reads
        if any(view is not None and view.buffer is target.buffer for view in first.operands):
            return None
    elif target.offset != made.offset:
        return None
    out = View(target.buffer, target.offset, made.dtype, made.shape, made.strides)
    operands = (*first.operands[:where], out, *first.operands[where + 1 :], *table)
    return replace(first, operands=operands, args=(*first.args, *second.args))


def _functions(made: View) -> tuple[str, ...]:
    """Return the kernels that a kernel can take over which makes a result of this type."""
    if made.dtype is DType.FLOAT32:
        return ("unary_f32",)
    return ("lut_u8",) if made.itemsize == 1 else ()


def _fills(view: View) -> bool:
    """Whether the elements lie without gaps from the first on, in any order."""
    expected = 1
    for stride, size in sorted(zip(view.strides, view.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True
