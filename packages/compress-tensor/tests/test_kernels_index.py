"""Pools, gathers, scatters and resizing of libcore against the reference definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from compress_tensor.backend.reference import gather as ref
from compress_tensor.backend.reference import pool as ref_pool
from compress_tensor.backend.reference.movement import trilu
from compress_tensor.errors import NativeArgumentError
from compress_tensor.native.call import call


@pytest.fixture
def rng():
    """One seeded generator per test."""
    return np.random.default_rng(22)


def any_layout(x):
    """Yield x as it is, channels last, and reversed in memory."""
    yield x
    order = (0, *range(2, x.ndim), 1)
    yield np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))
    yield np.ascontiguousarray(x[..., ::-1])[..., ::-1]


POOLS = [
    # kernel, stride, pads (top left bottom right), dilation
    ((3, 3), (2, 2), (1, 1, 1, 1), (1, 1)),
    ((2, 2), (2, 2), (0, 0, 0, 0), (1, 1)),
    ((3, 2), (1, 2), (1, 0, 2, 1), (2, 1)),
    ((1, 5), (1, 3), (0, 2, 0, 2), (1, 1)),
    ((9, 8), (1, 1), (4, 4, 4, 3), (1, 1)),
]


@pytest.mark.parametrize(("kernel", "stride", "pads", "dilation"), POOLS)
@pytest.mark.parametrize("channels", [1, 5, 64, 83])
@pytest.mark.parametrize("ceil_mode", [0, 1])
def test_pools(kernel, stride, pads, dilation, channels, ceil_mode, rng):
    """Any layout: maximum in three types, with indices, and both averages."""
    attributes = {
        "kernel_shape": list(kernel),
        "strides": list(stride),
        "pads": list(pads),
        "dilations": list(dilation),
        "ceil_mode": ceil_mode,
    }
    args = [*kernel, *stride, *pads, *dilation]
    x = rng.normal(size=(2, channels, 9, 8)).astype(np.float32)
    for source in (x, (x * 30).astype(np.int8), (x * 30).astype(np.uint8)):
        (expected,) = ref_pool.max_pool(source, **attributes)
        for view in any_layout(source):
            out = np.empty_like(view, shape=expected.shape)
            call("max_pool", [view, out], args)
            assert np.array_equal(expected, out)
            last = np.empty(np.array(expected.shape)[[0, 2, 3, 1]], source.dtype).transpose(
                0, 3, 1, 2
            )
            call("max_pool", [view, last], args)
            assert np.array_equal(expected, last)
    for order in (0, 1):
        expected, places = ref_pool.max_pool(x, **attributes, storage_order=order, n_outputs=2)
        out, indices = np.empty_like(expected), np.empty(expected.shape, np.int64)
        call("max_pool", [x, out, indices], [*args, order])
        assert np.array_equal(places, indices)
        assert np.array_equal(expected, out)
    for include in (0, 1):
        expected = ref_pool.average_pool(x, **attributes, count_include_pad=include)
        seen = []
        for view in any_layout(x):
            out = np.empty_like(view, shape=expected.shape)
            call("average_pool", [view, out], [*args, include])
            np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
            seen.append(np.ascontiguousarray(out).tobytes())
        assert len(set(seen)) == 1


def test_max_pool_propagates_nan(rng):
    """In both layouts."""
    x = rng.normal(size=(1, 16, 4, 4)).astype(np.float32)
    x[0, :, 1, 2] = np.nan
    for view in any_layout(x):
        out = np.empty((1, 16, 2, 2), np.float32)
        call("max_pool", [view, out], [2, 2, 2, 2, 0, 0, 0, 0, 1, 1])
        assert np.isnan(out[0, :, 0, 1]).all()
        assert not np.isnan(out[0, :, 1]).any()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("index_type", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", ["u1", "f2", "f4", "i8"])
def test_gather(axis, index_type, dtype, rng):
    """Negative indices count from the end; any layout of each operand."""
    x = rng.integers(0, 99, (4, 5, 6)).astype(dtype)
    indices = rng.integers(-x.shape[axis], x.shape[axis], (2, 3)).astype(index_type)
    expected = np.take(x, indices, axis)
    out = np.empty(expected.shape, dtype)

    for view in (x, np.asfortranarray(x), x[::-1].copy()[::-1]):
        call("gather", [view, indices, out], [axis])
        assert np.array_equal(expected, out)
    call("gather", [x, np.asfortranarray(indices), out.T.copy().T], [axis])
    scalar = np.empty(np.take(x, 1, axis).shape, dtype)
    call("gather", [x, np.array(1, index_type), scalar], [axis])
    assert np.array_equal(np.take(x, 1, axis), scalar)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gather_and_scatter_elements(axis, rng):
    """Indices may be smaller than the data in the other dims."""
    x = rng.integers(-9, 9, (4, 5, 6)).astype(np.float32)
    shape = [3, 4, 5]
    shape[axis] = 7
    indices = rng.integers(-x.shape[axis], x.shape[axis], shape)
    out = np.empty(shape, np.float32)
    call("gather_elements", [x, indices, out], [axis])
    assert np.array_equal(ref.gather_elements(x, indices, axis=axis), out)
    updates = rng.integers(-9, 9, shape).astype(np.float32)
    for code, reduction in enumerate(["none", "add", "mul", "max", "min"]):
        for dtype in ("f4", "i4", "i8", "i1", "u1"):
            d, u = abs(x).astype(dtype), abs(updates % 3).astype(dtype)
            out = np.empty(x.shape, dtype)
            call("scatter_elements", [d, indices, u, out], [axis, code])
            expected = ref.scatter_elements(d, indices, u, axis=axis, reduction=reduction)
            assert np.array_equal(expected, out)
            call("scatter_elements", [d, indices, u, d], [axis, code])
            assert np.array_equal(expected, d)


@pytest.mark.parametrize("batch", [0, 1])
def test_gather_nd(batch, rng):
    """Tuples of indices, with and without batch dims."""
    x = rng.normal(size=(3, 4, 5, 6)).astype(np.float32)
    for size in (1, 2, 3):
        limits = x.shape[batch : batch + size]
        indices = np.stack([rng.integers(-n, n, (3, 2)) for n in limits], -1)
        expected = ref.gather_nd(x, indices, batch_dims=batch)
        out = np.empty(expected.shape, np.float32)
        call("gather_nd", [x, indices, out], [batch])
        assert np.array_equal(expected, out)


def test_scatter_nd(rng):
    """Blocks of every size, with duplicates, in place too."""
    for size, (code, reduction) in itertools.product(
        (1, 2, 3), enumerate(["none", "add", "mul", "max", "min"])
    ):
        x = rng.integers(0, 9, (3, 4, 5)).astype(np.float32)
        indices = np.stack([rng.integers(-n, n, (4, 3)) for n in x.shape[:size]], -1)
        updates = rng.integers(0, 9, (4, 3, *x.shape[size:])).astype(np.float32)
        expected = ref.scatter_nd(x, indices, updates, reduction=reduction)
        out = np.empty_like(x)
        call("scatter_nd", [x, indices, updates, out], [code])
        assert np.array_equal(expected, out)
        call("scatter_nd", [x, indices, updates, x], [code])
        assert np.array_equal(expected, x)


@pytest.mark.parametrize("bad", [4, -5, 2**40])
def test_an_index_out_of_range_is_an_error(bad):
    """Nothing is read, and the sentence names the index."""
    x, out = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32)
    pairs = np.array([[bad]] * 4)
    calls = [
        ("gather", [x, np.array([bad, 0, 0, 0]), out], [0]),
        ("gather_elements", [x, np.full((4, 4), bad), out], [0]),
        ("gather_nd", [x, pairs, out], [0]),
        ("scatter_elements", [x, np.full((4, 4), bad), x, out], [0, 0]),
        ("scatter_nd", [x, pairs, x, out], [0]),
        ("resize_nearest", [x, out, np.array([bad, 0, 0, 0])], []),
    ]
    for name, operands, args in calls:
        with pytest.raises(NativeArgumentError, match=f"{name}: index {bad} is out of range"):
            call(name, operands, args)
    weights = np.ones((4, 2), np.float32)
    starts = np.array([3, 0, 0, 0], np.int32)
    with pytest.raises(NativeArgumentError, match="start 3 with 2 taps"):
        call("resize_weights", [x, starts, weights, out], [0])


def test_one_hot_and_trilu(rng):
    """An index out of range is a row of the off value."""
    indices = np.array([[0, 2, -1], [5, -4, -3]])
    out = np.empty((2, 3, 3), np.float32)
    call("one_hot", [indices, np.array([2, 7], np.float32), out], [1])
    expected = np.full((2, 3, 3), 2, np.float32)
    for (i, j), v in np.ndenumerate(indices):
        if -3 <= v < 3:
            expected[i, v % 3, j] = 7
    assert np.array_equal(expected, out)
    x = rng.integers(1, 99, (2, 4, 5))
    out = np.empty_like(x)
    for upper, k in itertools.product((0, 1), range(-6, 7)):
        call("trilu", [x, out], [upper, k])
        assert np.array_equal(trilu(x, np.array(k), upper=upper), out)


def test_resize_nearest(rng):
    """Tables on some dims, in each layout."""
    x = rng.normal(size=(2, 9, 4, 5)).astype(np.float32)
    h, w = rng.integers(0, 4, 7), rng.integers(0, 5, 11)
    for view in any_layout(x):
        for out in (
            np.empty((2, 9, 7, 11), np.float32),
            np.empty((2, 7, 11, 9), np.float32).transpose(0, 3, 1, 2),
        ):
            call("resize_nearest", [view, out, None, None, h, w])
            assert np.array_equal(x[:, :, h][..., w], out)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_resize_weights(axis, rng):
    """A sum of taps in order; a tap of weight 0 is not read."""
    x = rng.normal(size=(5, 6, 70)).astype(np.float32)
    n, taps = 9, 3
    starts = rng.integers(0, x.shape[axis] - taps + 1, n).astype(np.int32)
    weights = rng.normal(size=(n, taps)).astype(np.float32)
    weights[:, 2] = 0
    shape = list(x.shape)
    shape[axis] = n
    parts = [
        sum(weights[o, t].astype(float) * np.take(x, starts[o] + t, axis) for t in range(2))
        for o in range(n)
    ]
    seen = []
    for view in (x, np.asfortranarray(x), x[::-1].copy()[::-1]):
        out = np.empty_like(view, shape=shape)
        call("resize_weights", [view, starts, weights, out], [axis])
        np.testing.assert_allclose(out, np.stack(parts, axis), rtol=1e-5, atol=1e-6)
        seen.append(np.ascontiguousarray(out).tobytes())
    assert len(set(seen)) == 1
