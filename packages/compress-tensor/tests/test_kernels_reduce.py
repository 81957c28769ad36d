"""Reductions, searches and normalisations of libcore against numpy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from compress_tensor.native.call import call
from compress_tensor.native.library import ISAS, core

SUM, MEAN, MAX, MIN, PROD, SUM_SQUARE, L1, L2, LOG_SUM, LOG_SUM_EXP = range(10)

REFERENCE = {
    SUM: lambda x, **k: x.sum(**k),
    MEAN: lambda x, **k: x.mean(**k),
    MAX: lambda x, **k: x.max(**k),
    MIN: lambda x, **k: x.min(**k),
    PROD: lambda x, **k: x.prod(**k),
    SUM_SQUARE: lambda x, **k: (x * x).sum(**k),
    L1: lambda x, **k: abs(x).sum(**k),
    L2: lambda x, **k: np.sqrt((x * x).sum(**k)),
    LOG_SUM: lambda x, **k: np.log(x.sum(**k)),
    LOG_SUM_EXP: lambda x, **k: np.log(np.exp(x).sum(**k)),
}


@pytest.fixture
def rng():
    """One seeded generator per test."""
    return np.random.default_rng(20)


def layouts(x):
    """Yield x in every order of its dims in memory, and with one dim reversed."""
    for order in itertools.permutations(range(x.ndim)):
        yield np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    yield x[::-1].copy()[::-1]


def reduce(x, axes, function):
    """Run the kernel with keepdims."""
    out = np.empty([1 if i in axes else n for i, n in enumerate(x.shape)], x.dtype)
    call("reduce", [x, out], [function])
    return out


@pytest.mark.parametrize("axes", [(2,), (0,), (1,), (0, 1), (1, 2), (0, 2), (0, 1, 2), ()])
@pytest.mark.parametrize("function", range(10))
def test_reduce_matches_numpy_and_ignores_layout(function, axes, rng):
    """Each reduction is numpy's up to rounding, and the same bytes for every layout."""
    x = rng.uniform(0.5, 1.5, (3, 37, 70)).astype(np.float32)

    expected = REFERENCE[function](x.astype(np.float64), axis=axes, keepdims=True)
    first = reduce(x, axes, function)

    with np.errstate(over="ignore"):
        np.testing.assert_allclose(first, expected.astype(np.float32), rtol=1e-5, atol=1e-6)
    for view in layouts(x):
        assert first.tobytes() == np.ascontiguousarray(reduce(view, axes, function)).tobytes()


def test_reduce_is_the_same_on_every_instruction_set(rng):
    """Scalar, AVX2 and AVX-512 add in the same order."""
    x = rng.normal(size=(5, 33, 67)).astype(np.float32)
    seen = set()
    for isa in (0, 1, 2):
        core().cpr_limit_isa(isa)
        seen.add(b"".join(reduce(x, a, f).tobytes() for a in ((2,), (1,)) for f in range(8)))
    core().cpr_limit_isa(len(ISAS) - 1)

    assert len(seen) == 1


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("function", [SUM, MAX, MIN, PROD])
def test_reduce_of_integers_wraps(function, dtype, rng):
    """Integer reductions are exact modulo the width."""
    x = rng.integers(-9, 9, (4, 5, 6)).astype(dtype)

    expected = REFERENCE[function](x, axis=(0, 2), keepdims=True).astype(dtype)

    assert np.array_equal(
        expected, reduce(x.transpose(0, 1, 2)[:, ::-1], (0, 2), function)[:, ::-1]
    )


def test_empty_reduction_gives_the_identity():
    """No elements: 0, 1, -inf, inf."""
    x = np.empty((2, 0, 3), np.float32)

    assert (reduce(x, (1,), SUM) == 0).all()
    assert (reduce(x, (1,), PROD) == 1).all()
    assert (reduce(x, (1,), MAX) == -np.inf).all()
    assert (reduce(x, (1,), MIN) == np.inf).all()


def test_log_sum_exp_of_infinities():
    """Rows of -inf give -inf, a row with +inf gives +inf."""
    x = np.array([[-np.inf, -np.inf], [np.inf, 0], [1000, 1000]], np.float32)

    expected = np.array([[-np.inf], [np.inf], [1000 + np.log(2)]], np.float32)

    assert np.array_equal(expected, reduce(x, (1,), LOG_SUM_EXP))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_arg(name, axis, rng):
    """The first, or the last, of equal extremes."""
    x = rng.integers(0, 4, (5, 6, 7)).astype(np.float32)
    found = getattr(np, name)

    for view in layouts(x):
        out = np.empty([1 if i == axis else n for i, n in enumerate(x.shape)], np.int64)
        call(name, [view, out], [axis, 0])
        assert np.array_equal(found(x, axis, keepdims=True), out)
        call(name, [view, out], [axis, 1])
        last = x.shape[axis] - 1 - found(np.flip(x, axis), axis, keepdims=True)
        assert np.array_equal(last, out)


def test_argmax_of_nan_is_the_first_nan():
    """As in numpy."""
    x = np.array([1, np.nan, 3, np.nan], np.float32)
    out = np.empty(1, np.int64)

    call("argmax", [x, out], [0, 0])
    assert out[0] == 1
    call("argmax", [x, out], [0, 1])
    assert out[0] == 3


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.int64])
def test_cumsum(axis, dtype, rng):
    """Forward and reverse, inclusive and exclusive."""
    x = rng.integers(-9, 9, (6, 7)).astype(dtype)
    out = np.empty_like(x)

    call("cumsum", [x, out], [axis, 0, 0])
    assert np.array_equal(np.cumsum(x, axis), out)
    call("cumsum", [x, out], [axis, 1, 0])
    assert np.array_equal(np.cumsum(x, axis) - x, out)
    call("cumsum", [x, out], [axis, 0, 1])
    assert np.array_equal(np.flip(np.cumsum(np.flip(x, axis), axis), axis), out)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("k", [1, 3, 17, 40])
def test_top_k_breaks_ties_by_index(largest, k, rng):
    """The order is that of a stable sort."""
    x = rng.integers(0, 9, (3, 40)).astype(np.float32)
    values, indices = np.empty((3, k), np.float32), np.empty((3, k), np.int64)

    call("top_k", [x, values, indices], [1, largest, 1])
    expected = np.argsort(-x if largest else x, axis=1, kind="stable")[:, :k]

    assert np.array_equal(expected, indices)
    assert np.array_equal(np.take_along_axis(x, expected, 1), values)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("size", [1, 15, 300])
def test_softmax_and_log_softmax(axis, size, rng):
    """Within a few ulp of float64, any layout the same bytes."""
    shape = [2, 3, 4]
    shape[axis] = size
    x = (rng.normal(size=shape) * 5).astype(np.float32)
    wide = x.astype(np.float64)
    e = np.exp(wide - wide.max(axis, keepdims=True))
    expected = e / e.sum(axis, keepdims=True)
    out, log = np.empty_like(x), np.empty_like(x)

    call("softmax", [x, out], [axis])
    call("log_softmax", [x, log], [axis])

    np.testing.assert_allclose(out, expected, rtol=2e-6, atol=1e-38)
    np.testing.assert_allclose(log, np.log(expected), rtol=1e-5, atol=3e-6)
    for view in layouts(x):
        other = np.empty_like(x).T.reshape(x.shape)
        call("softmax", [view, other], [axis])
        assert out.tobytes() == other.tobytes()


@pytest.mark.parametrize("trailing", [1, 2])
@pytest.mark.parametrize("with_bias", [False, True])
def test_layer_norm(trailing, with_bias, rng):
    """Output, mean and inverse deviation."""
    x = (rng.normal(size=(4, 5, 48)) + 3).astype(np.float32)
    axes = tuple(range(3 - trailing, 3))
    scale, bias = (rng.normal(size=x.shape[3 - trailing :]).astype(np.float32) for _ in "ab")
    rows = [*x.shape[: 3 - trailing], *[1] * trailing]
    out, mean, inv = np.empty_like(x), np.empty(rows, np.float32), np.empty(rows, np.float32)
    wide = x.astype(np.float64)
    m, v = wide.mean(axes, keepdims=True), wide.var(axes, keepdims=True)
    expected = (wide - m) / np.sqrt(v + 1e-5) * scale + (bias if with_bias else 0)

    call("layer_norm", [x, scale, bias if with_bias else None, out, mean, inv], [trailing, 1e-5])

    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=2e-6)
    np.testing.assert_allclose(mean, m, rtol=1e-6)
    np.testing.assert_allclose(inv, 1 / np.sqrt(v + 1e-5), rtol=1e-5)


def test_rms_norm(rng):
    """X over its root mean square."""
    x = rng.normal(size=(6, 100)).astype(np.float32)
    scale = rng.normal(size=100).astype(np.float32)
    out = np.empty_like(x)

    call("rms_norm", [x, scale, out], [1, 1e-6])
    wide = x.astype(np.float64)

    expected = wide / np.sqrt((wide**2).mean(1, keepdims=True) + 1e-6) * scale
    np.testing.assert_allclose(out, expected, rtol=2e-6)


@pytest.mark.parametrize("groups", [1, 3, 12, 84])
def test_group_norm_in_any_layout(groups, rng):
    """Groups and single channels; channels first and last give the same bytes."""
    x = (rng.normal(size=(2, 84, 5, 6)) + 1).astype(np.float32)
    scale, bias = rng.normal(size=(2, 84)).astype(np.float32)
    wide = x.astype(np.float64).reshape(2, groups, -1)
    y = (wide - wide.mean(2, keepdims=True)) / np.sqrt(wide.var(2, keepdims=True) + 1e-5)
    expected = y.reshape(x.shape) * scale[:, None, None] + bias[:, None, None]
    out = np.empty_like(x)

    call("group_norm", [x, scale, bias, out], [groups, 1e-5])

    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=3e-6)
    for view in layouts(x):
        other = np.empty((2, 5, 6, 84), np.float32).transpose(0, 3, 1, 2)
        call("group_norm", [view, scale, bias, other], [groups, 1e-5])
        assert np.array_equal(out, other)


@pytest.mark.parametrize("p", [1, 2])
def test_lp_norm(p, rng):
    """A row of zeros stays zero."""
    x = rng.normal(size=(3, 50, 2)).astype(np.float32)
    x[0, :, 0] = 0
    out = np.empty_like(x)

    call("lp_norm", [x, out], [1, p])
    norm = np.linalg.norm(x.astype(np.float64), p, axis=1, keepdims=True)

    expected = np.divide(x, norm, out=np.zeros(x.shape), where=norm != 0)
    np.testing.assert_allclose(out, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_lrn(size, rng):
    """A window over the channels, cut off at the ends."""
    x = rng.normal(size=(2, 7, 3, 4)).astype(np.float32)
    out = np.empty_like(x)

    call("lrn", [x, out], [size, 0.1, 0.75, 1.5])
    wide = x.astype(np.float64)
    sums = np.zeros_like(wide)
    for c in range(7):
        low, high = max(0, c - (size - 1) // 2), min(7, c + size // 2 + 1)
        sums[:, c] = (wide[:, low:high] ** 2).sum(1)

    np.testing.assert_allclose(out, wide / (1.5 + 0.1 / size * sums) ** 0.75, rtol=1e-6)
