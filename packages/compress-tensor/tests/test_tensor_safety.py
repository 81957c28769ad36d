"""Threads, leaks, plans and overhead of eager operations."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import tracemalloc

import numpy as np
import pytest

import compress_tensor as ct
from compress_tensor import InputError, Tensor, eager


def work(seed):
    """Return the bytes of a mix of operations."""
    g = ct.Generator(seed)
    x = g.randn(8, 16, 12, 12)
    y = ct.relu(ct.conv2d(x, g.randn(8, 16, 3, 3), g.randn(8), padding=1))
    z = ct.softmax(ct.linear(y.flatten(1), g.randn(10, 8 * 144)), 1)
    s = ct.sum(ct.exp(z.T[::2]) * 2.5 + ct.arange(8), 0, keepdims=True)
    return s.numpy().tobytes() + ct.topk(z, 3)[1].numpy().tobytes()


def test_several_threads_at_once():
    """Eight threads give the bytes that one gives, plans being made meanwhile."""
    expected = [work(seed) for seed in range(4)]
    eager._PLANS.clear()
    found = {}

    def run(n):
        found[n] = [work(seed) for seed in (0, 1, 2, 3)] == expected

    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == dict.fromkeys(range(8), True)


def test_results_do_not_depend_on_the_number_of_threads():
    """1, 2 and 5 threads: the same bytes."""
    before = ct.get_num_threads()
    try:
        results = set()
        for threads in (1, 2, 5):
            ct.set_num_threads(threads)
            assert ct.get_num_threads() == threads
            results.add(work(7))
    finally:
        ct.set_num_threads(before)

    assert len(results) == 1
    with pytest.raises(InputError, match="threads"):
        ct.set_num_threads(0)


def some_calls():
    x = ct.ones(64, 64)
    for view in (x.T, x[::2], x[:, 3], x.reshape(16, 256), x[None].broadcast_to(3, 64, 64)):
        y = view * 2.0 + 1
        y += 1
        np.asarray(y)
        ct.sum(y, 0)
    np.from_dlpack(ct.from_dlpack(x.T) + 1)
    Tensor.from_numpy(x.numpy()[::-1])
    q = Tensor([1, 2, 3], "int4")
    q[1] = 2
    _ = x[[1, 2]], x @ x, Tensor([1.5], "bfloat16") * 3
    with pytest.raises(ct.ShapeError):
        x + ct.ones(3)


def test_no_leak():
    """Memory in use does not grow over many calls, views and errors."""
    for _ in range(20):
        some_calls()
    gc.collect()
    tracemalloc.start()
    try:
        some_calls()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(400):
            some_calls()
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    # One object per tensor would make 1 MB; numpy's own caches of small blocks stay below 100 kB.
    assert after - before < 128 << 10, f"{after - before} bytes more after 400 rounds"


def test_tensors_are_freed_without_the_garbage_collector():
    """No reference cycles: what goes out of sight is gone at once."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            some_calls()
        gc.collect()
        tracemalloc.start()
        for _ in range(200):
            x = ct.ones(1 << 16) * 2
            _ = (x.T[1:], np.asarray(x), x.reshape(256, 256).T.contiguous())
            del x, _
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.enable()

    assert peak < 4 << 20  # 200 rounds make 150 MB in all


def test_plans_are_bounded():
    """Endless new shapes do not fill the memory."""
    most = eager.MOST_PLANS
    try:
        eager.MOST_PLANS = 64
        eager._PLANS.clear()
        for n in range(300):
            ct.zeros(n) + 1
        assert len(eager._PLANS) <= 64
    finally:
        eager.MOST_PLANS = most
    assert (ct.ones(5) + 1).tolist() == [2] * 5


def test_one_call_into_libcore_where_a_kernel_exists():
    """What users call most is planned as a program, not as the definition in numpy."""
    eager._PLANS.clear()
    x, image = ct.ones(4, 6), ct.ones(1, 3, 8, 8)
    for call in (
        lambda: x + x.T.contiguous().T,
        lambda: ct.exp(x),
        lambda: x @ x.T,
        lambda: ct.linear(x, x, ct.ones(4)),
        lambda: ct.conv2d(image, ct.ones(2, 3, 3, 3), ct.ones(2)),
        lambda: ct.max_pool2d(image, 2),
        lambda: ct.softmax(x),
        lambda: ct.layer_norm(x, 6),
        lambda: ct.group_norm(image, 3),
        lambda: ct.sum(x, 0),
        lambda: ct.argmax(x, 1),
        lambda: ct.sort(x),
        lambda: ct.take(x, [1, 2], 1),
        lambda: x.astype("int8"),
        lambda: ct.where(x > 0, x, 0.0),
        lambda: ct.concat([x, x]),
        lambda: Tensor(x, "bfloat16") * 2,
        lambda: ct.arange(5) // 2,
        lambda: ct.quantize_linear(x, 0.1),
        lambda: ct.interpolate(image, scale_factor=2, mode="bilinear"),
    ):
        call()
        missing = [key for key, plan in eager._PLANS.items() if plan.run is None]
        assert not missing


def _child(queue):
    queue.put(work(3))


@pytest.mark.skipif("COMPRESS_SANITIZED" in os.environ, reason="sanitizers do not survive a fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fork in a process with threads
def test_a_forked_child_can_compute():
    """The threads of the parent's pool do not exist in a child; it makes its own."""
    expected = work(3)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_child, args=(queue,))
    child.start()
    child.join(60)

    assert child.exitcode == 0
    assert queue.get() == expected
