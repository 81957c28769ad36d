"""Images of few channels, laid into a frame: every row of a kernel reads one run of bytes."""

from __future__ import annotations

import numpy as np

from ...dtype import DType
from ...graph.graph import Array
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
    """Lay [N, C, H, W] into its padding, channels last.

    Products read words of four bytes.  Where that takes fewer of codes, a kernel's row is one run
    of the channels of its pixels: 24 bytes for 7 pixels of 3, the last 3 of another pixel and
    times zero.  (A float there may be NaN.)  Else each pixel is filled up to whole words.

    Args:
        ctx: the plan so far.
        x: float32, or codes if the frame is to hold codes.
        w: the window that reads the image.
        dtype: float32, bfloat16 or uint8, to which ``x`` is converted.
        fill: what the border holds.
        grid: of codes that are made of floats here.

    Returns:
        The frame, which may show pixels several times as the channels of runs, and the window
        that reads it.
    """
    if x.dtype is dtype and not any(w.pads) and x.is_channels_last() and dtype is DType.FLOAT32:
        return x, w
    top, left, bottom, right = w.pads
    n, c, height, width = x.shape
    word = 4 // dtype.numpy.itemsize
    length = run_of(c, w) if dtype is DType.UINT8 else 0
    columns = width + left + right
    reach = (columns - w.kernel[1]) // w.strides[1] * w.strides[1]  # of the last window's start
    if length:
        shape = (n, c, height + top + bottom, max(columns, reach - -length // c))
    else:
        shape = (n, -(-c // word) * word, height + top + bottom, columns)
    found = ctx.temp(shape, dtype, channels_last)
    scale = None if grid is None else ctx.constant(grid.scale.reshape(1))
    zero = None if grid is None else ctx.constant(grid.zero_point.reshape(1))
    ctx.emit("frame", [x, scale, zero, found], [top, left, fill])
    if not length:
        return found, Window(w.kernel, w.strides, (0, 0, 0, 0), w.dilations)
    runs = found.seen((n, length, shape[2], reach + 1), found.strides)
    return runs, Window((w.kernel[0], 1), w.strides, (0, 0, 0, 0), (w.dilations[0], 1))


def run_of(channels: int, w: Window) -> int:
    """Return the bytes of a kernel's row of codes, whole words, if pixels apart take more; or 0."""
    length = -(-w.kernel[1] * channels // 4) * 4
    apart = w.kernel[1] * -(-channels // 4) * 4
    return length if length < apart and w.dilations[1] == 1 else 0


def framed_kernel(kernel: Array, w: Window) -> Array:
    """Return codes [OC, C, KH, KW] as they read the frame of their image.

    That is [OC, run, KH, 1], zeros after each row's pixels, or zeros after each pixel's channels.
    """
    oc, c, kh, kw = kernel.shape
    length = run_of(c, w)
    if not length:
        return np.pad(kernel, ((0, 0), (0, -c % 4), (0, 0), (0, 0)))
    rows = np.zeros((oc, kh, length), kernel.dtype)
    rows[:, :, : kw * c] = kernel.transpose(0, 2, 3, 1).reshape(oc, kh, kw * c)
    return rows.transpose(0, 2, 1)[..., None]
