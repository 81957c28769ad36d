"""Moving elements and reading or writing at computed positions, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

import compress_tensor as ct
from compress_tensor import DType, InputError, ShapeError, Tensor

TYPES = ["f4", "f2", "f8", "i8", "i4", "i1", "u1", "?"]


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(51)


def array(rng, shape, dtype="f4"):
    return np.asarray(rng.standard_normal(shape) * 9).astype(dtype)


def shape_of(rng, least=1, most=5):
    return tuple(int(n) for n in rng.integers(least, 6, int(rng.integers(1, most))))


def same(expected, tensor):
    """Assert equal shape, type and elements."""
    assert np.asarray(expected).dtype == tensor.numpy().dtype
    assert np.shape(expected) == tensor.shape
    assert np.array_equal(expected, tensor.numpy())


@pytest.mark.parametrize("dtype", TYPES)
def test_joining_and_splitting(dtype, rng):
    """concat, stack, split, chunk, tile, repeat, flip, roll."""
    for _ in range(40):
        shape = shape_of(rng)
        axis = int(rng.integers(-len(shape), len(shape)))
        parts = []
        for _ in range(int(rng.integers(1, 5))):
            size = list(shape)
            size[axis] = int(rng.integers(0, 4))
            parts.append(array(rng, size, dtype))
        same(np.concatenate(parts, axis), ct.concat([Tensor(p) for p in parts], axis))
        a, b = array(rng, shape, dtype), array(rng, shape[::-1], dtype).T
        same(np.stack([a, b], axis), ct.stack([a, Tensor.from_numpy(b)], axis))
        t = Tensor(a)
        size = int(rng.integers(1, shape[axis] + 1))
        edges = np.arange(size, shape[axis], size)
        for expected, found in zip(np.split(a, edges, axis), ct.split(t, size, axis), strict=True):
            same(expected, found)
            assert found._storage is t._storage
        assert sum(p.shape[axis] for p in ct.chunk(t, 3, axis)) == shape[axis]
        counts = rng.integers(0, 3, int(rng.integers(1, len(shape) + 2))).tolist()
        same(np.tile(a, counts), ct.tile(t, counts))
        n = int(rng.integers(0, 4))
        same(np.repeat(a, n, axis), ct.repeat(t, n, axis))
        same(np.repeat(a, n), ct.repeat(t, n))
        same(np.flip(a, axis), ct.flip(t, axis))
        same(np.roll(a, n - 2, axis), ct.roll(t, n - 2, axis))


def test_joining_promotes_and_refuses():
    """Types meet; empty lists, 0-d tensors and different shapes are refused."""
    assert ct.concat([ct.ones(2, dtype="int8"), ct.ones(1)]).dtype is DType.FLOAT32
    assert ct.concat([Tensor([1], "int4"), Tensor([2, 3], "int4")]).tolist() == [1, 2, 3]
    for wrong in (lambda: ct.concat([]), lambda: ct.stack([])):
        with pytest.raises(InputError, match="at least one"):
            wrong()
    with pytest.raises(ShapeError, match="use stack"):
        ct.concat([ct.ones(()), ct.ones(())])
    with pytest.raises(ShapeError, match="Concat"):
        ct.concat([ct.ones(2, 3), ct.ones(2, 2)])
    with pytest.raises(ShapeError, match="differ"):
        ct.stack([ct.ones(2), ct.ones(3)])
    with pytest.raises(ShapeError, match="do not add up"):
        ct.split(ct.ones(5), [2, 2])


@pytest.mark.parametrize("dtype", TYPES)
def test_pad(dtype, rng):
    """Four modes, as numpy's."""
    for _ in range(30):
        a = array(rng, shape_of(rng, 2, 4), dtype)
        widths = [tuple(int(n) for n in rng.integers(0, 2, 2)) for _ in a.shape]
        same(np.pad(a, widths, constant_values=1), ct.pad(a, widths, value=1))
        for mode in ("reflect", "edge", "wrap"):
            same(np.pad(a, widths, mode=mode), ct.pad(Tensor(a), widths, mode))
    assert ct.pad(ct.ones(2, 2), (1, 0)).tolist() == [[0, 0, 0], [0, 1, 1], [0, 1, 1]]
    with pytest.raises(ShapeError, match="one pair per dimension"):
        ct.pad(ct.ones(2, 2), [(1, 1)] * 3)
    with pytest.raises(InputError, match="mode"):
        ct.pad(ct.ones(2), [(1, 1)], "mirror")


@pytest.mark.parametrize("dtype", [*TYPES, "bfloat16", "int4"])
def test_gathering(dtype, rng):
    """take, embedding, gather, take_along_axis at positive and negative indices."""
    for _ in range(40):
        shape = shape_of(rng)
        t = Tensor(rng.integers(0, 8, shape)).astype(dtype)
        a = t.numpy()
        axis = int(rng.integers(-len(shape), len(shape)))
        n = shape[axis]
        kind = rng.choice(["i8", "i4", "u1", "i2"])
        places = rng.integers(0 if kind == "u1" else -n, n, shape_of(rng, 0, 3)).astype(kind)
        same(np.take(a, places.astype("i8"), axis), ct.take(t, places, axis))
        size = [int(rng.integers(0, m + 1)) for m in shape]
        size[axis] = 3
        index = rng.integers(-n, n, size)
        key = tuple(slice(m) if i != axis % len(shape) else slice(None) for i, m in enumerate(size))
        same(np.take_along_axis(a[key], index, axis), ct.gather(t, axis, index))
        size = [
            m if i == axis % len(shape) else int(rng.choice([1, m])) for i, m in enumerate(shape)
        ]
        index = rng.integers(-n, n, size)
        same(np.take_along_axis(a, index, axis), ct.take_along_axis(t, index, axis))
    table = array(rng, (7, 3))
    same(table[[[1, 6], [0, 0]]], ct.embedding([[1, 6], [0, 0]], table))
    for wrong in (7, -8):
        with pytest.raises(InputError, match="Gather"):
            ct.embedding(Tensor([wrong]), Tensor(table))
    with pytest.raises(InputError, match="must be integers"):
        ct.take(table, [0.5])


def test_scatter(rng):
    """Replacing and combining; duplicates in row-major order."""
    ways = {"none": None, "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
    for dtype in ("f4", "i8", "i4", "u1"):
        for _ in range(20):
            a = array(rng, (5, 6), dtype)
            size = tuple(int(n) for n in rng.integers(1, 5, 2))
            index, updates = rng.integers(-5, 5, size), array(rng, size, dtype)
            for reduce, function in ways.items():
                expected = a.copy()
                for i, j in np.ndindex(*size):
                    at = (index[i, j], j)
                    expected[at] = (
                        updates[i, j] if function is None else function(expected[at], updates[i, j])
                    )
                same(expected, ct.scatter(a, 0, index, updates, reduce))
    assert ct.scatter(ct.zeros(4), 0, [1, 3], 5).tolist() == [0, 5, 0, 5]
    with pytest.raises(InputError, match="Scatter"):
        ct.scatter(ct.zeros(4), 0, [4], 5)
    with pytest.raises(InputError, match="reduce"):
        ct.scatter(ct.zeros(4), 0, [1], 5, "mean")


def test_one_hot_nonzero_triangles(rng):
    """New dimension anywhere; positions in row-major order; both triangles."""
    labels = rng.integers(0, 5, (3, 4))
    same(np.eye(5, dtype="i8")[labels], ct.one_hot(labels, 5))
    same(np.moveaxis(np.eye(5, dtype="f4")[labels], -1, 0), ct.one_hot(labels, 5, 0, "float32"))
    assert ct.one_hot([7], 3).tolist() == [[0, 0, 0]]
    for dtype in TYPES:
        a = array(rng, (3, 4, 2), dtype) * (rng.random((3, 4, 2)) > 0.5)
        a = a.astype(dtype)
        same(np.argwhere(a), ct.nonzero(a))
        for k in (-1, 0, 2):
            same(np.tril(a, k), ct.tril(a, k))
            same(np.triu(a, k), ct.triu(a, k))
