"""Products of matrices and convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..dtype import DType
from ..eager import Attributes, run
from ..errors import InputError, ShapeError
from ..promotion import FLOATS
from ..tensor import Tensor
from . import arithmetic as _two
from .operands import arithmetic, float_tensor, meet

Pair = int | Sequence[int]
_WIDE = FLOATS | {DType.INT32, DType.INT64, DType.UINT32, DType.UINT64}


def matmul(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return the product of (stacks of) matrices by numpy's rule; 1-d operands are vectors.

    Integers are exact and wrap; those of fewer than 32 bits are multiplied in int32.
    """
    a, b = meet(a, b)
    kind = arithmetic(a)._dtype
    if kind not in _WIDE:
        a, b = a.astype(DType.INT32), b.astype(DType.INT32)
    found = run("MatMul", (a, b)).astype(kind)
    return found if out is None else _two.store(found, out)


def linear(x: Any, weight: Any, bias: Any = None) -> Tensor:
    """Return x W^T + b.

    Args:
        x: (..., inputs).
        weight: (outputs, inputs).
        bias: (outputs,), or None.
    """
    x, weight, bias = _floats(x, weight, bias)
    if weight.ndim != 2 or not x.ndim or x.shape[-1] != weight.shape[1]:
        raise ShapeError(
            f"linear: x of shape {list(x.shape)} does not fit a weight of {list(weight.shape)}; "
            "the last dimensions must agree"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"linear: bias of shape {list(bias.shape)} does not fit {weight.shape[0]} outputs"
        )
    count = x.size // x.shape[-1] if x.shape[-1] else _count(x.shape[:-1])
    rows = x.reshape((count, x.shape[-1]))
    found = run("Gemm", (rows, weight, bias), (("transB", 1),))
    return found.reshape((*x.shape[:-1], weight.shape[0]))


def _count(shape: Sequence[int]) -> int:
    found = 1
    for size in shape:
        found *= size
    return found


def _floats(*values: Any) -> list[Any]:
    """Return operands as floats of one type; None stays."""
    given = [value for value in values if value is not None]
    found = iter([float_tensor(value) for value in meet(*given)])
    return [None if value is None else next(found) for value in values]


def each(value: Pair, rank: int, what: str) -> tuple[int, ...]:
    """Return a number for every spatial dimension, given one or all of them."""
    if isinstance(value, int):
        return (value,) * rank
    found = tuple(int(n) for n in value)
    if len(found) != rank:
        raise InputError(f"{what} has {len(found)} numbers, there are {rank} spatial dimensions")
    return found


def _padding(value: Pair | str, rank: int) -> Attributes:
    if isinstance(value, str):
        modes = {"valid": "VALID", "same": "SAME_UPPER"}
        if value not in modes:
            raise InputError(f"padding must be numbers, 'valid' or 'same', not {value!r}")
        return (("auto_pad", modes[value]),)
    return (("pads", each(value, rank, "padding") * 2),)


def _conv(
    rank: int,
    operands: Sequence[Any],
    stride: Pair,
    padding: Pair | str,
    dilation: Pair,
    groups: int,
) -> Tensor:
    x, weight, bias = _floats(*operands)
    batched = x.ndim == rank + 2
    if not batched and x.ndim != rank + 1:
        raise ShapeError(
            f"conv{rank}d: x must have {rank + 2} dimensions (or {rank + 1} without a batch), "
            f"not shape {list(x.shape)}"
        )
    attributes = (
        ("strides", each(stride, rank, "stride")),
        ("dilations", each(dilation, rank, "dilation")),
        ("group", groups),
        *_padding(padding, rank),
    )
    found = run("Conv", (x if batched else x.unsqueeze(0), weight, bias), attributes)
    return found if batched else found.squeeze(0)


def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Return the convolution of signals (n, c, length) with kernels (out, c / groups, k)."""
    return _conv(1, (x, weight, bias), stride, padding, dilation, groups)


def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Pair = 1,
    padding: Pair | str = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Return the convolution of images (n, c, h, w) with kernels (out, c / groups, kh, kw)."""
    return _conv(2, (x, weight, bias), stride, padding, dilation, groups)


def _transposed(
    rank: int,
    operands: Sequence[Any],
    stride: Pair,
    padding: Pair,
    output_padding: Pair,
    dilation: Pair,
    groups: int,
) -> Tensor:
    x, weight, bias = _floats(*operands)
    attributes = (
        ("strides", each(stride, rank, "stride")),
        ("dilations", each(dilation, rank, "dilation")),
        ("group", groups),
        ("pads", each(padding, rank, "padding") * 2),
        ("output_padding", each(output_padding, rank, "output_padding")),
    )
    return run("ConvTranspose", (x, weight, bias), attributes)


def conv_transpose1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Return the transposed convolution of signals with kernels (c, out / groups, k)."""
    operands = (x, weight, bias)
    return _transposed(1, operands, stride, padding, output_padding, dilation, groups)


def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Return the transposed convolution of images with kernels (c, out / groups, kh, kw)."""
    operands = (x, weight, bias)
    return _transposed(2, operands, stride, padding, output_padding, dilation, groups)


__all__ = [
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "linear",
    "matmul",
]
