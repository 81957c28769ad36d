"""Shape rules of operators that make tensors, quantize them, or keep a state."""

from __future__ import annotations

from math import prod

import numpy as np

from ...backend.reference.common import axis_of, scalar
from ...backend.reference.generate import constant as make_constant
from ...backend.reference.generate import range_length
from ...backend.reference.quantize import quantized_dtype
from ...dtype import DType
from ...errors import ShapeError
from ..graph import Array, Attribute
from .common import FLOATS, contents, require, require_type, result, same_type
from .registry import Info, rule


def dtype_of(number: int) -> DType:
    """Return an element type by its number.

    Raises:
        ShapeError: if there is none.
    """
    try:
        return DType(number)
    except ValueError:
        raise ShapeError(f"element type {number} is unknown") from None


@rule("Constant")
def constant(**attributes: Attribute) -> Info:
    """The value itself."""
    value = make_constant(**attributes)
    return Info(DType.of(value.dtype), value.shape, value)


@rule("ConstantOfShape")
def constant_of_shape(input: Info, *, value: Array | None) -> Info:
    """The wanted shape."""
    kind = DType.FLOAT32 if value is None else DType.of(value.dtype)
    require(value is None or value.size == 1, "the value of ConstantOfShape must be one number")
    return result(kind, contents(input, "input"))


@rule("Shape")
def shape(data: Info, *, start: int, end: int | None) -> Info:
    """A vector that is always known."""
    dims = np.array(data.dims[start:end], np.int64)
    return Info(DType.INT64, dims.shape, dims)


@rule("Size")
def size(data: Info) -> Info:
    """A number that is always known."""
    return Info(DType.INT64, (), np.array(prod(data.dims), np.int64))


@rule("Range")
def range_(start: Info, limit: Info, delta: Info, *, stash_type: int) -> Info:
    """As long as the numbers say."""
    first, last, step = (scalar(i.need(), "an input of Range") for i in (start, limit, delta))
    return result(same_type(start, limit, delta), (range_length(first, last, step),))


@rule("EyeLike")
def eye_like(input: Info, *, dtype: int | None, k: int) -> Info:
    """The input's shape."""
    require(input.rank == 2, f"rank 2 is needed, not {input.rank}")
    return result(input.dtype if dtype is None else dtype_of(dtype), input.dims)


@rule("HannWindow", "HammingWindow", "BlackmanWindow")
def window(size: Info, *, output_datatype: int, periodic: int) -> Info:
    """A vector of the wanted size."""
    return result(dtype_of(output_datatype), (int(scalar(size.need(), "size")),))


@rule("MelWeightMatrix")
def mel_weight_matrix(
    num_mel_bins: Info,
    dft_length: Info,
    sample_rate: Info,
    lower_edge_hertz: Info,
    upper_edge_hertz: Info,
    *,
    output_datatype: int,
) -> Info:
    """Frequencies by bins."""
    bins = int(scalar(num_mel_bins.need(), "num_mel_bins"))
    length = int(scalar(dft_length.need(), "dft_length"))
    return result(dtype_of(output_datatype), (length // 2 + 1, bins))


@rule("OneHot")
def one_hot(indices: Info, depth: Info, values: Info, *, axis: int) -> Info:
    """The indices' shape with a new axis."""
    place = axis_of(axis, indices.rank + 1)
    count = int(scalar(depth.need(), "depth"))
    require(values.dims == (2,), f"values must have shape [2], not {list(values.dims)}")
    return result(values.dtype, (*indices.dims[:place], count, *indices.dims[place:]))


def _granular(x: Info, scale: Info, zero: Info | None, axis: int, block_size: int) -> None:
    """Check that scales and zero points fit a tensor."""
    if zero is not None and zero.dims != scale.dims and prod((*zero.dims, *scale.dims)) != 1:
        raise ShapeError(f"scale {list(scale.dims)} and zero point {list(zero.dims)} differ")
    if scale.dims == () or (scale.dims == (1,) and not block_size):
        return
    axis = axis_of(axis, x.rank)
    wanted: tuple[int, ...] = (x.dims[axis],)
    if block_size:
        require(block_size > 0, f"block_size {block_size} must be positive")
        wanted = (*x.dims[:axis], -(-x.dims[axis] // block_size), *x.dims[axis + 1 :])
    if scale.dims != wanted:
        raise ShapeError(
            f"a scale of shape {list(scale.dims)} does not fit axis {axis} of {list(x.dims)}"
        )


@rule("QuantizeLinear")
def quantize_linear(
    x: Info,
    y_scale: Info,
    y_zero_point: Info | None = None,
    *,
    axis: int,
    block_size: int,
    output_dtype: int,
    precision: int,
    saturate: int,
) -> Info:
    """The input's shape, the zero point's type."""
    _granular(x, y_scale, y_zero_point, axis, block_size)
    require_type(x, FLOATS | {DType.INT32}, "the input")
    if output_dtype:
        dtype_of(output_dtype)
    kind = quantized_dtype(None if y_zero_point is None else y_zero_point.dtype, output_dtype)
    return result(kind, x.dims)


@rule("DequantizeLinear")
def dequantize_linear(
    x: Info,
    x_scale: Info,
    x_zero_point: Info | None = None,
    *,
    axis: int,
    block_size: int,
    output_dtype: int,
) -> Info:
    """The input's shape, the scale's type."""
    same_type(x, x_zero_point)
    _granular(x, x_scale, x_zero_point, axis, block_size)
    return result(dtype_of(output_dtype) if output_dtype else x_scale.dtype, x.dims)


@rule("DynamicQuantizeLinear")
def dynamic_quantize_linear(x: Info) -> tuple[Info, Info, Info]:
    """uint8, with a scale and a zero point."""
    require_type(x, (DType.FLOAT32,), "the input")
    return result(DType.UINT8, x.dims), result(DType.FLOAT32, ()), result(DType.UINT8, ())


def _recurrent(
    X: Info,
    W: Info,
    R: Info,
    B: Info | None,
    sequence_lens: Info | None,
    states: tuple[Info | None, ...],
    gates: int,
    direction: str,
    layout: int,
) -> tuple[Info, Info]:
    """Check a recurrent operator; return what Y and one state look like."""
    kind = same_type(X, W, R, B, *states)
    require(X.rank == 3, f"X must have rank 3, not {X.rank}")
    time, batch = (X.dims[1], X.dims[0]) if layout else X.dims[:2]
    sides = 2 if direction == "bidirectional" else 1
    require(direction in ("forward", "reverse", "bidirectional"), f"direction {direction!r}?")
    require(R.rank == 3, f"R must have rank 3, not {R.rank}")
    hidden = R.dims[2]
    wanted = [
        ("W", W, (sides, gates * hidden, X.dims[2])),
        ("R", R, (sides, gates * hidden, hidden)),
        ("B", B, (sides, 2 * gates * hidden)),
        ("sequence_lens", sequence_lens, (batch,)),
    ]
    state = (batch, sides, hidden) if layout else (sides, batch, hidden)
    wanted += [("an initial state", s, state) for s in states]
    for what, info, dims in wanted:
        if info is not None and info.dims != dims:
            raise ShapeError(f"{what} must have shape {list(dims)}, not {list(info.dims)}")
    shape = (batch, time, sides, hidden) if layout else (time, sides, batch, hidden)
    return result(kind, shape), result(kind, state)


@rule("LSTM")
def lstm(
    X: Info,
    W: Info,
    R: Info,
    B: Info | None = None,
    sequence_lens: Info | None = None,
    initial_h: Info | None = None,
    initial_c: Info | None = None,
    P: Info | None = None,
    *,
    direction: str,
    layout: int,
    **_: Attribute,
) -> tuple[Info, ...]:
    """All hidden states, the last one, the last cell state."""
    states = (initial_h, initial_c)
    Y, state = _recurrent(X, W, R, B, sequence_lens, states, 4, direction, layout)
    if P is not None and P.dims != (R.dims[0], 3 * R.dims[2]):
        raise ShapeError(f"P {list(P.dims)} does not fit R {list(R.dims)}")
    return Y, state, state


@rule("GRU")
def gru(
    X: Info,
    W: Info,
    R: Info,
    B: Info | None = None,
    sequence_lens: Info | None = None,
    initial_h: Info | None = None,
    *,
    direction: str,
    layout: int,
    **_: Attribute,
) -> tuple[Info, ...]:
    """All hidden states and the last one."""
    return _recurrent(X, W, R, B, sequence_lens, (initial_h,), 3, direction, layout)


@rule("RNN")
def rnn(
    X: Info,
    W: Info,
    R: Info,
    B: Info | None = None,
    sequence_lens: Info | None = None,
    initial_h: Info | None = None,
    *,
    direction: str,
    layout: int,
    **_: Attribute,
) -> tuple[Info, ...]:
    """All hidden states and the last one."""
    return _recurrent(X, W, R, B, sequence_lens, (initial_h,), 1, direction, layout)
