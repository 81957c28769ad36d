"""Windows over images, and images as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...graph.graph import Attribute
from ..view import View


@dataclass(frozen=True, slots=True)
class Window:
    """A 2-D window; 1-D ones have height 1.  Pads are at the start and at the end."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]

    def words(self) -> list[int]:
        """Return the eight arguments of libcore's window."""
        return [*self.kernel, *self.strides, *self.pads[:2], *self.dilations]


def window(
    attributes: dict[str, Attribute], kernel: tuple[int, ...], size: tuple[int, ...]
) -> Window:
    """Resolve kernel, strides, dilations and (automatic) padding of one or two dimensions.

    Args:
        attributes: of the node, with defaults.
        kernel: kernel size per spatial dimension.
        size: input size per spatial dimension.
    """
    rank = len(kernel)
    strides = list(attributes.get("strides") or [1] * rank)
    dilations = list(attributes.get("dilations") or [1] * rank)
    pads = list(attributes.get("pads") or [0] * (2 * rank))
    auto = attributes.get("auto_pad", "NOTSET")
    if auto == "VALID":
        pads = [0] * (2 * rank)
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        for i in range(rank):
            reach = dilations[i] * (kernel[i] - 1) + 1
            total = max((-(-size[i] // strides[i]) - 1) * strides[i] + reach - size[i], 0)
            small, large = total // 2, total - total // 2
            pads[i], pads[rank + i] = (small, large) if auto == "SAME_UPPER" else (large, small)
    if rank == 1:
        kernel, strides, dilations = (1, *kernel), [1, *strides], [1, *dilations]
        pads = [0, pads[0], 0, pads[1]]
    two: Any = (tuple(kernel), tuple(strides), tuple(pads), tuple(dilations))
    return Window(*two)


def image(view: View) -> View:
    """Return a 1-D signal [N, C, L] as an image [N, C, 1, L]; images as they are."""
    return view.insert(2) if len(view.shape) == 3 else view


def pixels_as_rows(view: View) -> View | None:
    """Return [N, C, H, W] as [1, pixels, C], if the pixels are evenly spaced."""
    moved = view.transpose((0, 2, 3, 1))
    n, h, w, c = moved.shape
    return moved.reshape((1, n * h * w, c))


def is_plain(w: Window, groups: int) -> bool:
    """Whether a convolution is a product of pixels: one kernel position, no padding."""
    return w.kernel == (1, 1) and not any(w.pads) and groups == 1


def sampled(x: View, w: Window, out: View) -> tuple[View, Window]:
    """Return a view of only the pixels that a plain convolution reads, and stride 1."""
    for axis, stride in ((2, w.strides[0]), (3, w.strides[1])):
        if stride != 1:
            x = x.slice(axis, 0, out.shape[axis], stride)
    return x, Window(w.kernel, (1, 1), w.pads, w.dilations)
