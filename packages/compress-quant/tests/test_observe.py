"""Observers: against numpy, and the same whatever the order, batches and threads."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from compress_quant import INT8_SYMMETRIC, UINT8, Observer
from compress_quant.observe import (
    Histogram,
    Statistics,
    combined,
    observe,
    params_for,
    parse_bytes,
    range_of,
    signal_to_noise,
)
from compress_quant.observe.histogram import exponent_for
from compress_quant.observe.statistics import ExactSum
from compress_tensor import Builder, DType, InputError


@pytest.fixture
def rng():
    return np.random.default_rng(21)


def counted(parts, bins=256):
    """Return the histogram of arrays that come one after another."""
    found = Histogram(bins)
    for part in parts:
        found.widen(float(part.min()), float(part.max()))
        found.add(part)
    return found


def state(histogram):
    """Return everything a histogram holds."""
    return (
        histogram.low,
        histogram.high,
        histogram.zeros,
        histogram.exponent,
        histogram.first,
        histogram.counts.tolist(),
    )


def network():
    """Return a small convolutional network."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 3, 8, 8))
    w1 = rng.normal(size=(8, 3, 3, 3)).astype(np.float32) * 0.3
    w2 = rng.normal(size=(10, 8)).astype(np.float32)
    h = b.relu(b.conv(x, w1, pads=[1, 1, 1, 1], name="c"), name="r")
    h = b.flatten(b.global_average_pool(h, name="g"), name="f")
    b.output("y", b.gemm(h, w2, transB=1, name="l"))
    return b.graph()


def test_bins_are_those_of_numpy(rng):
    """Counts per bin equal numpy's on the same edges, zeros apart."""
    x = rng.normal(size=10000).astype(np.float32)
    x[::7] = 0
    found = counted([x])
    edges = (found.first + np.arange(len(found.counts) + 1)) * found.width
    expected, _ = np.histogram(x[x != 0], edges)

    assert expected.tolist() == found.counts.tolist()
    assert (x == 0).sum() == found.zeros
    assert (x.min(), x.max()) == (found.low, found.high)
    assert 128 <= len(found.counts) <= 256


@pytest.mark.parametrize("scale", [1e-40, 1e-20, 1.0, 1e20, 1e38])
def test_order_and_splits_do_not_matter(scale, rng):
    """The same bytes for every way to cut and merge, with ranges that grow on the way."""
    x = (np.clip(rng.standard_cauchy(5000), -3, 3) * scale).astype(np.float32)
    whole = counted([x])
    for _ in range(20):
        mixed = rng.permutation(x)
        cuts = np.sort(rng.integers(1, len(x), 5))
        parts = [p for p in np.split(mixed, cuts) if p.size]
        one = counted(parts)
        merged = Histogram(256)
        for part in parts:
            merged.merge(counted([part]))

        assert state(whole) == state(one)
        assert state(whole) == state(merged)


def test_the_exponent_only_grows_with_the_range(rng):
    """So that a histogram never needs what it has already forgotten."""
    low, high, last = 0.0, 0.0, -149
    for _ in range(200):
        value = float(np.float32(rng.normal() * 10.0 ** rng.uniform(-38, 38)))
        low, high = min(low, value), max(high, value)
        now = exponent_for(low, high, 512)

        assert now >= last
        assert np.floor(high / 2.0**now) - np.floor(low / 2.0**now) < 512
        last = now


@pytest.mark.parametrize("q", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999, 1.0])
def test_quantiles_are_within_a_bin_of_numpy(q, rng):
    """Interpolation inside a bin cannot be off by more."""
    x = rng.gamma(1.0, size=20001).astype(np.float32)
    found = counted([x])

    assert abs(found.quantile(q) - np.quantile(x, q)) <= 2 * found.width


def statistics_of(rows):
    found = Statistics()
    for i, row in enumerate(rows):
        found.add(float(row.min()), float(row.max()), row, i % 2)
    return found


def test_observers_against_numpy(rng):
    """Ranges that have a definition in numpy."""
    rows = rng.normal(0.5, 1.0, (50, 400)).astype(np.float32)
    found = statistics_of(rows)
    width = found.histogram.width
    tail = (1 - 0.99) / 2

    assert (rows.min(), rows.max()) == range_of(found, Observer.MINMAX, UINT8)
    low, high = range_of(found, Observer.PERCENTILE, UINT8, 99.0)
    assert abs(low - np.quantile(rows, tail)) <= 2 * width
    assert abs(high - np.quantile(rows, 1 - tail)) <= 2 * width
    low, high = range_of(found, Observer.AVERAGE, UINT8)
    assert low == pytest.approx(rows.min(axis=1).astype(np.float64).mean(), rel=1e-12)
    assert high == pytest.approx(rows.max(axis=1).astype(np.float64).mean(), rel=1e-12)


@pytest.mark.parametrize("observer", [o for o in Observer if o is not Observer.AUTO])
@pytest.mark.parametrize("grid", [UINT8, INT8_SYMMETRIC], ids=["u8", "s8"])
def test_every_range_holds_zero_and_stays_inside(observer, grid, rng):
    """For one-sided data, outliers, constants, and nothing at all."""
    outlier = np.zeros(1000, np.float32)
    outlier[3] = 7.0
    for rows in (
        rng.gamma(1.0, size=(4, 300)).astype(np.float32),
        -rng.gamma(1.0, size=(4, 300)).astype(np.float32),
        outlier[None],
        np.full((3, 10), 2.5, np.float32),
        np.zeros((3, 10), np.float32),
    ):
        found = statistics_of(rows)
        low, high = range_of(found, observer, grid)

        assert min(rows.min(), 0) <= low <= 0 <= high <= max(rows.max(), 0)
        assert (high > low) == bool(rows.any())
    assert range_of(Statistics(), observer, grid) == (0.0, 0.0)


def test_mse_beats_min_max_where_there_are_outliers(rng):
    """That is what it is for."""
    x = rng.laplace(size=(1, 100000)).astype(np.float32)
    found = statistics_of(x)
    noise = {
        o: signal_to_noise(found.histogram, params_for(found, o, UINT8, 99.99))
        for o in (Observer.MINMAX, Observer.MSE)
    }

    assert noise[Observer.MSE] > noise[Observer.MINMAX] + 0.5


def test_shared_scales_cover_all_partners(rng):
    """Combined statistics count everything."""
    a, b = (
        statistics_of(values.astype(np.float32))
        for values in (rng.normal(size=(4, 50)), 3 + rng.gamma(1, size=(4, 50)))
    )
    both = combined([a, b])

    assert both.histogram.total == a.histogram.total + b.histogram.total
    assert both.histogram.high == max(a.histogram.high, b.histogram.high)


@pytest.mark.parametrize("threads", [1, 2])
def test_shuffled_and_rebatched_data_are_the_same(threads, rng):
    """Statistics and kept samples: the same bytes."""
    graph = network()
    x = rng.normal(size=(40, 3, 8, 8)).astype(np.float32)
    names = ["x", "r", "f"]

    def run(order, size, memory=None):
        data = [{"x": x[order[i : i + size]]} for i in range(0, len(x), size)]
        found = observe(graph, data, names, threads=threads, keep=5, memory=memory)
        kept = np.concatenate([s["x"] for s in found.kept])
        return [state(h) for n in names for h in found.statistics[n].halves], kept.tobytes()

    expected = run(np.arange(40), 40)
    for size in (1, 3, 16, 40):
        assert expected == run(rng.permutation(40), size)


def test_memory_is_divided_into_groups(rng):
    """A small limit gives the same result in more runs; too small a one says what is needed."""
    from compress_quant.observe import memory

    graph = network()
    x = rng.normal(size=(6, 3, 8, 8)).astype(np.float32)
    names = ["x", "c", "r", "g", "f"]
    used = memory._in_use()
    single = {"x": x[:1]}
    fixed = used + (32 << 20) + (1 << 20)
    budgets = [
        memory.Budget.plan(graph, single, names, fixed + extra, 2, 64)
        for extra in (1 << 30, 1 << 20)
    ]

    assert [names] == budgets[0].groups
    assert budgets[0].rows > budgets[1].rows >= 1
    with pytest.raises(InputError, match="give at least"):
        observe(graph, [single], names, memory=1 << 20)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("512MB", 512_000_000), ("1.5 GiB", 3 << 29), ("2k", 2000), ("77", 77)],
)
def test_sizes_of_memory(text, expected):
    """Decimal and binary units."""
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "lots", "-1MB", "0", "1 TBB", "MB"])
def test_sizes_that_are_none(text):
    """One sentence."""
    with pytest.raises(InputError, match="not a size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("feeds", "text"),
    [
        ([], "empty"),
        ([{"z": np.zeros((1, 3, 8, 8), np.float32)}], "no input 'x'"),
        ([{"x": np.zeros((1, 3, 8, 8))}], "float64, not float32"),
        ([{"x": np.zeros((1, 4, 8, 8), np.float32)}], r"shape \[1, 4, 8, 8\]"),
        ([{"x": np.zeros((3, 8, 8), np.float32)}], "shape"),
        ([{"x": np.zeros((0, 3, 8, 8), np.float32)}], "is empty"),
        ([{"x": np.full((1, 3, 8, 8), np.nan, np.float32)}], "sample 0.*NaN"),
    ],
)
def test_data_that_do_not_serve(feeds, text):
    """Each names what is wrong."""
    with pytest.raises(InputError, match=text):
        observe(network(), feeds, ["x", "r"])


def test_the_sample_and_value_with_an_infinity_are_named(rng):
    """Input finite, activation not."""
    graph = network()
    graph.constants = {n: a.copy() for n, a in graph.constants.items()}
    x = rng.normal(size=(5, 3, 8, 8)).astype(np.float32)
    x[3] = 3e38
    with pytest.raises(InputError, match=r"'c'.*sample 3"):
        observe(graph, [{"x": x}], ["c"])


def test_exact_sums_depend_on_no_order(rng):
    """The mean of the extremes is the rounded exact one, over all exponents of float32."""
    values = (rng.normal(size=1000) * 2.0 ** rng.integers(-149, 127, 1000)).astype(np.float32)
    values[:3] = np.finfo(np.float32).max, -np.finfo(np.float32).max, 1e-45
    total = ExactSum()
    for part in np.array_split(rng.permutation(values), 7):
        total.add(part)

    assert total.value == sum(map(Fraction, values.astype(np.float64).tolist()))
