"""Reductions, positions, sorting and cumulative sums against numpy."""

from __future__ import annotations

import numpy as np
import pytest

import compress_tensor as ct
from compress_tensor import DType, InputError, ShapeError, Tensor

TYPES = ["f4", "f2", "f8", "i8", "i4", "i1", "u1", "i2", "u2", "u4", "?"]


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(31)


def cases(rng, dtype, count=60):
    """Yield an array, its tensor and axes; some transposed, some with steps."""
    for _ in range(count):
        shape = rng.integers(1, 6, size=int(rng.integers(0, 5)))
        a = np.asarray(rng.standard_normal(shape) * 4).astype(dtype)
        a = a.T if rng.random() < 0.3 else a
        a = a[::-1] if a.ndim and rng.random() < 0.3 else a
        axes = rng.permutation(a.ndim)[: int(rng.integers(0, a.ndim + 1))].tolist()
        axis = None if rng.random() < 0.3 or not axes else tuple(axes)
        axis = axis[0] - a.ndim if axis and len(axis) == 1 else axis
        yield a, Tensor.from_numpy(a), axis, bool(rng.integers(0, 2))


def near(expected, tensor, terms, scale):
    """Assert equality within the rounding of a sum of so many terms of such a size."""
    found = ct.to_numbers(tensor)
    assert expected.shape == found.shape
    eps = {DType.FLOAT16: 2.0**-10, DType.BFLOAT16: 2.0**-7, DType.FLOAT64: 2.0**-52}.get(
        tensor.dtype, 2.0**-23
    )
    bound = eps * (terms + 2) * (scale + 1e-6)
    assert (np.abs(expected - found.astype("f8")) <= bound).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_sums_and_means(dtype, rng):
    """sum, prod, mean, var, std: types and values."""
    for a, t, axis, keep in cases(rng, dtype):
        wide = a.astype("f8")
        terms, scale = a.size, np.abs(wide).sum() + 1
        floating = t.dtype if a.dtype.kind == "f" else DType.FLOAT32
        found = ct.sum(t, axis, keepdims=keep)
        if a.dtype.kind == "f":
            near(wide.sum(axis, keepdims=keep), found, terms, scale)
            assert found.dtype is t.dtype
        else:
            assert np.array_equal(a.sum(axis, keepdims=keep, dtype="i8"), found.numpy())
            assert found.dtype is DType.INT64
            product = ct.prod(t, axis, keepdims=keep)
            assert np.array_equal(a.prod(axis, keepdims=keep, dtype="i8"), product.numpy())
        for name in ("mean", "var", "std"):
            found = getattr(ct, name)(t, axis, keepdims=keep)
            assert found.dtype is floating
            expected = getattr(np, name)(wide, axis, keepdims=keep)
            near(
                expected,
                found,
                terms,
                4 * scale + np.abs(wide).max() ** 2 if name != "mean" else scale,
            )


@pytest.mark.parametrize("dtype", TYPES)
def test_extremes_and_their_places(dtype, rng):
    """max, min, argmax, argmin, any, all are exact."""
    for a, t, axis, keep in cases(rng, dtype):
        for name in ("max", "min", "any", "all"):
            expected = getattr(np, name)(a, axis=axis, keepdims=keep)
            found = getattr(ct, name)(t, axis, keepdims=keep)
            assert np.array_equal(expected, found.numpy())
            assert np.asarray(expected).dtype == found.numpy().dtype
        one = int(rng.integers(-a.ndim, a.ndim)) if a.ndim and rng.random() < 0.7 else None
        for name in ("argmax", "argmin"):
            expected = getattr(np, name)(a, axis=one, keepdims=keep)
            assert np.array_equal(expected, getattr(ct, name)(t, one, keepdims=keep).numpy())
        if one is not None:
            found = ct.cumsum(t, one)
            expected = np.cumsum(a, one, dtype="f8" if a.dtype.kind == "f" else "i8")
            near(expected, found, a.size, np.abs(a.astype("f8")).sum() + 1)


def test_nan_wins():
    """As in numpy, for extremes and places."""
    a = np.array([[1, np.nan, 3], [4, 5, 6]], "f4")
    for name in ("max", "min", "argmax", "argmin"):
        expected = getattr(np, name)(a, axis=1)
        assert np.array_equal(expected, getattr(ct, name)(Tensor(a), 1).numpy(), equal_nan=True)


def test_norms_and_logsumexp(rng):
    """Orders 0, 1, 2, 3, inf, -inf; log-sum-exp of large numbers and infinities."""
    a = rng.standard_normal((4, 5)).astype("f4")
    for order in (0, 1, 2, 3, np.inf, -np.inf):
        for axis in (None, 0, 1):
            expected = np.linalg.norm(
                a.reshape(-1).astype("f8") if axis is None else a, order, axis
            )
            assert abs(expected - ct.norm(a, order, axis).numpy()).max() < 1e-5
    b = np.array([[1000, 1001], [-1000, -1001], [-np.inf, 0], [-np.inf, -np.inf]], "f4")
    expected = np.logaddexp(b[:, 0].astype("f8"), b[:, 1])
    found = ct.logsumexp(b, 1).numpy()
    assert np.array_equal(expected.astype("f4"), found)


def test_empty_and_wrong_axes():
    """Sums of nothing are 0, extremes of nothing are refused; wrong axes name the rank."""
    empty = ct.zeros(0, 3)
    assert ct.sum(empty).item() == 0
    assert ct.sum(empty, 0).tolist() == [0, 0, 0]
    assert ct.prod(empty, 0).tolist() == [1, 1, 1]
    assert np.isnan(ct.mean(empty, 0).numpy()).all()
    assert ct.max(empty, 1).shape == (0,)
    assert ct.any(empty, 0).tolist() == [False] * 3
    assert ct.all(empty).item() is True
    assert ct.argmax(empty, 1).shape == (0,)
    for wrong in (ct.max, ct.argmin):
        with pytest.raises(InputError, match="of no elements"):
            wrong(empty, 0)
    with pytest.raises(ShapeError, match="axis 2 is out of range for a 2-d tensor"):
        ct.sum(empty, 2)
    with pytest.raises(ShapeError, match="twice"):
        ct.sum(empty, (0, -2))
    assert ct.sum(ct.ones(2, 2), ()).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("dtype", TYPES)
def test_sorting(dtype, rng):
    """sort, argsort and topk: order, ties, both directions."""
    for a, t, _, _ in cases(rng, dtype):
        if not a.ndim:
            continue
        axis = int(rng.integers(-a.ndim, a.ndim))
        assert np.array_equal(np.sort(a, axis), ct.sort(t, axis).numpy())
        order = np.argsort(a, axis, kind="stable")
        assert np.array_equal(order, ct.argsort(t, axis).numpy())
        down = ct.sort(t, axis, descending=True).numpy()
        assert np.array_equal(np.flip(np.sort(a, axis), axis), down)
        k = int(rng.integers(0, a.shape[axis] + 1))
        values, places = ct.topk(t, k, axis)
        assert np.array_equal(np.take(down, np.arange(k), axis), values.numpy())
        assert np.array_equal(values.numpy(), np.take_along_axis(a, places.numpy(), axis))
    with pytest.raises(InputError, match="topk"):
        ct.topk(ct.zeros(3), 4)


def test_nan_sorts_last():
    """NaN counts as the largest."""
    a = np.array([3, np.nan, 1, -np.inf, np.inf], "f4")
    assert np.array_equal(np.sort(a), ct.sort(a).numpy(), equal_nan=True)
    assert [3, 2, 0, 4, 1] == ct.argsort(a).tolist()
