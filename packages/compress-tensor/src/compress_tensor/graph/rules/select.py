"""Shape rules of sampling, resizing, choosing and random operators."""

from __future__ import annotations

from math import prod

import numpy as np

from ...backend.reference.common import axis_of, scalar
from ...backend.reference.resize import resized
from ...backend.reference.spatial import windows
from ...codec import decode
from ...dtype import DType
from ...errors import ShapeError
from ..graph import Attribute
from .common import INDICES, broadcast, contents, length, require, require_type, result, same_type
from .generate import dtype_of
from .registry import Info, rule


def _floats(info: Info | None) -> list[float] | None:
    if info is None or info.shape == (0,):
        return None
    return [float(v) for v in decode(info.need()).reshape(-1)]


@rule("Resize")
def resize(
    X: Info,
    roi: Info | None = None,
    scales: Info | None = None,
    sizes: Info | None = None,
    *,
    axes: list[int] | None,
    coordinate_transformation_mode: str,
    keep_aspect_ratio_policy: str,
    mode: str,
    **_: Attribute,
) -> Info:
    """Some lengths change."""
    require(mode in ("nearest", "linear", "cubic"), f"mode {mode!r} is unknown")
    crops = coordinate_transformation_mode == "tf_crop_and_resize"
    wanted = None if sizes is None or sizes.shape == (0,) else contents(sizes, "sizes")
    changed = resized(
        X.dims,
        _floats(roi) if crops else None,
        _floats(scales),
        wanted,
        axes,
        keep_aspect_ratio_policy,
        crops,
    )
    for axis in changed.values():
        require(axis.length > 0 or axis.output == 0, "an empty axis cannot be resized")
    dims = [changed[i].output if i in changed else n for i, n in enumerate(X.dims)]
    return result(X.dtype, dims)


@rule("Upsample")
def upsample(X: Info, scales: Info, *, mode: str) -> Info:
    """Lengths grow."""
    return resize(
        X,
        None,
        scales,
        axes=None,
        coordinate_transformation_mode="asymmetric",
        keep_aspect_ratio_policy="stretch",
        mode=mode,
    )


@rule("TopK")
def top_k(X: Info, K: Info, *, axis: int, largest: int, sorted: int) -> tuple[Info, Info]:
    """K along the axis."""
    axis, count = axis_of(axis, X.rank), int(scalar(K.need(), "K"))
    require(0 <= count <= X.dims[axis], f"K {count} is outside of an axis of {X.dims[axis]}")
    dims = (*X.dims[:axis], count, *X.dims[axis + 1 :])
    return result(X.dtype, dims), result(DType.INT64, dims)


@rule("NonZero")
def non_zero(X: Info) -> Info:
    """As many columns as the data has elements other than 0."""
    return Info(DType.INT64, None)


@rule("Compress")
def compress(input: Info, condition: Info, *, axis: int | None) -> Info:
    """As long as the condition says."""
    require_type(condition, (DType.BOOL,), "the condition")
    if axis is not None:
        axis = axis_of(axis, input.rank)
    limit = prod(input.dims) if axis is None else input.dims[axis]
    if condition.value is None:
        return Info(input.dtype, None)
    count = int(np.count_nonzero(condition.value))
    require(condition.rank == 1 and condition.dims[0] <= limit, "the condition is too long")
    if axis is None:
        return result(input.dtype, (count,))
    return result(input.dtype, (*input.dims[:axis], count, *input.dims[axis + 1 :]))


@rule("Unique")
def unique(X: Info, *, axis: int | None, sorted: int) -> tuple[Info, ...]:
    """As many as the data has distinct elements."""
    if axis is not None:
        axis = axis_of(axis, X.rank)
    count = prod(X.dims) if axis is None else X.dims[axis]
    unknown = Info(DType.INT64, None)
    return Info(X.dtype, None), unknown, result(DType.INT64, (count,)), unknown


@rule("NonMaxSuppression")
def non_max_suppression(
    boxes: Info,
    scores: Info,
    max_output_boxes_per_class: Info | None = None,
    iou_threshold: Info | None = None,
    score_threshold: Info | None = None,
    *,
    center_point_box: int,
) -> Info:
    """As many rows as boxes are kept."""
    fits = boxes.rank == 3 and scores.rank == 3 and boxes.dims[2] == 4
    fits = fits and boxes.dims[:2] == (scores.dims[0], scores.dims[2])
    require(fits, f"boxes {list(boxes.dims)} and scores {list(scores.dims)} do not fit")
    return Info(DType.INT64, None)


@rule("RandomNormal", "RandomUniform")
def random(*, shape: list[int], dtype: int, **_: Attribute) -> Info:
    """The wanted shape and type."""
    return result(dtype_of(dtype), shape)


@rule("RandomNormalLike", "RandomUniformLike", "Bernoulli")
def random_like(input: Info, *, dtype: int | None, **_: Attribute) -> Info:
    """The input's shape."""
    return result(input.dtype if dtype is None else dtype_of(dtype), input.dims)


@rule("Multinomial")
def multinomial(input: Info, *, dtype: int, sample_size: int, seed: float | None) -> Info:
    """Samples per row."""
    require(input.rank == 2, f"rank 2 is needed, not {input.rank}")
    return result(dtype_of(dtype), (input.dims[0], sample_size))


@rule("Dropout")
def dropout(
    data: Info, ratio: Info | None = None, training_mode: Info | None = None, *, seed: int | None
) -> tuple[Info, Info]:
    """The input's shape, and a mask of it."""
    off = training_mode is None or (
        training_mode.value is not None and not training_mode.value.any()
    )
    first = Info(data.dtype, data.dims, data.value if off else None)
    return first, result(DType.BOOL, data.dims)


@rule("GridSample")
def grid_sample(X: Info, grid: Info, *, align_corners: int, mode: str, padding_mode: str) -> Info:
    """The grid's shape."""
    rank = X.rank - 2
    fits = rank >= 1 and grid.rank == X.rank and grid.dims[-1] == rank
    fits = fits and grid.dims[0] == X.dims[0]
    require(fits, f"grid {list(grid.dims)} does not fit {list(X.dims)}")
    modes = ("nearest", "linear", "bilinear", "cubic", "bicubic")
    require(mode in modes, f"mode {mode!r} is unknown")
    paddings = ("zeros", "border", "reflection")
    require(padding_mode in paddings, f"padding_mode {padding_mode!r} is unknown")
    require(min(X.dims[2:]) > 0, "an empty plane cannot be sampled")
    return result(X.dtype, (*X.dims[:2], *grid.dims[1:-1]))


@rule("AffineGrid")
def affine_grid(theta: Info, size: Info, *, align_corners: int) -> Info:
    """The wanted plane."""
    n, _, *sizes = contents(size, "size")
    rank = len(sizes)
    require(theta.dims == (n, rank, rank + 1), f"theta {list(theta.dims)} does not fit the size")
    return result(theta.dtype, (n, *sizes, rank))


@rule("RoiAlign")
def roi_align(
    X: Info,
    rois: Info,
    batch_indices: Info,
    *,
    output_height: int,
    output_width: int,
    mode: str,
    **_: Attribute,
) -> Info:
    """One small plane per region."""
    require(X.rank == 4 and rois.rank == 2 and rois.dims[1] == 4, "X or rois do not fit")
    require_type(batch_indices, INDICES, "batch_indices")
    length(batch_indices, rois.dims[0], "batch_indices")
    require(mode in ("avg", "max"), f"mode {mode!r} is unknown")
    return result(X.dtype, (rois.dims[0], X.dims[1], output_height, output_width))


@rule("MaxRoiPool")
def max_roi_pool(X: Info, rois: Info, *, pooled_shape: list[int], spatial_scale: float) -> Info:
    """One small plane per region."""
    require(X.rank == 4 and rois.rank == 2 and rois.dims[1] == 5, "X or rois do not fit")
    require(len(pooled_shape) == 2, "pooled_shape must have 2 numbers")
    return result(X.dtype, (rois.dims[0], X.dims[1], *pooled_shape))


@rule("DeformConv")
def deform_conv(
    X: Info,
    W: Info,
    offset: Info,
    B: Info | None = None,
    mask: Info | None = None,
    *,
    dilations: list[int] | None,
    group: int,
    kernel_shape: list[int] | None,
    offset_group: int,
    pads: list[int] | None,
    strides: list[int] | None,
) -> Info:
    """As a convolution."""
    kind = same_type(X, W, offset, B, mask)
    require(X.rank >= 3 and W.rank == X.rank, "input and weights do not fit")
    if group < 1 or offset_group < 1 or X.dims[1] % offset_group or W.dims[0] % group:
        raise ShapeError(f"groups {group} and {offset_group} do not fit {list(X.dims)}")
    require(X.dims[1] == W.dims[1] * group, "input and weights do not fit")
    axes = windows(X.dims[2:], W.dims[2:], strides, pads, dilations)
    out = [a.output for a in axes]
    count = offset_group * prod(W.dims[2:])
    require(
        offset.dims == (X.dims[0], count * len(out), *out),
        f"offset {list(offset.dims)} does not fit",
    )
    require(mask is None or mask.dims == (X.dims[0], count, *out), "mask does not fit")
    length(B, W.dims[0], "the bias")
    return result(kind, (X.dims[0], W.dims[0], *out))


@rule("StringConcat")
def string_concat(X: Info, Y: Info) -> Info:
    """Strings joined pairwise."""
    return result(DType.STRING, broadcast(X, Y))


@rule("RegexFullMatch")
def regex_full_match(X: Info, *, pattern: str | None) -> Info:
    """One truth value per string."""
    return result(DType.BOOL, X.dims)


@rule("StringNormalizer")
def string_normalizer(X: Info, **_: Attribute) -> Info:
    """As many strings as are kept."""
    require(X.rank == 1 or (X.rank == 2 and X.dims[0] == 1), f"shape {list(X.dims)} does not fit")
    return Info(DType.STRING, None)


@rule("StringSplit")
def string_split(X: Info, **_: Attribute) -> tuple[Info, Info]:
    """As many columns as the most pieces."""
    return Info(DType.STRING, None), result(DType.INT64, X.dims)


@rule("TfIdfVectorizer")
def tf_idf_vectorizer(X: Info, *, ngram_indexes: list[int], **_: Attribute) -> Info:
    """One column per n-gram."""
    require(X.rank in (1, 2), f"rank 1 or 2 is needed, not {X.rank}")
    return result(DType.FLOAT32, (*X.dims[:-1], max(ngram_indexes, default=-1) + 1))
