"""Tensor: views, indexing, assignment and conversions against numpy."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import compress_tensor as ct
from compress_tensor import DType, InputError, ShapeError, Tensor, UnsupportedError
from compress_tensor.errors import OutOfRangeError

TYPES = ["f4", "f2", "i8", "i4", "i1", "u1", "?", "f8", "i2", "u2", "u4", "u8"]


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(5)


def array(rng, shape, dtype="f4"):
    return np.asarray(rng.standard_normal(shape) * 50).astype(dtype)


def same(expected, tensor):
    """Assert that a tensor has an array's shape, type and elements."""
    assert expected.shape == tensor.shape
    assert expected.dtype == tensor.numpy().dtype
    assert np.array_equal(expected, tensor.numpy(), equal_nan=expected.dtype.kind == "f")


def random_key(rng, shape):
    """Return a random index of ints, slices, None and Ellipsis."""
    count = int(rng.integers(0, len(shape) + 1))
    trailing = rng.random() < 0.3
    key = []
    for size in shape[len(shape) - count :] if trailing else shape[:count]:
        choice = rng.integers(0, 4)
        if choice == 0 and size:
            key.append(int(rng.integers(-size, size)))
        elif choice == 1:
            key += [None, slice(None)]
        else:
            ends = rng.integers(-size - 2, size + 3, 2).tolist()
            start, stop = (None if rng.random() < 0.3 else end for end in ends)
            key.append(slice(start, stop, int(rng.choice([-3, -2, -1, 1, 2, 3]))))
    key = [..., *key] if trailing else key
    return tuple(key)


def random_view(rng, a, t):
    """Apply the same random view to an array and a tensor."""
    choice = rng.integers(0, 8)
    rank = a.ndim
    if choice == 0:
        order = rng.permutation(rank).tolist()
        return a.transpose(order), t.transpose(order)
    if choice == 1:
        key = random_key(rng, a.shape)
        return a[key], t[key]
    if choice == 2:
        axis = int(rng.integers(-rank - 1, rank + 1))
        return np.expand_dims(a, axis), t.unsqueeze(axis)
    if choice == 3:
        return a.squeeze(), t.squeeze()
    if choice == 4 and rank:
        axis = int(rng.integers(-rank, rank))
        return np.flip(a, axis), t.flip(axis)
    if choice == 5:
        shape = [int(rng.integers(1, 4)) if n == 1 else n for n in a.shape]
        shape = [2, *shape] if rank < 4 else shape
        return np.broadcast_to(a, shape), t.broadcast_to(shape)
    if choice == 6:
        return a.T, t.T
    return a.reshape(-1) if a.size else a, t.reshape(-1) if a.size else t


def test_thousands_of_random_views(rng):
    """Chains of views show what numpy's show; where numpy makes a view, so do we."""
    for case in range(1500):
        dtype = TYPES[case % len(TYPES)]
        shape = rng.integers(0 if case % 7 == 0 else 1, 5, size=int(rng.integers(0, 5)))
        base = array(rng, shape, dtype)
        a, t = base, Tensor.from_numpy(base)
        for _ in range(int(rng.integers(1, 5))):
            a, t = random_view(rng, a, t)
            if a.ndim > 6 or a.size > 4000:
                break
        same(a, t)
        assert a.size == t.size
        assert a.ndim == t.ndim
        assert a.nbytes == t.nbytes
        if a.size and np.shares_memory(a, base):
            assert np.shares_memory(t.numpy(), base)
        if a.size > 1:
            assert a.flags.c_contiguous == t.is_contiguous()
            same(a, t.contiguous())
            assert t.contiguous().is_contiguous()
        same(a, t.clone())
        assert a.tolist() == t.tolist() or dtype in ("f4", "f2", "f8")


def test_strides_count_elements_and_views_share():
    """Strides and offset are in elements; writing through a view is seen by all."""
    t = ct.arange(24).reshape(2, 3, 4)

    view = t.transpose(2, 0, 1)[1:, :, ::-1]

    assert (12, 4, 1) == t.strides
    assert (1, 12, -4) == view.strides
    assert 1 + 2 * 4 == view.offset
    view[0, 0, 0] = 99
    assert t[0, 2, 1].item() == 99
    assert t.T.T.is_contiguous()


def test_reshape_copies_only_where_it_must(rng):
    """A view where strides can show it, a copy else; view() refuses the copy."""
    t = Tensor(array(rng, (4, 6)))

    assert t.reshape(2, 2, 6)._storage is t._storage
    assert t.T.reshape(6, 2, 2)._storage is t._storage
    assert t.T.reshape(24)._storage is not t._storage
    same(t.numpy().T.reshape(24), t.T.reshape(-1))
    with pytest.raises(ShapeError, match="use reshape"):
        t.T.view(24)
    with pytest.raises(ShapeError, match="24 elements"):
        t.reshape(5, -1)
    same(t.numpy().reshape(4, 6), t.flatten(0, 0))
    same(t.numpy().reshape(24), t.flatten())


def test_own_memory_is_aligned_to_64_bytes():
    """Whatever we make starts at a multiple of 64."""
    made = [ct.zeros(3), ct.empty(5, dtype="int8"), ct.ones(2, 2) + 1, ct.arange(7).clone()]
    made += [Tensor([1, 2, 3]), ct.exp(ct.zeros(9)), Tensor([1, 2], "int4")]

    assert all(t._storage.address % 64 == 0 for t in made)


def test_any_number_of_dimensions(rng):
    """Operations work beyond the eight dimensions of libcore, up to numpy's 32."""
    a = array(rng, (2, 1) * 6)
    t = Tensor(a)

    same(a + a.T.reshape(a.shape), t + t.T.reshape(a.shape))
    same(a.transpose()[..., None] * 2, t.transpose()[..., None] * 2)
    assert ct.ones((1,) * 32).ndim == 32
    with pytest.raises(ShapeError, match="more than 32"):
        ct.ones((1,) * 32).unsqueeze(0)


def test_indexing_with_arrays(rng):
    """An array of indices, a list, a mask; numpy's place for the new dimensions."""
    a = array(rng, (5, 6, 7))
    t = Tensor(a)
    index = rng.integers(-5, 5, size=(3, 2))
    mask = rng.random((5, 6)) > 0.5
    keys = [index, [0, -1, 2], (slice(1, 4), [1, 2, 5]), (..., index), (0, [1, 2])]
    keys += [(0, slice(None), [3, 3]), mask, mask[:, 0], a > 0, (slice(None), mask[0])]
    keys += [([1, 2], None), np.array(3), np.zeros((0,), int)]

    for key in keys:
        parts = key if isinstance(key, tuple) else (key,)
        ours = tuple(ct.asarray(k) if isinstance(k, np.ndarray) else k for k in parts)
        same(a[key], t[key])
        same(a[key], t[ours])


def test_assignment(rng):
    """Setting elements through every kind of index, converting and broadcasting."""
    for case in range(400):
        shape = rng.integers(1, 5, size=int(rng.integers(1, 4)))
        dtype = TYPES[case % len(TYPES)]
        a = array(rng, shape, dtype)
        t = Tensor(a)
        key = random_key(rng, a.shape)
        part = a[key]
        value = array(rng, part.shape[1:] if part.ndim else (), dtype)
        a[key] = value
        t[key] = Tensor(value)
        same(a, t)
    a = array(rng, (4, 5))
    t = Tensor(a)
    index = np.array([0, 2])
    part = a[:, :2].copy()
    for key, value in [(index, 1.5), (a > 0, -1), ((slice(None), [1, 3]), part), (..., 7)]:
        a[key] = value
        t[key] = value
        same(a, t)
    t = ct.arange(6)
    t[1:] = t[:-1]  # overlapping
    assert [0, 0, 1, 2, 3, 4] == t.tolist()
    t[0] = 2.9
    assert t[0].item() == 2


@pytest.mark.parametrize("dtype", ["int4", "uint4", "int2", "uint2", "float4e2m1"])
def test_packed_types(dtype, rng):
    """Several per byte, the first lowest: views, indexing, writing, conversion."""
    kind = DType[dtype.upper()]
    low, high = kind.integer_range if kind.is_int else (0, 6)
    for _ in range(60):
        shape = rng.integers(1, 6, size=int(rng.integers(1, 4)))
        values = rng.integers(low, high + 1, size=shape)
        if not kind.is_int:
            values = np.array([0, 1, 2, 3, 4, 6])[values % 6]
        t = Tensor(values).astype(kind)
        assert -(-values.size * kind.bits // 8) == t.nbytes == t._storage.memory.size
        plain = ct.to_numbers(t)
        assert np.array_equal(values, plain)
        a, v = plain, t
        for _ in range(3):
            a, v = random_view(rng, a, v)
        assert np.array_equal(a, ct.to_numbers(v))
        assert np.array_equal(a, ct.to_numbers(v.contiguous()))
        key = random_key(rng, plain.shape)
        plain = plain.copy()
        plain[key] = 1
        t[key] = 1
        assert np.array_equal(plain, ct.to_numbers(t))


def test_low_nibble_first():
    """The bytes are ONNX's."""
    t = Tensor([1, -2, 7], "int4")

    assert [0xE1, 0x07] == t._storage.memory.tolist()
    assert [-2] == t[1:2].tolist()
    assert t[1].item() == -2


def test_construction():
    """Types of Python numbers, nested lists, tensors, numpy scalars."""
    assert Tensor([1.5, 2]).dtype is DType.FLOAT32
    assert Tensor([1, 2]).dtype is DType.INT64
    assert Tensor([True]).dtype is DType.BOOL
    assert Tensor(np.float16(2)).dtype is DType.FLOAT16
    assert Tensor(np.zeros(2)).dtype is DType.FLOAT64
    assert Tensor(3, "bfloat16").item() == 3.0
    assert Tensor(2.5, float).dtype is DType.FLOAT32
    assert Tensor([[1, 2], [3, 4]], "float16").tolist() == [[1, 2], [3, 4]]
    source = ct.ones(3)
    copied = Tensor(source)
    copied[0] = 5
    assert source.tolist() == [1, 1, 1]
    assert Tensor([]).shape == (0,)


@pytest.mark.parametrize(
    "data", [[[1, 2], [3]], ["a"], [None], {"a": 1}, [object()], [1 << 70], [1j, "b"]]
)
def test_what_is_no_tensor(data):
    """One sentence for everything that is no rectangle of numbers."""
    with pytest.raises(ct.CompressError):
        Tensor(data)


def test_numbers_must_fit():
    """Integers out of range are refused where they are given as numbers."""
    for make in (
        lambda: Tensor(300, "uint8"),
        lambda: Tensor([300], "uint8"),
        lambda: ct.zeros(2, dtype="int8") + 128,
        lambda: ct.full(3, -1, "uint8"),
        lambda: ct.zeros(3, dtype="int4").fill_(8),
    ):
        with pytest.raises(InputError, match="does not fit"):
            make()


def test_errors_are_sentences():
    """Shapes, axes and indices that do not fit; read-only memory."""
    t = ct.zeros(2, 3)
    with pytest.raises(ShapeError, match="axis 2 is out of range for a 2-d tensor"):
        t.squeeze(2)
    with pytest.raises(ShapeError, match=r"\[2, 3\] does not broadcast to \[3, 2\]"):
        t.broadcast_to(3, 2)
    with pytest.raises(ShapeError, match="Add: shapes"):
        t + ct.zeros(2)
    with pytest.raises(OutOfRangeError, match="index 2 is out of range for dimension 0 of size 2"):
        t[2]
    with pytest.raises(IndexError):
        t[0, -4]
    with pytest.raises(InputError, match="Gather"):
        t[[0, 5]]
    with pytest.raises(ShapeError, match="3 indices are too many"):
        t[0, 0, 0]
    with pytest.raises(InputError, match="Ellipsis"):
        t[..., ...]
    with pytest.raises(InputError, match="is no index"):
        t[1.0]
    with pytest.raises(InputError, match="is no index"):
        t[True]
    with pytest.raises(InputError, match="slice"):
        t[::0]
    with pytest.raises(ShapeError, match="neither true nor false"):
        bool(t)
    with pytest.raises(ShapeError, match="one element"):
        t.item()
    with pytest.raises(ShapeError, match="no length"):
        len(ct.zeros(()))
    with pytest.raises(ShapeError, match="iterated"):
        iter(ct.zeros(()))
    with pytest.raises(InputError, match="repeats its elements"):
        t.broadcast_to(4, 2, 3)[0] = 1
    with pytest.raises(ShapeError, match="do not fit"):
        t[0] = [1, 2]
    with pytest.raises(ShapeError, match="whole numbers"):
        t.reshape(2.0, 3)
    with pytest.raises(ShapeError, match="negative"):
        ct.zeros(-1)
    with pytest.raises(ShapeError, match=r"2\*\*40"):
        ct.zeros(1 << 30, 1 << 30)
    with pytest.raises(UnsupportedError, match="strings"):
        Tensor.from_numpy(np.array(["a"], object))
    with pytest.raises(UnsupportedError, match="is not an element type"):
        t.astype("quadruple")
    with pytest.raises(TypeError):
        t + "a"
    with pytest.raises(InputError, match="is no index"):
        ct.ones(1).__index__()


def test_python_protocols():
    """len, iter, bool, float, int, index, repr, copies, pickles, hash."""
    t = Tensor([[1, 2], [3, 4]])

    assert len(t) == 2
    assert [[1, 2], [3, 4]] == [row.tolist() for row in t]
    assert [10, 20, 30][Tensor(1)] == 20
    assert float(Tensor(2)) == 2.0
    assert int(Tensor(2.7)) == 2
    assert bool(Tensor([[0]])) is False
    assert repr(Tensor([1.0, 2.5])) == "Tensor([1. , 2.5], dtype=float32)"
    assert repr(ct.zeros(0, 3)) == "Tensor([], shape=(0, 3), dtype=float32)"
    for twin in (copy.copy(t), copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert twin.tolist() == t.tolist()
        assert twin._storage is not t._storage
    bf = Tensor([1.5, 2], "bfloat16").T
    assert pickle.loads(pickle.dumps(bf)).dtype is DType.BFLOAT16
    assert len({t, t, bf}) == 2
    assert [v.item() for v in ct.arange(3)] == [0, 1, 2]


@pytest.mark.parametrize("source", [*TYPES, "bfloat16", "float8e4m3fn", "int4"])
def test_conversions(source, rng):
    """Astype between all types: as numpy where both have the type, else as the codec."""
    values = rng.integers(0, 8, size=(3, 5))
    t = Tensor(values).astype(source)
    for target in [*TYPES, "bfloat16", "float8e5m2", "uint4"]:
        found = t.astype(target)
        expected = values != 0 if target == "?" else values if source != "?" else values != 0
        assert np.array_equal(expected, ct.to_numbers(found)), target
        assert found.T.astype(source).shape == (5, 3)
    assert t.astype(t.dtype) is t


def test_creation(rng):
    """The makers against numpy's."""
    same(np.zeros((2, 3), "f4"), ct.zeros(2, 3))
    same(np.ones((2, 3), "i4"), ct.ones((2, 3), dtype="int32"))
    same(np.full((2,), 7), ct.full(2, 7))
    same(np.full((2,), 1.5, "f4"), ct.full((2,), 1.5))
    same(np.eye(3, 4, 1, "f4"), ct.eye(3, 4, 1))
    same(np.linspace(0, 1, 7).astype("f4"), ct.linspace(0, 1, 7))
    same(np.zeros((2, 1), "i8"), ct.zeros_like(ct.arange(2).reshape(2, 1)))
    same(np.ones(2, "f2"), ct.ones_like(ct.arange(2), "float16"))
    same(np.full(2, 3, "i8"), ct.full_like(ct.arange(2), 3))
    assert ct.empty(2, 0).shape == ct.empty_like(ct.zeros(2, 0)).shape == (2, 0)
    for _ in range(300):
        a, b = (int(n) for n in rng.integers(-50, 50, 2))
        step = int(rng.choice([-7, -3, -1, 1, 2, 5]))
        same(np.arange(a, b, step), ct.arange(a, b, step))
        same(np.arange(a, b + 0.5, 0.25).astype("f4"), ct.arange(a, b + 0.5, 0.25))
    with pytest.raises(InputError, match="step"):
        ct.arange(1, 2, 0)
    with pytest.raises(InputError, match="does not fit"):
        ct.arange(300, dtype="uint8")
    assert ct.zeros(3, dtype="int4").tolist() == [0, 0, 0]
    assert ct.ones(3, dtype="bfloat16").tolist() == [1, 1, 1]
