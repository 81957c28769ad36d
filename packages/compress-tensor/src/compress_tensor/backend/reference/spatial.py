"""The arithmetic of sliding windows: pads, strides, output sizes.  Shape rules use it too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import ShapeError

_LIMIT = 1 << 40


@dataclass(frozen=True)
class Window:
    """How a window slides over one axis.

    Attributes:
        size: length of the axis.
        kernel: positions in the window.
        stride: step from window to window.
        dilation: step from position to position.
        begin: padding in front.
        end: padding at the end.
        output: number of windows.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    output: int

    @property
    def reach(self) -> int:
        """Length of the axis that one window spans."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def padded_end(self) -> int:
        """Padding at the end that the last window reads (ceil mode reads more than ``end``)."""
        needed = (self.output - 1) * self.stride + self.reach
        return max(needed - self.size - self.begin, 0)


def per_axis(given: Sequence[int] | None, rank: int, default: int, what: str) -> list[int]:
    """Return one number per spatial axis.

    Raises:
        ShapeError: if there are too few or too many.
    """
    if not given:
        return [default] * rank
    if len(given) != rank:
        raise ShapeError(f"{what} {list(given)} must have {rank} numbers")
    return [int(v) for v in given]


def windows(
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int] | None = None,
    pads: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
) -> list[Window]:
    """Return the windows of every spatial axis of a convolution or pooling.

    Raises:
        ShapeError: if the numbers do not fit.
    """
    rank = len(sizes)
    kernel = per_axis(kernel, rank, 1, "kernel_shape")
    strides = per_axis(strides, rank, 1, "strides")
    dilations = per_axis(dilations, rank, 1, "dilations")
    pads = per_axis(pads, 2 * rank, 0, "pads")
    if min([*kernel, *strides, *dilations], default=1) < 1:
        raise ShapeError(
            f"kernel_shape {kernel}, strides {strides} and dilations {dilations} must be positive"
        )
    if max([*kernel, *strides, *dilations, *map(abs, pads)], default=0) > _LIMIT:
        raise ShapeError(f"kernel_shape {kernel}, strides {strides} or pads {pads} are too large")
    found = []
    for i, size in enumerate(sizes):
        reach = (kernel[i] - 1) * dilations[i] + 1
        begin, end = pads[i], pads[i + rank]
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            output = -(-size // strides[i])
            total = max((output - 1) * strides[i] + reach - size, 0)
            begin = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            end = total - begin
        else:
            if auto_pad == "VALID":
                begin = end = 0
            elif auto_pad != "NOTSET":
                raise ShapeError(f"auto_pad {auto_pad!r} is unknown")
            room = size + begin + end - reach
            output = (-(-room // strides[i]) if ceil_mode else room // strides[i]) + 1
            if ceil_mode and (output - 1) * strides[i] >= size + begin:
                output -= 1
        if output < 1 and size == 0:
            output = 0
        elif output < 1:
            raise ShapeError(
                f"a window of {reach} does not fit into an axis of {size} padded by {begin}+{end}"
            )
        found.append(Window(size, kernel[i], strides[i], dilations[i], begin, end, output))
    return found


def transposed(
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int] | None,
    pads: Sequence[int] | None,
    dilations: Sequence[int] | None,
    auto_pad: str,
    output_padding: Sequence[int] | None,
    output_shape: Sequence[int] | None,
) -> list[Window]:
    """Return the windows of a transposed convolution: ``size`` is the larger, written side.

    ``output`` is the number of input positions, ``begin`` and ``end`` are cut off.

    Raises:
        ShapeError: if the numbers do not fit.
    """
    rank = len(sizes)
    kernel = per_axis(kernel, rank, 1, "kernel_shape")
    strides = per_axis(strides, rank, 1, "strides")
    dilations = per_axis(dilations, rank, 1, "dilations")
    extra = per_axis(output_padding, rank, 0, "output_padding")
    pads = per_axis(pads, 2 * rank, 0, "pads")
    if min([*kernel, *strides, *dilations], default=1) < 1:
        raise ShapeError(f"kernel {kernel}, strides {strides}, dilations {dilations} must be >= 1")
    if output_shape and len(output_shape) not in (rank, rank + 2):
        raise ShapeError(f"output_shape {list(output_shape)} must have {rank} numbers")
    found = []
    for i, size in enumerate(sizes):
        reach = (kernel[i] - 1) * dilations[i] + 1
        full = strides[i] * (size - 1) + extra[i] + reach
        begin, end = pads[i], pads[i + rank]
        if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            target = int(output_shape[-rank:][i]) if output_shape else size * strides[i]
            total = full - target if output_shape else max(full - target, 0)
            begin = total // 2 if auto_pad == "SAME_UPPER" else total - total // 2
            end = total - begin
        elif auto_pad == "VALID":
            begin = end = 0
        length = full - begin - end
        if length < 0 or length > _LIMIT:
            raise ShapeError(f"the output of a transposed convolution would have length {length}")
        found.append(Window(length, kernel[i], strides[i], dilations[i], begin, end, size))
    return found
