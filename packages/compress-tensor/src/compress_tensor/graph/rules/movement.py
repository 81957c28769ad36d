"""Shape rules of operators that move or copy elements."""

from __future__ import annotations

from math import prod

from ...backend.reference import movement as moves
from ...backend.reference.common import axes_of, axis_of
from ...backend.reference.pad import pad_amounts
from ...backend.reference.spatial import windows
from ...errors import ShapeError
from .common import broadcast_shapes, contents, require, result, same_type
from .registry import Info, rule


@rule("Reshape")
def reshape(data: Info, shape: Info, *, allowzero: int) -> Info:
    """The wanted shape."""
    require(shape.rank == 1, "the shape must be a vector")
    return result(data.dtype, moves.reshape_target(data.dims, contents(shape, "shape"), allowzero))


@rule("Flatten")
def flatten(input: Info, *, axis: int) -> Info:
    """A matrix."""
    require(-input.rank <= axis <= input.rank, f"axis {axis} is outside of rank {input.rank}")
    axis = axis + input.rank if axis < 0 else axis
    return result(input.dtype, (prod(input.dims[:axis]), prod(input.dims[axis:])))


@rule("Transpose")
def transpose(data: Info, *, perm: list[int] | None) -> Info:
    """The axes in another order."""
    order = list(reversed(range(data.rank))) if perm is None else list(perm)
    if sorted(order) != list(range(data.rank)):
        raise ShapeError(f"perm {order} is no order of {data.rank} axes")
    return result(data.dtype, (data.dims[i] for i in order))


@rule("Squeeze")
def squeeze(data: Info, axes: Info | None = None) -> Info:
    """The axes that are left."""
    gone = [i for i, n in enumerate(data.dims) if n == 1]
    if axes is not None:
        gone = list(axes_of(contents(axes, "axes"), data.rank))
    if any(data.dims[i] != 1 for i in gone):
        raise ShapeError(f"axes {gone} of shape {list(data.dims)} are not all of length 1")
    return result(data.dtype, (n for i, n in enumerate(data.dims) if i not in gone))


@rule("Unsqueeze")
def unsqueeze(data: Info, axes: Info) -> Info:
    """Axes of length 1 put in."""
    return result(data.dtype, moves.unsqueezed(data.dims, contents(axes, "axes")))


@rule("Concat")
def concat(*inputs: Info, axis: int) -> Info:
    """Lengths along the axis add up."""
    require(bool(inputs), "at least one input is needed")
    first = inputs[0]
    axis = axis_of(axis, first.rank)
    for other in inputs[1:]:
        same = [n for i, n in enumerate(other.dims) if i != axis]
        if other.rank != first.rank or same != [n for i, n in enumerate(first.dims) if i != axis]:
            raise ShapeError(
                f"shapes {list(first.dims)} and {list(other.dims)} differ outside of axis {axis}"
            )
    shape = list(first.dims)
    shape[axis] = sum(i.dims[axis] for i in inputs)
    return result(same_type(*inputs), shape)


@rule("Split")
def split(
    input: Info,
    split: Info | None = None,
    *,
    axis: int,
    num_outputs: int | None,
    n_outputs: int,
) -> tuple[Info, ...]:
    """Pieces of an axis."""
    axis = axis_of(axis, input.rank)
    wanted = None if split is None else contents(split, "split")
    sizes = moves.split_sizes(input.dims[axis], wanted, num_outputs, n_outputs)
    return tuple(
        result(input.dtype, (*input.dims[:axis], size, *input.dims[axis + 1 :]))
        for size in sizes[:n_outputs]
    )


@rule("Slice")
def slice_(
    data: Info,
    starts: Info,
    ends: Info,
    axes: Info | None = None,
    steps: Info | None = None,
) -> Info:
    """What lies between start and end."""
    parts = moves.slices(
        data.dims,
        contents(starts, "starts"),
        contents(ends, "ends"),
        None if axes is None else contents(axes, "axes"),
        None if steps is None else contents(steps, "steps"),
    )
    return result(data.dtype, map(moves.slice_length, parts))


@rule("Expand")
def expand(input: Info, shape: Info) -> Info:
    """The shape broadcast with the wanted one."""
    return result(input.dtype, broadcast_shapes(input.dims, contents(shape, "shape")))


@rule("Tile")
def tile(input: Info, repeats: Info) -> Info:
    """Every length times its repeats."""
    times = contents(repeats, "repeats")
    if len(times) != input.rank or min(times, default=0) < 0:
        raise ShapeError(f"repeats {times} do not fit shape {list(input.dims)}")
    return result(input.dtype, (n * t for n, t in zip(input.dims, times, strict=True)))


def _square(input: Info, blocksize: int, mode: str) -> tuple[int, ...]:
    require(input.rank == 4, f"rank 4 is needed, not {input.rank}")
    require(blocksize > 0, f"blocksize {blocksize} must be positive")
    require(mode in ("DCR", "CRD"), f"mode {mode!r} is unknown")
    return input.dims


@rule("DepthToSpace")
def depth_to_space(input: Info, *, blocksize: int, mode: str) -> Info:
    """Channels spread over the plane."""
    n, c, h, w = _square(input, blocksize, mode)
    square = blocksize * blocksize
    require(c % square == 0, f"{c} channels do not divide into blocks of {square}")
    return result(input.dtype, (n, c // square, h * blocksize, w * blocksize))


@rule("SpaceToDepth")
def space_to_depth(input: Info, *, blocksize: int, mode: str) -> Info:
    """Squares gathered into channels."""
    n, c, h, w = _square(input, blocksize, mode)
    require(
        h % blocksize == 0 and w % blocksize == 0,
        f"a plane of {h} x {w} does not divide into blocks of {blocksize}",
    )
    return result(input.dtype, (n, c * blocksize**2, h // blocksize, w // blocksize))


@rule("Trilu")
def trilu(input: Info, k: Info | None = None, *, upper: int) -> Info:
    """The input's shape."""
    require(input.rank >= 2, f"rank 2 or more is needed, not {input.rank}")
    return result(input.dtype, input.dims)


@rule("ReverseSequence")
def reverse_sequence(input: Info, sequence_lens: Info, *, batch_axis: int, time_axis: int) -> Info:
    """The input's shape."""
    axes = axes_of([batch_axis, time_axis], input.rank)
    if sequence_lens.dims != (input.dims[axes[0]],):
        raise ShapeError(f"sequence_lens {list(sequence_lens.dims)} does not fit the batch")
    return result(input.dtype, input.dims)


@rule("Pad")
def pad(
    data: Info,
    pads: Info,
    constant_value: Info | None = None,
    axes: Info | None = None,
    *,
    mode: str,
) -> Info:
    """Every length plus its borders."""
    same_type(data, constant_value)
    if constant_value is not None:
        require(prod(constant_value.dims) == 1, "constant_value must be a scalar")
    require(mode in ("constant", "reflect", "edge", "wrap"), f"mode {mode!r} is unknown")
    over = None if axes is None else contents(axes, "axes")
    amounts = pad_amounts(data.dims, contents(pads, "pads"), over)
    for n, (before, after) in zip(data.dims, amounts, strict=True):
        if mode != "constant" and n == 0 and max(before, after) > 0:
            raise ShapeError(f"an empty axis cannot be padded in mode {mode!r}")
    shape = [n + a + b for n, (a, b) in zip(data.dims, amounts, strict=True)]
    return result(data.dtype, shape)


@rule("CenterCropPad")
def center_crop_pad(input_data: Info, shape: Info, *, axes: list[int] | None) -> Info:
    """The wanted lengths."""
    over = axes_of(axes if axes is not None else range(input_data.rank), input_data.rank)
    wanted = contents(shape, "shape")
    if len(wanted) != len(over):
        raise ShapeError(f"shape {wanted} does not fit axes {list(over)}")
    dims = list(input_data.dims)
    for axis, size in zip(over, wanted, strict=True):
        dims[axis] = size
    return result(input_data.dtype, dims)


@rule("Col2Im")
def col2im(
    input: Info,
    image_shape: Info,
    block_shape: Info,
    *,
    dilations: list[int] | None,
    pads: list[int] | None,
    strides: list[int] | None,
) -> Info:
    """The wanted image."""
    image, block = contents(image_shape, "image_shape"), contents(block_shape, "block_shape")
    require(input.rank == 3, f"rank 3 is needed, not {input.rank}")
    require(len(image) == len(block), f"image {image} and block {block} do not fit")
    axes = windows(image, block, strides, pads, dilations)
    size = prod(block)
    if input.dims[1] % size or input.dims[2] != prod(w.output for w in axes):
        raise ShapeError(f"columns {list(input.dims)} do not fit image {image}, block {block}")
    return result(input.dtype, (input.dims[0], input.dims[1] // size, *image))
