"""Shape rules of pooling and normalisation."""

from __future__ import annotations

from ...backend.reference.pool import unpooled_shape
from ...backend.reference.spatial import windows
from ...dtype import DType
from ...errors import ShapeError
from ..graph import Attribute
from .common import (
    FLOATS,
    INDICES,
    NUMBERS,
    broadcast_shapes,
    length,
    require,
    require_type,
    result,
    same_type,
)
from .registry import Info, rule


def _pooled(
    X: Info,
    kernel_shape: list[int],
    auto_pad: str,
    ceil_mode: int,
    dilations: list[int] | None,
    pads: list[int] | None,
    strides: list[int] | None,
) -> tuple[int, ...]:
    require(X.rank >= 3, f"pooling needs an input of rank 3 or more, not {X.rank}")
    if len(kernel_shape) != X.rank - 2:
        raise ShapeError(f"kernel_shape {kernel_shape} does not fit {list(X.dims)}")
    axes = windows(X.dims[2:], kernel_shape, strides, pads, dilations, auto_pad, ceil_mode)
    return (*X.dims[:2], *(a.output for a in axes))


@rule("MaxPool")
def max_pool(
    X: Info,
    *,
    kernel_shape: list[int],
    auto_pad: str,
    ceil_mode: int,
    dilations: list[int] | None,
    pads: list[int] | None,
    storage_order: int,
    strides: list[int] | None,
) -> tuple[Info, Info]:
    """Windows' maxima and their places."""
    require_type(X, NUMBERS, "the input")
    shape = _pooled(X, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    return result(X.dtype, shape), result(DType.INT64, shape)


@rule("AveragePool")
def average_pool(
    X: Info,
    *,
    kernel_shape: list[int],
    auto_pad: str,
    ceil_mode: int,
    count_include_pad: int,
    dilations: list[int] | None,
    pads: list[int] | None,
    strides: list[int] | None,
) -> Info:
    """Windows' means."""
    require_type(X, FLOATS, "the input")
    shape = _pooled(X, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    return result(X.dtype, shape)


@rule("LpPool")
def lp_pool(
    X: Info,
    *,
    kernel_shape: list[int],
    auto_pad: str,
    ceil_mode: int,
    dilations: list[int] | None,
    p: int,
    pads: list[int] | None,
    strides: list[int] | None,
) -> Info:
    """Windows' norms."""
    require_type(X, FLOATS, "the input")
    shape = _pooled(X, kernel_shape, auto_pad, ceil_mode, dilations, pads, strides)
    return result(X.dtype, shape)


@rule("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(X: Info, **_: Attribute) -> Info:
    """One number per plane."""
    require_type(X, FLOATS, "the input")
    require(X.rank >= 2, f"global pooling needs an input of rank 2 or more, not {X.rank}")
    return result(X.dtype, (*X.dims[:2], *[1] * (X.rank - 2)))


@rule("MaxUnpool")
def max_unpool(
    X: Info,
    I: Info,  # noqa: E741
    output_shape: Info | None = None,
    *,
    kernel_shape: list[int],
    pads: list[int] | None,
    strides: list[int] | None,
) -> Info:
    """The shape before the pooling, as computed or as wanted."""
    require(X.dims == I.dims and X.rank >= 3, "values and places must have one shape")
    require_type(I, INDICES, "the places")
    shape = unpooled_shape(X.dims, kernel_shape, pads, strides)
    if output_shape is not None:
        wanted = [int(n) for n in output_shape.need().reshape(-1)]
        if len(wanted) != len(shape) or any(w < n for w, n in zip(wanted, shape, strict=True)):
            raise ShapeError(f"output_shape {wanted} is smaller than {shape}")
        shape = wanted
    return result(X.dtype, shape)


@rule("BatchNormalization")
def batch_normalization(
    X: Info,
    scale: Info,
    B: Info,
    input_mean: Info,
    input_var: Info,
    *,
    epsilon: float,
    momentum: float,
    training_mode: int,
) -> tuple[Info, ...]:
    """The input's shape; statistics per channel."""
    require(X.rank >= 1, "BatchNormalization of a scalar is not defined")
    require_type(X, FLOATS, "the input")
    channels = X.dims[1] if X.rank > 1 else 1
    parts = (("scale", scale), ("B", B), ("input_mean", input_mean), ("input_var", input_var))
    for what, info in parts:
        require_type(info, FLOATS, what)
        length(info, channels, what)
    first = result(X.dtype, X.dims)
    if not training_mode:
        return (first,)
    return (
        first,
        result(input_mean.dtype, input_mean.dims),
        result(input_var.dtype, input_var.dims),
    )


@rule("InstanceNormalization")
def instance_normalization(input: Info, scale: Info, B: Info, *, epsilon: float) -> Info:
    """The input's shape."""
    kind = same_type(input, scale, B)
    require(input.rank >= 3, f"rank 3 or more is needed, not {input.rank}")
    length(scale, input.dims[1], "scale")
    length(B, input.dims[1], "B")
    return result(kind, input.dims)


@rule("GroupNormalization")
def group_normalization(
    X: Info, scale: Info, bias: Info, *, num_groups: int, epsilon: float, stash_type: int
) -> Info:
    """The input's shape."""
    kind = same_type(X, scale, bias)
    require(X.rank >= 2, f"rank 2 or more is needed, not {X.rank}")
    if num_groups < 1 or X.dims[1] % num_groups:
        raise ShapeError(f"{X.dims[1]} channels do not divide into {num_groups} groups")
    for what, info in (("scale", scale), ("bias", bias)):
        if info.dims not in ((X.dims[1],), (num_groups,)):
            raise ShapeError(f"{what} {list(info.dims)} does not fit {list(X.dims)}")
    return result(kind, X.dims)


def _layer(X: Info, axis: int, *others: Info | None) -> int:
    """Check inputs of a layer normalisation and return its first axis."""
    if not -X.rank <= axis < X.rank:
        raise ShapeError(f"axis {axis} is outside of a tensor of rank {X.rank}")
    require_type(X, FLOATS, "the input")
    for other in others:
        if other is not None:
            require_type(other, FLOATS, "scale and bias")
            if broadcast_shapes(X.dims, other.dims) != X.dims:
                raise ShapeError(f"{list(other.dims)} does not broadcast to {list(X.dims)}")
    return axis % X.rank


@rule("LayerNormalization")
def layer_normalization(
    X: Info,
    Scale: Info,
    B: Info | None = None,
    *,
    axis: int,
    epsilon: float,
    stash_type: int,
) -> tuple[Info, Info, Info]:
    """The input's shape; statistics over all axes from ``axis`` on."""
    first = _layer(X, axis, Scale, B)
    short = (*X.dims[:first], *[1] * (X.rank - first))
    require(stash_type in FLOATS, f"stash_type {stash_type} is no float")
    stash = result(DType(stash_type), short)
    return result(X.dtype, X.dims), stash, stash


@rule("RMSNormalization")
def rms_normalization(X: Info, scale: Info, *, axis: int, epsilon: float, stash_type: int) -> Info:
    """The input's shape, the scale's type."""
    _layer(X, axis, scale)
    return result(scale.dtype, X.dims)


@rule("LpNormalization")
def lp_normalization(input: Info, *, axis: int, p: int) -> Info:
    """The input's shape."""
    _layer(input, axis)
    require(p in (1, 2), f"p must be 1 or 2, not {p}")
    return result(input.dtype, input.dims)


@rule("LRN")
def lrn(X: Info, *, size: int, alpha: float, beta: float, bias: float) -> Info:
    """The input's shape."""
    require_type(X, FLOATS, "the input")
    require(X.rank >= 2, f"rank 2 or more is needed, not {X.rank}")
    require(0 < size < 1 << 20, f"size {size} must be positive and small")
    return result(X.dtype, X.dims)


@rule("MeanVarianceNormalization")
def mean_variance_normalization(X: Info, *, axes: list[int] | None) -> Info:
    """The input's shape."""
    require_type(X, FLOATS, "the input")
    over = axes if axes is not None else [0, 2, 3]
    for axis in over:
        require(-X.rank <= axis < X.rank, f"axis {axis} is outside of rank {X.rank}")
    return result(X.dtype, X.dims)
