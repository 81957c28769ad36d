"""Fused attention on codes: the bytes of the QDQ operators that it replaces, and what is not fused.

Q, K, V, the softmax and mostly the result are quantized, as tools leave them in a QDQ graph.
"""

from __future__ import annotations

import numpy as np
import pytest
from attention_feeds import feeds_for, kernels_of, scaled

from compress_tensor import Builder, DType, compile  # noqa: A004
from compress_tensor.graph.interpret import interpret

Q_GRID, KV_GRID = (0.021, np.uint8(133)), (0.017, np.int8(0))
W_GRID, Y_GRID = (1 / 255, np.uint8(0)), (0.013, np.uint8(120))


@pytest.fixture
def rng():
    """One seeded generator per test."""
    return np.random.default_rng(34)


def qdq(b, x, grid):
    """Put a value on a grid, and read it from there."""
    scale, zero = np.float32(grid[0]), np.asarray(grid[1])
    return b.dequantize_linear(b.quantize_linear(x, scale, zero), scale, zero)


def network(
    shape,
    *,
    scale="div",
    mask=None,
    apart=False,
    grids=(Q_GRID, KV_GRID, KV_GRID),
    w_grid=W_GRID,
    y_grid=Y_GRID,
    rank=4,
):
    """Write attention out on codes; ``apart`` reads the softmax twice, so that nothing is fused."""
    batch, heads, m, n, d, e = shape
    b = Builder("attention")
    outer = (batch, heads) if rank == 4 else (batch * heads,)
    q = b.input("q", DType.FLOAT32, (*outer, m, d))
    k = b.input("k", DType.FLOAT32, (*outer, n, d))
    v = b.input("v", DType.FLOAT32, (*outer, n, e))
    order = [*range(rank - 2), rank - 1, rank - 2]
    k = b.transpose(qdq(b, k, grids[1]), perm=order)
    q, k, v = qdq(b, q, grids[0]), qdq(b, k, grids[1]), qdq(b, v, grids[2])
    scores = scaled(q @ k, d, scale)
    if mask is not None:
        scores = scores + b.input("mask", DType.FLOAT32, mask)
    weights = b.softmax(scores, axis=-1)
    y = qdq(b, weights, w_grid) @ v
    if rank == 4:
        y = y if y_grid is None else qdq(b, y, y_grid)
        y = b.transpose(y, perm=[0, 2, 1, 3])
        y = b.reshape(y, np.array([0, 0, heads * e], np.int64))
    b.output("y", y if y_grid is None else qdq(b, y, y_grid))
    if apart:
        b.output("seen", b.neg(weights))
    return b.graph()


CASES = [
    {"shape": (2, 3, 7, 7, 20, 20), "mask": (2, 1, 1, 7)},
    {"shape": (1, 2, 60, 61, 64, 64), "mask": (1, 2, 60, 61)},
    {"shape": (2, 2, 130, 33, 19, 18), "scale": "mul", "mask": (130, 33)},
    {"shape": (2, 2, 1, 200, 8, 5), "scale": "none"},
    {"shape": (1, 3, 29, 16, 33, 40), "scale": "mul", "mask": (29, 1), "y_grid": None},
    {"shape": (2, 1, 98, 98, 64, 64), "rank": 3, "scale": "mul"},
    {
        "shape": (1, 2, 40, 50, 12, 7),
        "y_grid": (0.011, np.int8(-9)),
        "w_grid": (0.003, np.uint8(7)),
    },
    {"shape": (1, 2, 17, 90, 16, 16), "grids": ((0.02, np.int8(-3)), KV_GRID, KV_GRID)},
]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_the_bytes_of_the_composition(case, level, rng):
    """At each instruction set, for 1, 2, 3 and 8 threads."""
    fused, apart = network(**case), network(**case, apart=True)
    feeds = feeds_for(fused, rng)
    expected = compile(apart, threads=1).run(feeds)["y"]

    assert "attention_s8" in kernels_of(fused, feeds)
    assert "gemm_s8" not in kernels_of(fused, feeds)
    assert "softmax" in kernels_of(apart, feeds)
    for threads in (1, 2, 3, 8):
        found = compile(fused, threads=threads).run(feeds)["y"]
        assert expected.tobytes() == found.tobytes()


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_like_the_definitions(case, rng):
    """The reference definitions give the same codes but where rounding meets a tie."""
    graph = network(**case)
    feeds = feeds_for(graph, rng)
    expected = interpret(graph, feeds)["y"]
    found = compile(graph, threads=2).run(feeds)["y"]
    step = (case.get("y_grid") or (2e-3, 0))[0] if "y_grid" in case else Y_GRID[0]

    assert np.abs(found - expected).max() <= 1.01 * step
    assert (np.abs(found - expected) > 1e-5).mean() < 0.02


def test_a_sample_alone(rng):
    """A sample has the bytes that it has in a batch."""
    feeds = feeds_for(network((5, 2, 40, 37, 24, 24)), rng)
    whole = compile(network((5, 2, 40, 37, 24, 24)), threads=2).run(feeds)["y"]
    alone = compile(network((1, 2, 40, 37, 24, 24)), threads=2)
    for i in range(5):
        found = alone.run({name: a[i : i + 1] for name, a in feeds.items()})["y"]
        assert whole[i : i + 1].tobytes() == found.tobytes()


def test_extreme_scores(rng):
    """Saturated codes, infinite masks, NaN, rows that are hidden altogether."""
    case = {"shape": (1, 2, 20, 40, 8, 8), "mask": (1, 1, 20, 40)}
    fused, apart = network(**case), network(**case, apart=True)
    feeds = feeds_for(fused, rng, spread=1e18)
    feeds["mask"][0, 0, 3] = -np.inf
    feeds["mask"][0, 0, 5, 1] = np.nan
    feeds["mask"][0, 0, 6, 1] = np.inf
    expected = compile(apart, threads=1).run(feeds)["y"]

    assert expected.tobytes() == compile(fused, threads=1).run(feeds)["y"].tobytes()


UNFIT = [
    {"w_grid": (1 / 127, np.int8(0))},  # kernels multiply unsigned by signed bytes
    {"grids": (Q_GRID, (0.017, np.int8(2)), KV_GRID)},
    {"grids": (Q_GRID, KV_GRID, (0.017, np.uint8(128)))},
    {"grids": ((1e-4, np.int16(0)), KV_GRID, KV_GRID)},
]


@pytest.mark.parametrize("case", UNFIT, ids=range(len(UNFIT)))
def test_other_codes_are_left_apart(case, rng):
    """What the kernel does not take is planned operator by operator, with the same bytes."""
    graph = network((1, 2, 20, 30, 16, 16), **case)
    feeds = feeds_for(graph, rng)
    expected = compile(network((1, 2, 20, 30, 16, 16), **case, apart=True)).run(feeds)["y"]

    assert "attention_s8" not in kernels_of(graph, feeds)
    assert expected.tobytes() == compile(graph).run(feeds)["y"].tobytes()
