"""Pooling of images (n, c, h, w)."""

from __future__ import annotations

from typing import Any

from ..eager import run, run_many
from ..errors import InputError, ShapeError
from ..tensor import Tensor
from . import movement, reduce
from .operands import as_tensor, float_tensor
from .product import Pair, each


def _images(name: str, x: Tensor) -> Tensor:
    if x.ndim != 4:
        raise ShapeError(f"{name}: x must have 4 dimensions (n, c, h, w), not {list(x.shape)}")
    return x


def max_pool2d(
    x: Any,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    *,
    ceil_mode: bool = False,
) -> Tensor:
    """Return the largest element of every window; ``stride`` is the kernel size by default."""
    found = _images("max_pool2d", as_tensor(x))
    attributes = (
        ("kernel_shape", each(kernel_size, 2, "kernel_size")),
        ("strides", each(kernel_size if stride is None else stride, 2, "stride")),
        ("pads", each(padding, 2, "padding") * 2),
        ("dilations", each(dilation, 2, "dilation")),
        ("ceil_mode", int(ceil_mode)),
    )
    return run_many("MaxPool", (found,), attributes, 1)[0]


def avg_pool2d(
    x: Any,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Return the mean of every window; ``stride`` is the kernel size by default."""
    attributes = (
        ("kernel_shape", each(kernel_size, 2, "kernel_size")),
        ("strides", each(kernel_size if stride is None else stride, 2, "stride")),
        ("pads", each(padding, 2, "padding") * 2),
        ("ceil_mode", int(ceil_mode)),
        ("count_include_pad", int(count_include_pad)),
    )
    return run("AveragePool", (_images("avg_pool2d", float_tensor(x)),), attributes)


def _adaptive(name: str, x: Tensor, output_size: Pair) -> Tensor:
    """Pool to a size: output i sees the elements from floor(i n / m) to ceil((i + 1) n / m)."""
    _images(name, x)
    size = each(output_size, 2, "output_size")
    if min(size) < 1:
        raise InputError(f"{name}: output_size {list(size)} must be positive")
    take = reduce.mean if name == "adaptive_avg_pool2d" else reduce.max
    pool = avg_pool2d if name == "adaptive_avg_pool2d" else max_pool2d
    if size == (1, 1):
        return take(x, (2, 3), keepdims=True)
    if all(n % m == 0 for n, m in zip(x.shape[2:], size, strict=True)):
        return pool(x, tuple(n // m for n, m in zip(x.shape[2:], size, strict=True)))
    rows = []
    for i in range(size[0]):
        row = x.narrow(2, *_window(i, x.shape[2], size[0]))
        parts = [row.narrow(3, *_window(j, x.shape[3], size[1])) for j in range(size[1])]
        rows.append(movement.concat([take(p, (2, 3), keepdims=True) for p in parts], 3))
    return movement.concat(rows, 2)


def _window(i: int, n: int, m: int) -> tuple[int, int]:
    start = i * n // m
    return start, -(-(i + 1) * n // m) - start


def adaptive_avg_pool2d(x: Any, output_size: Pair) -> Tensor:
    """Return the means of windows that give an output of this size."""
    return _adaptive("adaptive_avg_pool2d", float_tensor(x), output_size)


def adaptive_max_pool2d(x: Any, output_size: Pair) -> Tensor:
    """Return the largest elements of windows that give an output of this size."""
    return _adaptive("adaptive_max_pool2d", as_tensor(x), output_size)


def global_avg_pool2d(x: Any) -> Tensor:
    """Return the mean of every channel, (n, c, 1, 1)."""
    return run("GlobalAveragePool", (_images("global_avg_pool2d", float_tensor(x)),))


def global_max_pool2d(x: Any) -> Tensor:
    """Return the largest element of every channel, (n, c, 1, 1)."""
    return reduce.max(_images("global_max_pool2d", as_tensor(x)), (2, 3), keepdims=True)


__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "global_avg_pool2d",
    "global_max_pool2d",
    "max_pool2d",
]
