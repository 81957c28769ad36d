"""Images of few channels, laid into a frame: every row of a kernel reads one run of bytes."""

from __future__ import annotations

from ...dtype import DType
from ..lowering import Lowering
from ..quantized import Quantized
from ..view import View, channels_last
from .window import Window, is_plain

_MOST = 8  #: channels of an image whose padding is written out


def is_framed(channels: int, w: Window, groups: int) -> bool:
    """Whether a convolution reads its image from a frame."""
    return channels <= _MOST and groups == 1 and not is_plain(w, groups) and min(w.pads) >= 0


def frame(
    ctx: Lowering,
    x: View,
    w: Window,
    dtype: DType,
    *,
    fill: int = 0,
    grid: Quantized | None = None,
) -> tuple[View, Window]:
    """Lay [N, C, H, W] into its padding, channels last, four bytes of a pixel together.

    Args:
        ctx: the plan so far.
        x: float32, or codes if the frame is to hold codes.
        w: the window that reads the image.
        dtype: float32, bfloat16 or uint8, to which ``x`` is converted.
        fill: what the border holds.
        grid: of codes that are made of floats here.

    Returns:
        The frame, and the window that reads it.
    """
    if x.dtype is dtype and not any(w.pads) and x.is_channels_last() and dtype is DType.FLOAT32:
        return x, w
    top, left, bottom, right = w.pads
    n, c, height, width = x.shape
    word = 4 // dtype.numpy.itemsize
    shape = (n, -(-c // word) * word, height + top + bottom, width + left + right)
    found = ctx.temp(shape, dtype, channels_last)
    scale = None if grid is None else ctx.constant(grid.scale.reshape(1))
    zero = None if grid is None else ctx.constant(grid.zero_point.reshape(1))
    ctx.emit("frame", [x, scale, zero, found], [top, left, fill])
    return found, Window(w.kernel, w.strides, (0, 0, 0, 0), w.dilations)
