"""Memory of packed weights: apart from each other, freed with the last array, shared by threads."""

from __future__ import annotations

import gc
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from compress_tensor.engine.weights import MOST, PAGE, Weights, in_huge_pages

LARGE = 3 << 18


def resident() -> int:
    """Return the resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.parametrize("nbytes", [1, PAGE - 1, PAGE, PAGE + 1, 40 * PAGE + 5])
def test_huge_pages_are_aligned_zeros(nbytes: int) -> None:
    """At least as many bytes as asked for."""
    found = in_huge_pages(nbytes)

    assert len(found) >= nbytes
    assert found.ctypes.data % PAGE == 0
    assert not found[:nbytes].any()


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint16])
def test_arrays_do_not_overlap(dtype: type) -> None:
    """Each keeps what was written to it, small or larger than a region; all are aligned."""
    weights = Weights()
    sizes = [1, 7, LARGE, LARGE + 1, 3, 40 << 20, LARGE + 63, *[LARGE] * 60]
    arrays = [weights.empty((1, n), dtype) for n in sizes]
    for i, array in enumerate(arrays):
        array[...] = i + 1

    assert [(i + 1, a.shape) for i, a in enumerate(arrays) if not (a == i + 1).all()] == []
    assert all(a.ctypes.data % 64 == 0 for a in arrays if a.nbytes < MOST)
    assert all(a.flags.c_contiguous and a.flags.writeable for a in arrays)


def test_threads_get_memory_of_their_own() -> None:
    """Sessions that share weights plan at the same time."""
    weights = Weights()
    kept: list[np.ndarray] = []

    def take(n: int) -> None:
        for _ in range(20):
            array = weights.empty((LARGE,), np.int8)
            array[...] = n
            kept.append(array)

    threads = [Thread(target=take, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all((array == array[0]).all() for array in kept)
    assert len({array.ctypes.data for array in kept}) == 160


def test_memory_goes_with_the_arrays() -> None:
    """What is no longer used is given back."""
    gc.collect()
    before = resident()
    for _ in range(6):
        weights = Weights()
        arrays = [weights.get(n, lambda empty: empty((2 << 20,), np.int8)) for n in range(32)]
        for array in arrays:
            array[...] = 1
        during = resident()
        del weights, arrays, array
        gc.collect()

    after = resident()

    assert during - after > 60 << 20
    assert after - before < 8 << 20


def test_it_is_made_once() -> None:
    """The same array for the same key."""
    weights = Weights()
    first = weights.get("a", lambda empty: empty((LARGE,), np.int8))

    assert weights.get("a", lambda empty: empty((1,), np.int8)) is first
    assert weights.get("b", lambda empty: empty((1,), np.int8)).shape == (1,)
