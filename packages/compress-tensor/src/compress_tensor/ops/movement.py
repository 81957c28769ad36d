"""Moving elements: joining, splitting, repeating, padding, reading and writing parts."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .. import packed
from ..codec import decode
from ..differentiable import require_untracked
from ..eager import run
from ..errors import InputError, ShapeError
from ..graph.graph import Array
from ..indexing import choose, is_index_array
from ..promotion import check_fits
from ..tensor import Tensor
from .operands import as_tensor, integer_tensor, is_scalar, known, meet, scalar


def concat(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Return tensors joined along a dimension; all others are equal.

    Raises:
        InputError: if there are none.
        ShapeError: if other dimensions differ.
    """
    if not len(tensors):
        raise InputError("concat needs at least one tensor")
    found = meet(*tensors)
    if not found[0].ndim:
        raise ShapeError("concat: 0-d tensors have no dimension to join; use stack")
    return run("Concat", found, (("axis", found[0].axis(axis)),))


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Return tensors of one shape joined along a new dimension."""
    if not len(tensors):
        raise InputError("stack needs at least one tensor")
    found = meet(*tensors)
    for each in found[1:]:
        if each.shape != found[0].shape:
            raise ShapeError(f"stack: shapes {found[0].shape} and {each.shape} differ")
    at = found[0].axis(axis, extra=1)
    return concat([each.unsqueeze(at) for each in found], at)


def split(x: Any, size: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Return views of consecutive parts.

    Args:
        x: a tensor.
        size: of each part (the last may be smaller), or the size of every part.
        axis: the dimension.

    Raises:
        ShapeError: if sizes do not add up to the dimension.
    """
    found = as_tensor(x)
    at = found.axis(axis)
    total = found.shape[at]
    if isinstance(size, int):
        if size < 1:
            raise InputError(f"split: a part must have at least one element, not {size}")
        sizes = [min(size, total - start) for start in range(0, total, size)] or [0]
    else:
        sizes = [int(n) for n in size]
    if sum(sizes) != total or min(sizes, default=0) < 0:
        raise ShapeError(f"split: sizes {sizes} do not add up to {total}")
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    return [found.narrow(at, start, n) for start, n in zip(starts, sizes, strict=True)]


def chunk(x: Any, chunks: int, axis: int = 0) -> list[Tensor]:
    """Return views of at most ``chunks`` parts of equal size (the last may be smaller)."""
    found = as_tensor(x)
    if chunks < 1:
        raise InputError(f"chunk: there must be at least one part, not {chunks}")
    return split(found, max(-(-found.shape[found.axis(axis)] // chunks), 1), axis)


def tile(x: Any, repeats: int | Sequence[int]) -> Tensor:
    """Return the tensor repeated as a whole, so many times along each (trailing) dimension."""
    found = as_tensor(x)
    counts = [repeats] if isinstance(repeats, int) else [int(n) for n in repeats]
    counts = [1] * (found.ndim - len(counts)) + counts
    if min(counts, default=0) < 0:
        raise InputError(f"tile: repeats {counts} must not be negative")
    shape = (1,) * (len(counts) - found.ndim) + found.shape
    found = found.reshape(shape)
    # Seen as [r0, d0, r1, d1, ...], the repeats are dimensions of stride 0.
    wide = found.unsqueeze(range(0, 2 * len(counts), 2))
    pairs = [n for pair in zip(counts, shape, strict=True) for n in pair]
    wanted = tuple(n * m for n, m in zip(counts, shape, strict=True))
    return wide.broadcast_to(pairs).clone().reshape(wanted)


def repeat(x: Any, repeats: int, axis: int | None = None) -> Tensor:
    """Return the tensor with every element repeated, along a dimension or flattened."""
    found = as_tensor(x)
    if repeats < 0:
        raise InputError(f"repeat: repeats must not be negative, as {repeats} is")
    if axis is None:
        found, axis = found.reshape(-1) if found.size else found.reshape(0), 0
    at = found.axis(axis)
    wanted = (*found.shape[:at], found.shape[at] * repeats, *found.shape[at + 1 :])
    wide = found.unsqueeze(at + 1)
    shape = (*wide.shape[: at + 1], repeats, *wide.shape[at + 2 :])
    return wide.broadcast_to(shape).clone().reshape(wanted)


_MODES = {"replicate": "edge", "circular": "wrap"}


def pad(
    x: Any, widths: Sequence[Sequence[int]] | Sequence[int], mode: str = "constant", value: Any = 0
) -> Tensor:
    """Return the tensor with a border.

    Args:
        x: a tensor.
        widths: a pair (before, after) per dimension, or one pair for all.
        mode: constant, reflect, edge (replicate) or wrap (circular).
        value: of the border, for ``constant``.

    Raises:
        ShapeError: if there are not as many pairs as dimensions.
    """
    found = as_tensor(x)
    pairs = [list(np.atleast_1d(pair)) for pair in widths]
    if len(pairs) == 2 and all(len(pair) == 1 for pair in pairs):
        pairs = [[pairs[0][0], pairs[1][0]]] * found.ndim
    if len(pairs) != found.ndim or any(len(pair) != 2 for pair in pairs):
        raise ShapeError(f"pad: {widths} is not one pair per dimension of {found.ndim}")
    how = _MODES.get(mode, mode)
    if how not in ("constant", "reflect", "edge", "wrap"):
        raise InputError(f"pad: mode {mode!r} is not constant, reflect, edge or wrap")
    flat = [int(pair[0]) for pair in pairs] + [int(pair[1]) for pair in pairs]
    check_fits(value, found.dtype)
    border = scalar(value, found.dtype).numpy()
    return run("Pad", (found, known(flat), border), (("mode", how),))


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return the view that runs backwards along these dimensions (None: all)."""
    return as_tensor(x).flip(axis)


def indexed(tensor: Tensor, key: Any) -> Tensor:
    """Return what ``tensor[key]`` means: a view, or gathered elements for arrays of indices."""
    key = key[0] if isinstance(key, tuple) and len(key) == 1 else key
    mask = _mask(key)
    if mask is not None and mask.ndim != 1:
        return _masked(tensor, mask)
    view, chosen = choose(tensor, key)
    if chosen.indices is None:
        return view
    mask = _mask(chosen.indices)
    if mask is not None:
        if mask.shape != (view.shape[chosen.axis],):
            raise ShapeError(
                f"a mask of shape {list(mask.shape)} does not fit dimension {chosen.axis} of size "
                f"{view.shape[chosen.axis]}"
            )
        indices = Tensor.from_numpy(np.flatnonzero(mask))
    else:
        indices = integer_tensor(chosen.indices)
    found = run("Gather", (view, indices), (("axis", chosen.axis),))
    if _apart(key):  # as in numpy, whose ints count as arrays of indices here
        places = range(chosen.axis, chosen.axis + indices.ndim)
        rest = [i for i in range(found.ndim) if i not in places]
        found = found.transpose([*places, *rest])
    return found


def _mask(key: Any) -> Array | None:
    """Return a boolean array used as an index."""
    if not is_index_array(key):
        return None
    array = key.numpy() if isinstance(key, Tensor) else np.asarray(key)
    return array if array.dtype == np.bool_ else None


def _masked(tensor: Tensor, mask: Array) -> Tensor:
    if mask.shape != tensor.shape[: mask.ndim]:
        raise ShapeError(
            f"a mask of shape {list(mask.shape)} does not fit a tensor of {list(tensor.shape)}"
        )
    rest = tensor.shape[mask.ndim :]
    flat = tensor.reshape((prod(mask.shape), *rest))
    return run("Gather", (flat, Tensor.from_numpy(np.flatnonzero(mask))), (("axis", 0),))


def _apart(key: Any) -> bool:
    """Return whether an int and the array of indices have something else between them."""
    parts = key if isinstance(key, tuple) else (key,)
    single = [i for i, p in enumerate(parts) if p is not None and not isinstance(p, slice)]
    single = [i for i in single if parts[i] is not Ellipsis]
    return bool(single) and single[-1] - single[0] + 1 != len(single)


def check_writable(tensor: Tensor, *sources: Any) -> None:
    """Raise InputError if a tensor cannot be written to (from these tensors)."""
    require_untracked(tensor, *sources)
    if not tensor.writable:
        raise InputError("the tensor shares read-only memory; write to a clone() of it")
    pairs = zip(tensor._shape, tensor._strides, strict=True)
    if any(size > 1 and stride == 0 for size, stride in pairs):
        raise InputError("the tensor repeats its elements (broadcast); write to a clone() of it")
    tensor._storage.version += 1


def assign(tensor: Tensor, key: Any, value: Any) -> None:
    """Do what ``tensor[key] = value`` means; the value broadcasts and is converted.

    Raises:
        InputError: if the tensor cannot be written to, or a number does not fit its type.
        ShapeError: if the value does not fit.
    """
    check_writable(tensor, value)
    if is_scalar(value):
        check_fits(value, tensor.dtype)
        source = scalar(value, tensor.dtype)
    else:
        source = as_tensor(value).astype(tensor.dtype)
    parts = key if isinstance(key, tuple) else (key,)
    if any(is_index_array(part) for part in parts):
        _write(tensor, tuple(map(_as_numpy, parts)), source.numpy())
        return
    view, _ = choose(tensor, key)
    _write(view, ..., source.numpy())


def _as_numpy(part: Any) -> Any:
    return part.numpy() if isinstance(part, Tensor) else part


def _write(view: Tensor, key: Any, values: Array) -> None:
    target = view.numpy()
    try:
        target[key] = values
    except (ValueError, IndexError) as error:
        raise ShapeError(f"values of shape {list(values.shape)} do not fit: {error}") from error
    if view.dtype in packed.PACKED:
        packed.write(
            view._storage.memory, view.dtype, view.shape, view.strides, view.offset, target
        )


def array_equal(a: Any, b: Any) -> bool:
    """Return whether two tensors have the same shape and equal elements (NaN equals nothing)."""
    first, second = as_tensor(a), as_tensor(b)
    if first.shape != second.shape:
        return False
    return bool(np.array_equal(decode(first.numpy()), decode(second.numpy())))


def roll(x: Any, shift: int, axis: int) -> Tensor:
    """Return the tensor moved along a dimension, what falls off the end coming in at the start."""
    found = as_tensor(x)
    at = found.axis(axis)
    size = found.shape[at]
    if not size:
        return found.clone()
    first = -shift % size
    return concat([found.narrow(at, first, size - first), found.narrow(at, 0, first)], at)


cat = concat

__all__ = [
    "array_equal",
    "cat",
    "chunk",
    "concat",
    "flip",
    "pad",
    "repeat",
    "roll",
    "split",
    "stack",
    "tile",
]
