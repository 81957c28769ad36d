"""Shape rules of matrix products and convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from ...backend.reference.spatial import transposed, windows
from ...dtype import DType
from ...errors import ShapeError
from .common import (
    FLOATS,
    broadcast_shapes,
    length,
    require,
    require_type,
    result,
    same_type,
)
from .registry import Info, rule


def product_shape(a: Sequence[int], b: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of numpy.matmul.

    Raises:
        ShapeError: if the shapes do not fit.
    """
    require(bool(a) and bool(b), "a matrix product of a scalar is not defined")
    left = (1, *a) if len(a) == 1 else tuple(a)
    right = (*b, 1) if len(b) == 1 else tuple(b)
    if left[-1] != right[-2]:
        raise ShapeError(f"matrices {list(a)} and {list(b)} do not fit")
    batch = broadcast_shapes(left[:-2], right[:-2]) if len(left) + len(right) > 4 else ()
    rows = left[-2:-1] if len(a) > 1 else ()
    columns = right[-1:] if len(b) > 1 else ()
    return (*batch, *rows, *columns)


@rule("MatMul")
def matmul(A: Info, B: Info) -> Info:
    """The product of two matrices."""
    return result(same_type(A, B), product_shape(A.dims, B.dims))


@rule("Gemm")
def gemm(
    A: Info,
    B: Info,
    C: Info | None = None,
    *,
    alpha: float,
    beta: float,
    transA: int,
    transB: int,
) -> Info:
    """The product of two matrices plus a third."""
    kind = same_type(A, B, C)
    require(A.rank == 2 and B.rank == 2, f"Gemm needs matrices, not ranks {A.rank}, {B.rank}")
    a = A.dims[::-1] if transA else A.dims
    b = B.dims[::-1] if transB else B.dims
    shape = product_shape(a, b)
    if C is not None and broadcast_shapes(shape, C.dims) != shape:
        raise ShapeError(f"C {list(C.dims)} does not broadcast to {list(shape)}")
    return result(kind, shape)


_BYTES = frozenset({DType.INT8, DType.UINT8})


def _quantized(x: Info | None, scale: Info, zero: Info, channels: tuple[int, ...]) -> None:
    """Check an 8-bit operand, its scale and its zero point: for all, or for each channel."""
    same_type(*(info for info in (x, zero) if info is not None))
    require_type(zero, _BYTES, "a quantized operand")
    require_type(scale, FLOATS, "a scale")
    for info in (scale, zero):
        if info.dims not in ((), (1,), channels):
            raise ShapeError(f"a scale or zero point of shape {list(info.dims)} does not fit")


@rule("MatMulInteger")
def matmul_integer(
    A: Info, B: Info, a_zero_point: Info | None = None, b_zero_point: Info | None = None
) -> Info:
    """The product of 8-bit matrices is int32."""
    for left, zero in ((A, a_zero_point), (B, b_zero_point)):
        require_type(left, _BYTES, "an operand")
        same_type(left, zero)
    return result(DType.INT32, product_shape(A.dims, B.dims))


@rule("QLinearMatMul")
def qlinear_matmul(
    a: Info,
    a_scale: Info,
    a_zero_point: Info,
    b: Info,
    b_scale: Info,
    b_zero_point: Info,
    y_scale: Info,
    y_zero_point: Info,
) -> Info:
    """The product of quantized matrices has the type of the zero point."""
    _quantized(a, a_scale, a_zero_point, a.dims[-2:-1])
    _quantized(b, b_scale, b_zero_point, b.dims[-1:])
    _quantized(None, y_scale, y_zero_point, ())
    return result(y_zero_point.dtype, product_shape(a.dims, b.dims))


def einsum_shape(equation: str, shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the shape of an Einsum.

    Raises:
        ShapeError: if the equation does not fit the shapes.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ShapeError(f"equation {equation!r} has {len(terms)} terms for {len(shapes)} inputs")
    sizes: dict[str, int] = {}
    dots: tuple[int, ...] = ()
    for term, shape in zip(terms, shapes, strict=True):
        front, ellipsis, back = term.partition("...")
        extra = len(shape) - len(front) - len(back)
        if extra < 0 or (extra and not ellipsis):
            raise ShapeError(f"term {term!r} of {equation!r} does not fit shape {list(shape)}")
        if ellipsis:
            dots = broadcast_shapes(dots, shape[len(front) : len(front) + extra])
        letters = [*zip(front, shape, strict=False)]
        letters += [*zip(back, shape[len(front) + extra :], strict=True)]
        for letter, size in letters:
            known = sizes.setdefault(letter, size)
            if known != size and 1 not in (known, size):
                raise ShapeError(f"{letter!r} in {equation!r} is both {known} and {size}")
            sizes[letter] = max(known, size) if 0 not in (known, size) else 0
    if not arrow:
        once = sorted(c for c in sizes if left.count(c) == 1)
        return (*dots, *(sizes[c] for c in once))
    front, ellipsis, back = right.partition("...")
    if not set(front + back) <= set(sizes):
        raise ShapeError(f"equation {equation!r} has an output that no input names")
    middle = dots if ellipsis else ()
    return (*(sizes[c] for c in front), *middle, *(sizes[c] for c in back))


@rule("Einsum")
def einsum(*Inputs: Info, equation: str) -> Info:
    """The equation names the output's axes."""
    return result(same_type(*Inputs), einsum_shape(equation, [i.dims for i in Inputs]))


@rule("Det")
def det(X: Info) -> Info:
    """One number per square matrix."""
    require_type(X, FLOATS, "the input")
    require(X.rank >= 2 and X.dims[-1] == X.dims[-2], f"{list(X.dims)} are not square matrices")
    return result(X.dtype, X.dims[:-2])


def _conv(
    x: Info,
    w: Info,
    kind: DType,
    group: int,
    kernel_shape: list[int] | None,
    strides: list[int] | None,
    pads: list[int] | None,
    dilations: list[int] | None,
    auto_pad: str,
) -> Info:
    require(x.rank >= 3, f"a convolution needs an input of rank 3 or more, not {x.rank}")
    require(w.rank == x.rank, f"input {list(x.dims)} and weights {list(w.dims)} do not fit")
    if kernel_shape and tuple(kernel_shape) != w.dims[2:]:
        raise ShapeError(f"kernel_shape {kernel_shape} is not that of weights {list(w.dims)}")
    if group < 1 or x.dims[1] != w.dims[1] * group or w.dims[0] % group:
        raise ShapeError(
            f"input {list(x.dims)}, weights {list(w.dims)} and group {group} do not fit"
        )
    axes = windows(x.dims[2:], w.dims[2:], strides, pads, dilations, auto_pad)
    return result(kind, (x.dims[0], w.dims[0], *(a.output for a in axes)))


@rule("Conv")
def conv(
    X: Info,
    W: Info,
    B: Info | None = None,
    *,
    auto_pad: str,
    dilations: list[int] | None,
    group: int,
    kernel_shape: list[int] | None,
    pads: list[int] | None,
    strides: list[int] | None,
) -> Info:
    """A convolution."""
    kind = same_type(X, W, B)
    require_type(X, FLOATS, "the input")
    found = _conv(X, W, kind, group, kernel_shape, strides, pads, dilations, auto_pad)
    length(B, W.dims[0], "the bias")
    return found


@rule("ConvInteger")
def conv_integer(
    x: Info,
    w: Info,
    x_zero_point: Info | None = None,
    w_zero_point: Info | None = None,
    *,
    auto_pad: str,
    dilations: list[int] | None,
    group: int,
    kernel_shape: list[int] | None,
    pads: list[int] | None,
    strides: list[int] | None,
) -> Info:
    """A convolution of 8-bit tensors gives int32."""
    same_type(x, x_zero_point)
    same_type(w, w_zero_point)
    for operand in (x, w):
        require_type(operand, _BYTES, "an operand")
    return _conv(x, w, DType.INT32, group, kernel_shape, strides, pads, dilations, auto_pad)


@rule("QLinearConv")
def qlinear_conv(
    x: Info,
    x_scale: Info,
    x_zero_point: Info,
    w: Info,
    w_scale: Info,
    w_zero_point: Info,
    y_scale: Info,
    y_zero_point: Info,
    B: Info | None = None,
    *,
    auto_pad: str,
    dilations: list[int] | None,
    group: int,
    kernel_shape: list[int] | None,
    pads: list[int] | None,
    strides: list[int] | None,
) -> Info:
    """A convolution of quantized tensors has the type of the zero point."""
    _quantized(x, x_scale, x_zero_point, ())
    _quantized(w, w_scale, w_zero_point, w.dims[:1])
    _quantized(None, y_scale, y_zero_point, ())
    require_type(B, (DType.INT32,), "the bias")
    kind = y_zero_point.dtype
    found = _conv(x, w, kind, group, kernel_shape, strides, pads, dilations, auto_pad)
    length(B, w.dims[0], "the bias")
    return found


@rule("ConvTranspose")
def conv_transpose(
    X: Info,
    W: Info,
    B: Info | None = None,
    *,
    auto_pad: str,
    dilations: list[int] | None,
    group: int,
    kernel_shape: list[int] | None,
    output_padding: list[int] | None,
    output_shape: list[int] | None,
    pads: list[int] | None,
    strides: list[int] | None,
) -> Info:
    """A transposed convolution."""
    kind = same_type(X, W, B)
    require_type(X, FLOATS, "the input")
    require(X.rank >= 3 and W.rank == X.rank, f"{list(X.dims)} and {list(W.dims)} do not fit")
    if group < 1 or X.dims[1] != W.dims[0] or W.dims[0] % group:
        raise ShapeError(
            f"input {list(X.dims)}, weights {list(W.dims)} and group {group} do not fit"
        )
    axes = transposed(
        X.dims[2:],
        W.dims[2:],
        strides,
        pads,
        dilations,
        auto_pad,
        output_padding,
        output_shape,
    )
    length(B, W.dims[1] * group, "the bias")
    return result(kind, (X.dims[0], W.dims[1] * group, *(a.size for a in axes)))


@rule("CausalConvWithState")
def causal_conv_with_state(
    input: Info,
    weight: Info,
    bias: Info | None = None,
    past_state: Info | None = None,
    *,
    activation: str,
) -> tuple[Info, Info]:
    """A depthwise convolution that looks back keeps the shape."""
    kind = same_type(input, weight, bias, past_state)
    require_type(input, FLOATS, "the input")
    require(input.rank == 3 and weight.rank == 3, "input and weight must have rank 3")
    state = (*input.dims[:2], weight.dims[-1] - 1)
    if weight.dims[:2] != (input.dims[1], 1):
        raise ShapeError(f"weight {list(weight.dims)} does not fit {list(input.dims)}")
    if past_state is not None and past_state.dims != state:
        raise ShapeError(f"past_state {list(past_state.dims)} must have shape {list(state)}")
    require(activation in ("none", "silu", "swish"), f"activation {activation!r} is unknown")
    return result(kind, input.dims), result(kind, state)
