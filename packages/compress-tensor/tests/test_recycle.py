"""Memory that is used again: the same address, never more than the peak, nothing after the end."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from compress_tensor import recycle
from compress_tensor.recycle import LARGE, Kept
from compress_tensor.storage import allocate


@pytest.fixture
def kept():
    """Keep memory for one test, starting from nothing."""
    gc.collect()
    found = Kept()
    yield found
    found.close()


def test_the_same_place_for_the_same_size(kept):
    """A block comes back when the last view of it is gone, not before."""
    first = allocate(2 * LARGE)
    view, place = first.memory[8:16], first.address
    del first
    other = allocate(2 * LARGE)

    assert other.address != place
    del view
    assert allocate(2 * LARGE).address == place
    assert allocate(2 * LARGE).address % 64 == 0


def test_never_more_than_the_peak(kept):
    """Blocks of other sizes make room, the first let go of first."""
    base = recycle.kept_bytes()
    for megabytes in (8, 4, 2, 6):
        allocate(megabytes << 20)

    assert recycle.kept_bytes() - base <= (9 << 20)


def test_nothing_is_kept_without_a_holder():
    """The end of the last holder lets go of everything; closing twice counts once."""
    holder, other = Kept(), Kept()
    allocate(4 * LARGE)
    holder.close()
    holder.close()

    assert recycle.kept_bytes() > 0
    del other
    assert recycle.kept_bytes() == 0
    allocate(4 * LARGE)
    assert recycle.kept_bytes() == 0


def test_threads_do_not_share_a_block(kept):
    """What each thread wrote is there when it looks again."""
    wrong = []

    def work(number):
        for size in range(1, 60):
            held = [allocate(LARGE * (1 + size % 3)) for _ in range(3)]
            for n, each in enumerate(held):
                each.memory[:: 1 << 12] = number * 3 + n
            for n, each in enumerate(held):
                if np.any(each.memory[:: 1 << 12] != number * 3 + n):
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert not wrong
