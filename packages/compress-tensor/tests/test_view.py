"""Views against numpy's own strided arrays, and the arena against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from compress_tensor.dtype import DType
from compress_tensor.engine.memory import assign_offsets
from compress_tensor.engine.view import (
    Buffer,
    Kind,
    View,
    channels_last,
    collapse,
    reshape_strides,
    row_major,
    storage_order,
)


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(7)


def view_of(shape, strides=None):
    buffer = Buffer(Kind.ARENA, 0)
    return View(buffer, 0, DType.FLOAT32, tuple(shape), tuple(strides or row_major(shape)))


def shown(view, data):
    """Return what a view of ``data`` shows."""
    strides = [4 * s for s in view.strides]
    return np.ndarray(view.shape, np.float32, data, 4 * view.offset, strides)


def test_views_show_what_numpy_shows(rng):
    """Transpose, slice, expand and insert agree with numpy on random tensors."""
    for _ in range(300):
        shape = tuple(rng.integers(1, 5, rng.integers(1, 5)))
        data = np.arange(np.prod(shape), dtype=np.float32)
        view, array = view_of(shape), data.reshape(shape)
        for _ in range(4):
            kind = rng.integers(0, 4)
            axis = int(rng.integers(0, array.ndim))
            if kind == 0:
                order = rng.permutation(array.ndim)
                view, array = view.transpose(order), array.transpose(order)
            elif kind == 1:
                start = int(rng.integers(0, array.shape[axis]))
                step = int(rng.choice([1, 2, -1]))
                index = range(array.shape[axis])[start::step]
                view = view.slice(axis, start, len(index), step)
                array = np.take(array, list(index), axis)
            elif kind == 2:
                view, array = view.insert(axis), np.expand_dims(array, axis)
            else:
                wide = (3, *(4 if n == 1 else n for n in array.shape))
                view, array = view.expand(wide), np.broadcast_to(array, wide)

            assert np.array_equal(array, shown(view, data))


def test_reshape_gives_a_view_only_where_one_exists(rng):
    """A reshaped view shows numpy's elements; None is given only where numpy would copy."""
    for _ in range(500):
        shape = tuple(rng.integers(1, 4, 4))
        order = rng.permutation(4)
        data = np.arange(np.prod(shape), dtype=np.float32)
        view, array = view_of(shape).transpose(order), data.reshape(shape).transpose(order)
        target = list(array.shape)
        at = int(rng.integers(0, 3))
        target[at : at + 2] = [target[at] * target[at + 1]]
        found = view.reshape(target)

        expected = array.reshape(target)
        if found is None:
            assert not np.shares_memory(expected, data)
        else:
            assert np.array_equal(expected, shown(found, data))


def test_reshape_of_nothing_is_row_major():
    """An empty tensor can take any empty shape."""
    assert reshape_strides((0, 3), (3, 1), (3, 0)) == row_major((3, 0))


def test_storage_order_of_channels_last():
    """The strides of a channels-last image say so."""
    shape = (2, 3, 4, 5)

    assert storage_order(shape, channels_last(shape)) == [0, 2, 3, 1]


def test_collapse_keeps_every_pair_of_elements(rng):
    """After dims are dropped, ordered and merged, the same elements still meet."""
    for _ in range(200):
        shape = tuple(rng.integers(1, 4, 4))
        out = view_of(shape).transpose(rng.permutation(4))
        other = view_of([1 if rng.random() < 0.4 else n for n in out.shape]).expand(out.shape)
        small, merged = collapse([other, out])

        def pairs(a, b):
            data = np.arange(1000, dtype=np.float32)
            return sorted(zip(shown(a, data).ravel(), shown(b, data).ravel(), strict=True))

        assert small.shape == merged.shape
        assert pairs(other, out) == pairs(small, merged)


def test_blocks_that_live_together_do_not_overlap(rng):
    """Random lives: no two blocks share bytes while both are in use, and the arena is small."""
    for _ in range(50):
        lives = []
        for _ in range(30):
            first = int(rng.integers(0, 40))
            lives.append((int(rng.integers(0, 1000)), first, first + int(rng.integers(0, 6))))
        offsets, total = assign_offsets(lives)

        assert all(offset % 64 == 0 for offset in offsets)
        assert total <= sum(-(-size // 64) * 64 for size, _, _ in lives)
        for i, (size, first, last) in enumerate(lives):
            assert offsets[i] + size <= total or size == 0
            for j, (other, start, end) in enumerate(lives[:i]):
                meet = first <= end and start <= last and size and other
                apart = offsets[i] + size <= offsets[j] or offsets[j] + other <= offsets[i]
                assert apart or not meet
