"""Products by AMX: int8 gives the bytes of every processor, bfloat16 those of its own."""

from __future__ import annotations

import numpy as np
import pytest
from every_way import assert_same_bytes

import compress_tensor
from compress_tensor import Builder, DType, Graph
from compress_tensor.native import library

pytestmark = [
    pytest.mark.usefixtures("best_isa"),
    pytest.mark.skipif(library.isa() != "amx", reason="this processor has no AMX"),
]
#: rows, k, columns: around tiles of 16 x 64 bytes, pairs of them, groups of columns, chunks of k
SHAPES = [
    (1, 768, 64),
    (5, 33, 17),
    (15, 64, 16),
    (16, 64, 32),
    (17, 100, 48),
    (32, 128, 31),
    (33, 63, 33),
    (49, 2304, 65),
    (64, 2048, 300),
    (70, 5000, 20),
    (300, 147, 64),
]


def product(rng: np.random.Generator, k: int, n: int) -> Graph:
    """Return x w + b clipped below."""
    b = Builder("product")
    x = b.input("x", DType.FLOAT32, ("m", k))
    w = rng.standard_normal((k, n)).astype(np.float32) / np.float32(np.sqrt(k))
    y = x @ b.constant(w, "w") + b.constant(rng.standard_normal(n).astype(np.float32), "b")
    b.output("y", b.relu(y))
    return b.graph()


def convolutions(rng: np.random.Generator) -> Graph:
    """Return windows with padding, strides and a sum of two values."""
    b = Builder("convolutions")
    x = b.input("x", DType.FLOAT32, ("n", 3, 23, 19))

    def conv(y: object, channels: int, filters: int, size: int, **options: object) -> object:
        w = rng.standard_normal((filters, channels, size, size)) * (channels * size**2) ** -0.5
        bias = rng.standard_normal(filters).astype(np.float32)
        return b.conv(y, b.constant(w.astype(np.float32)), b.constant(bias), **options)

    first = b.relu(conv(x, 3, 40, 7, strides=[2, 2], pads=[3, 3, 3, 3]))
    second = b.relu(conv(first, 40, 48, 3, pads=[1, 1, 1, 1]))
    third = conv(second, 48, 40, 1)
    b.output("y", b.relu(conv(third + first, 40, 70, 3, strides=[2, 2], pads=[1, 1, 1, 1])))
    return b.graph()


def upper(x: np.ndarray) -> np.ndarray:
    """Round to bfloat16, half to even; float64 of it."""
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products(shape: tuple[int, int, int]) -> None:
    """As near to the exact product of the rounded operands as float32 sums are; rows are alone."""
    m, k, n = shape
    rng = np.random.default_rng(k)
    graph, x = product(rng, k, n), rng.standard_normal((m, k)).astype(np.float32)
    found = compress_tensor.compile(graph, precision="bf16").run({"x": x})["y"]
    wide, w = upper(x), upper(graph.constants["w"])
    exact = np.maximum(wide @ w + graph.constants["b"], 0)
    magnitude = abs(wide) @ abs(w) + abs(graph.constants["b"])

    assert (abs(found - exact) <= (k + 4) * 2.0**-24 * magnitude).all()
    assert_same_bytes(found, graph, x, threads=(1, 3), precision="bf16")


def test_convolutions() -> None:
    """Near float32, the same bytes for any threads and neighbours."""
    rng = np.random.default_rng(1)
    graph, x = convolutions(rng), rng.standard_normal((3, 3, 23, 19)).astype(np.float32)
    found = compress_tensor.compile(graph, precision="bf16").run({"x": x})["y"]
    full = compress_tensor.compile(graph).run({"x": x})["y"]

    assert 0 < np.sqrt(np.mean((found - full) ** 2) / np.mean(full**2)) < 2.0**-6
    assert_same_bytes(found, graph, x, threads=(1, 3, 8), precision="bf16")
    library.limit_isa("avx512bf16")
    other = compress_tensor.compile(graph, precision="bf16").run({"x": x})["y"]
    assert np.sqrt(np.mean((found - other) ** 2) / np.mean(other**2)) < 2.0**-8
