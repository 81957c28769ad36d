"""Fused attention: the bytes of the operators that it replaces, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from attention_feeds import feeds_for, kernels_of, scaled

from compress_tensor import Builder, DType, compile  # noqa: A004
from compress_tensor.native.call import call


@pytest.fixture
def rng():
    """One seeded generator per test."""
    return np.random.default_rng(33)


def network(batch, heads, m, n, size, *, scale="div", mask=None, apart=False, exported=True):
    """Write attention out; ``apart`` reads the softmax twice, so that nothing is fused."""
    b = Builder("attention")
    if exported:
        q, k, v = (
            b.reshape(
                b.input(name, DType.FLOAT32, (batch, tokens, heads * size)),
                np.array([0, 0, heads, size], np.int64),
            )
            for name, tokens in (("q", m), ("k", n), ("v", n))
        )
        q, v = (b.transpose(x, perm=[0, 2, 1, 3]) for x in (q, v))
        k = b.transpose(k, perm=[0, 2, 3, 1])
    else:
        q, v = (
            b.input(name, DType.FLOAT32, (batch, heads, tokens, size))
            for name, tokens in (("q", m), ("v", n))
        )
        k = b.input("k", DType.FLOAT32, (batch, heads, size, n))
    scores = scaled(q @ k, size, scale)
    if mask is not None:
        scores = b.input("mask", DType.FLOAT32, mask) + scores
    weights = b.softmax(scores, axis=-1)
    y = weights @ v
    if exported:
        y = b.reshape(b.transpose(y, perm=[0, 2, 1, 3]), np.array([0, 0, heads * size], np.int64))
    b.output("y", y)
    if apart:
        b.output("seen", b.neg(weights))
    return b.graph()


CASES = [
    {"m": 7, "n": 7, "scale": "div", "mask": (2, 1, 1, 7)},
    {"m": 60, "n": 61, "scale": "div", "mask": (2, 3, 60, 61)},
    {"m": 130, "n": 33, "scale": "mul", "mask": (60, 33)[1:]},
    {"m": 1, "n": 200, "scale": "none", "mask": None},
    {"m": 29, "n": 16, "scale": "mul", "mask": (29, 1)},
]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
@pytest.mark.parametrize("exported", [True, False], ids=["exported", "plain"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_bytes_of_the_composition(case, exported, precision, level, rng):
    """At each instruction set, for 1, 2, 3 and 8 threads."""
    shape = {"batch": 2, "heads": 3, "size": 20, "exported": exported, **case}
    fused, apart = network(**shape), network(**shape, apart=True)
    feeds = feeds_for(fused, rng)
    expected = compile(apart, threads=1, precision=precision).run(feeds)["y"]
    half = precision == "bf16" and case["n"] >= 16

    assert f"attention_{'bf16' if half else 'f32'}" in kernels_of(fused, feeds, precision)
    assert "softmax" in kernels_of(apart, feeds, precision)
    for threads in (1, 2, 3, 8):
        session = compile(fused, threads=threads, precision=precision)
        assert expected.tobytes() == session.run(feeds)["y"].tobytes()


def test_a_sample_alone(rng):
    """A sample has the bytes that it has in a batch, and a query those it has among others."""
    graph = network("N", 2, "M", 37, 24, exported=False)
    feeds = feeds_for(network(5, 2, 70, 37, 24, exported=False), rng)
    session = compile(graph, threads=2)
    whole = session.run(feeds)["y"]

    for i in range(5):
        alone = session.run({name: a[i : i + 1] for name, a in feeds.items()})["y"]
        assert whole[i : i + 1].tobytes() == alone.tobytes()
    one = session.run({**feeds, "q": feeds["q"][:, :, 41:42]})["y"]
    assert whole[:, :, 41:42].tobytes() == one.tobytes()


def test_extreme_scores(rng):
    """Large scores, infinite masks, rows that are hidden altogether: as one after the other."""
    shape = {"batch": 1, "heads": 2, "m": 20, "n": 40, "size": 8, "mask": (1, 1, 20, 40)}
    fused, apart = network(**shape), network(**shape, apart=True)
    feeds = feeds_for(fused, rng, spread=1e18)
    feeds["mask"][0, 0, 3] = -np.inf
    feeds["mask"][0, 0, 5, 1] = np.nan
    feeds["mask"][0, 0, 6, 1] = np.inf
    expected = compile(apart, threads=1).run(feeds)["y"]
    found = compile(fused, threads=1).run(feeds)["y"]

    assert np.isnan(expected[0, 3]).all()
    assert np.array_equal(expected, found, equal_nan=True)


def test_like_torch(rng):
    """The usual attention of another library, to the rounding of sums of that many products."""
    torch = pytest.importorskip("torch")
    graph = network(2, 4, 50, 50, 32, exported=False)
    feeds = feeds_for(graph, rng)
    found = compile(graph, threads=2).run(feeds)["y"]
    q, k, v = (torch.from_numpy(feeds[name]) for name in "qkv")
    expected = torch.nn.functional.scaled_dot_product_attention(q, k.transpose(2, 3), v).numpy()

    assert np.abs(found - expected).max() <= 50 * 2.0**-23 * np.abs(feeds["v"]).max()


@pytest.mark.parametrize("axis", [1, 2])
def test_another_axis_is_left_alone(axis, rng):
    """A softmax that is not over the keys."""
    b = Builder("other")
    q, k = b.input("q", DType.FLOAT32, (2, 6, 5)), b.input("k", DType.FLOAT32, (2, 5, 6))
    v = b.input("v", DType.FLOAT32, (2, 6, 3))
    b.output("y", b.softmax(q @ k, axis=axis) @ v)
    graph = b.graph()
    feeds = {v.name: rng.standard_normal(v.shape).astype(np.float32) for v in graph.inputs}

    assert (axis == 2) == ("attention_f32" in kernels_of(graph, feeds))
    power = np.exp((feeds["q"] @ feeds["k"]).astype(np.float64))
    weights = power / power.sum(axis, keepdims=True)
    assert np.allclose(weights @ feeds["v"], compile(graph).run(feeds)["y"], rtol=1e-5, atol=1e-6)


def test_shapes_that_do_not_fit_are_left_alone(rng):
    """Keys shared by the batch through broadcasting go to the plain product."""
    b = Builder("broadcast")
    q = b.input("q", DType.FLOAT32, (3, 2, 4, 8))
    k, v = b.input("k", DType.FLOAT32, (2, 8, 5)), b.input("v", DType.FLOAT32, (2, 5, 8))
    b.output("y", b.softmax(q @ k, axis=-1) @ v)
    feeds = {v.name: rng.standard_normal(v.shape).astype(np.float32) for v in b.graph().inputs}

    assert "attention_f32" not in kernels_of(b.graph(), feeds)
    assert (3, 2, 4, 8) == compile(b.graph()).run(feeds)["y"].shape


def test_heads_that_share_keys(level, rng):
    """A stride of 0 over heads: grouped queries read one head of keys."""
    q, k, v = (rng.standard_normal((2, 4, 19, 8)).astype(np.float32) for _ in range(3))
    shared = [np.broadcast_to(x[:, :1], x.shape) for x in (k, v)]
    expected, found = np.empty_like(q), np.empty_like(q)
    call("attention_f32", [q, *map(np.ascontiguousarray, shared), None, expected], [1, 0.5])
    call("attention_f32", [q, *shared, None, found], [1, 0.5])

    assert expected.tobytes() == found.tobytes()


@pytest.mark.parametrize("n", [*range(1, 40), 63, 64, 65, 257, 600])
def test_softmax_of_any_length(n, level, rng):
    """Rows as in float64, with numbers of any size and NaN where there is one."""
    x = (rng.standard_normal((9, n)) * 20).astype(np.float32)
    x[4, rng.integers(n)] = np.nan
    x[5] = -3e38
    found = np.empty_like(x)
    call("softmax", [x, found], [1])
    power = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    expected = power / power.sum(1, keepdims=True)

    assert np.isnan(found[4]).all()
    rest = [0, 1, 2, 3, 5, 6, 7, 8]
    assert np.abs(found[rest] - expected[rest]).max() <= 1e-6
