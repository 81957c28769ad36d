"""Sharing memory with numpy and through DLPack: strides, lifetimes, read-only, exotic types."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import compress_tensor as ct
from compress_tensor import DType, InputError, Tensor, UnsupportedError

TYPES = ["f4", "f2", "f8", "i8", "i4", "i2", "i1", "u1", "u2", "u4", "u8", "?"]


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(8)


def views(a):
    """Yield arrays of many strides over one array of shape (4, 5, 6)."""
    yield from (a, a.T, a[::2], a[:, ::-1], a[1:3, 1:, 2::3], a[0], a[..., 3], a[:, None])
    yield a[::-1, ::-2, ::-3]
    yield np.broadcast_to(a[0], a.shape)
    yield a[:0]
    yield a[0, 0, 0, ...]


@pytest.mark.parametrize("dtype", TYPES)
def test_numpy_both_ways_without_copies(dtype, rng):
    """Strides, addresses and contents agree; writing on one side is seen on the other."""
    base = (rng.standard_normal((4, 5, 6)) * 20).astype(dtype)
    for a in views(base):
        t = Tensor.from_numpy(a)
        back, asked = t.numpy(), np.asarray(t)
        for found in (back, asked, np.from_dlpack(t) if a.flags.writeable else back):
            assert found.dtype == a.dtype
            assert np.array_equal(found, a)
            if a.size:
                assert found.ctypes.data == a.ctypes.data
                assert [s for s, n in zip(found.strides, a.shape, strict=True) if n > 1] == [
                    s for s, n in zip(a.strides, a.shape, strict=True) if n > 1
                ]
        for found in (ct.from_dlpack(a) if a.flags.writeable else t, ct.asarray(a)):
            assert np.array_equal(found.numpy(), a)
            if a.size:
                assert found.numpy().ctypes.data == a.ctypes.data
    t = Tensor.from_numpy(base[::2, ::-1])
    t[0, 0, 0] = 1
    assert base[0, -1, 0] == 1
    base[2, -1, 3] = 1
    assert t[1, 0, 3].item() == 1


def test_memory_outlives_its_owner():
    """Arrays, capsules and views keep what they show alive, and nothing longer."""
    a = np.arange(1000.0, dtype=np.float32)
    alive = weakref.ref(a)
    t = Tensor.from_numpy(a)[10:20]
    del a
    gc.collect()
    assert alive() is not None
    b = np.from_dlpack(t)
    c = np.asarray(t)
    del t
    gc.collect()
    assert b[0] == 10
    assert c[9] == 19
    del b
    gc.collect()
    assert alive() is not None
    del c
    gc.collect()
    assert alive() is None

    t = ct.arange(1000).clone()
    alive = weakref.ref(t)
    capsule = t.__dlpack__()
    del t
    gc.collect()
    assert alive() is None  # the memory lives on in the capsule, not the tensor
    del capsule
    gc.collect()

    a = np.arange(10)
    alive = weakref.ref(a)
    t = ct.from_dlpack(a)
    del a
    gc.collect()
    assert t.tolist() == list(range(10))
    del t
    gc.collect()
    assert alive() is None


def test_read_only_memory_stays_read_only():
    """No way round a read-only array; a copy is free again."""
    a = np.arange(6.0, dtype=np.float32)
    a.flags.writeable = False
    t = Tensor.from_numpy(a)

    assert not t.writable
    assert not t.numpy().flags.writeable
    assert not np.asarray(t[1:]).flags.writeable
    for change in (lambda: t.fill_(0), lambda: t.__setitem__(0, 1), lambda: t.__iadd__(1)):
        with pytest.raises(InputError, match="read-only"):
            change()
    t.clone()[0] = 5
    assert a[0] == 0
    with pytest.raises(BufferError):
        t.__dlpack__()  # a capsule without version cannot say that it is read-only
    assert not ct.zeros(1).broadcast_to(3).numpy().flags.writeable


def test_what_cannot_be_shared_is_copied():
    """Foreign byte order, misaligned data, fields of records, packed types."""
    swapped = np.arange(5, dtype=">f4")
    assert Tensor.from_numpy(swapped).tolist() == [0, 1, 2, 3, 4]
    raw = np.zeros(21, np.uint8)
    misaligned = raw[1:].view(np.float32)
    misaligned[:] = 3
    assert Tensor.from_numpy(misaligned).tolist() == [3] * 5
    record = np.zeros(4, [("a", "f4"), ("b", "i2")])
    record["a"] = [1, 2, 3, 4]
    assert Tensor.from_numpy(record["a"]).tolist() == [1, 2, 3, 4]
    packed = Tensor([1, 2, 3], "uint4")
    again = Tensor.from_numpy(packed.numpy())
    assert again.dtype is DType.UINT4
    assert again.tolist() == [1, 2, 3]
    assert np.asarray(packed).dtype.names == ("uint4",)
    assert not hasattr(packed, "__array_interface__")
    with pytest.raises(InputError, match="takes an array"):
        Tensor.from_numpy([1])
    with pytest.raises(UnsupportedError):
        Tensor.from_numpy(np.zeros(2, "M8[s]"))


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float8e4m3fn", "float8e5m2", "float8e4m3fnuz", "float8e8m0"]
)
def test_types_that_numpy_lacks_travel_by_dlpack(dtype):
    """The capsule carries DLPack's own type; both ways, with strides."""
    t = Tensor([[1, 2, 4], [0.5, 8, 16]], dtype)

    for view in (t, t.T, t[:, ::2]):
        again = ct.from_dlpack(view)
        assert again.dtype is view.dtype
        assert again.shape == view.shape
        assert again.tolist() == view.tolist()
        assert again.numpy().ctypes.data == view.numpy().ctypes.data
    with pytest.raises((BufferError, RuntimeError, ValueError, TypeError)):
        np.from_dlpack(t)  # numpy does not know it, and says so instead of showing nonsense
    assert np.asarray(t).dtype.names == (dtype,)


def test_dlpack_refusals():
    """Other devices, other things, packed types."""

    class Elsewhere:
        def __dlpack__(self, **keywords):
            raise AssertionError

        def __dlpack_device__(self):
            return (2, 0)

    class Liar:
        def __dlpack__(self, **keywords):
            return 3

        def __dlpack_device__(self):
            return (1, 0)

    with pytest.raises(InputError, match="move it to the CPU"):
        ct.from_dlpack(Elsewhere())
    with pytest.raises(InputError, match="DLPack capsule"):
        ct.from_dlpack(Liar())
    with pytest.raises(InputError, match="does not support DLPack"):
        ct.from_dlpack([1])
    with pytest.raises(BufferError, match="int4"):
        Tensor([1], "int4").__dlpack__()
    assert ct.zeros(1).__dlpack_device__() == (1, 0)


def test_numpy_on_the_left_and_numpy_functions():
    """An array + a tensor is a tensor; numpy's own functions read tensors as arrays."""
    a = np.arange(3, dtype=np.float32)
    t = Tensor.from_numpy(a)

    assert type(a + t) is Tensor
    assert type(t + a) is Tensor
    assert (a - t).tolist() == [0, 0, 0]
    assert np.exp(t).dtype == np.float32
    assert np.concatenate([t, t]).shape == (6,)
    assert np.array(t, copy=True).ctypes.data != a.ctypes.data
    assert np.asarray(t, np.float64).dtype == np.float64


def test_torch_shares_memory(rng):
    """Tensors of torch both ways, bfloat16 too, with strides."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    t = ct.randn(4, 6)
    seen = torch.from_dlpack(t[:, ::2])
    assert seen.data_ptr() == t.numpy().ctypes.data
    assert np.array_equal(seen.numpy(), t.numpy()[:, ::2])
    theirs = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3).T
    ours = ct.from_dlpack(theirs)
    assert ours.dtype is DType.BFLOAT16
    assert ours.tolist() == theirs.tolist()
    assert torch.from_dlpack(ours).dtype is torch.bfloat16
