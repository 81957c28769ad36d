"""Eight threads, four sessions: same bytes each run, no growth.

`nox -s soak` gives it two minutes (``COMPRESS_SOAK``), alone and under the thread sanitizer.
"""

from __future__ import annotations

import gc
import os
import threading
import time

import numpy as np
from session_networks import NETWORKS, floats

from compress_tensor import compile  # noqa: A004

SECONDS = float(os.environ.get("COMPRESS_SOAK", "3"))
THREADS = 8
GROWTH = 4 << 20  # bytes: pages of malloc's arenas for threads that met for the first time


def resident() -> int:
    """Return the resident bytes of this process."""
    with open("/proc/self/statm") as text:
        return int(text.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_same_bytes_and_no_growth():
    """Every thread runs every session, half of the time into given arrays."""
    rng = np.random.default_rng(5)
    work = []
    for n, (build, shape) in enumerate(NETWORKS):
        graph, x = build(rng), floats(rng, *shape)
        expected = compile(graph, threads=1).run({"x": x})["y"]
        work.append((compile(graph, threads=1 + n % 3), x, expected))
    end = time.monotonic() + SECONDS
    settled = time.monotonic() + SECONDS / 3
    wrong: list[str] = []
    sizes: list[int] = []
    runs = [0] * THREADS

    def serve(index: int) -> None:
        turn = np.random.default_rng(index)
        own = [np.empty_like(expected) for _, _, expected in work]
        try:
            while time.monotonic() < end and not wrong:
                n = int(turn.integers(len(work)))
                session, x, expected = work[n]
                into = {"y": own[n]} if turn.integers(2) else None
                if session.run({"x": x}, into=into)["y"].tobytes() != expected.tobytes():
                    wrong.append(f"{NETWORKS[n][0].__name__} gave other bytes")
                runs[index] += 1
        except BaseException as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=serve, args=(i,)) for i in range(THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if time.monotonic() > settled:
            gc.collect()
            sizes.append(resident())
        time.sleep(0.05)
    for thread in threads:
        thread.join()

    assert not wrong
    assert min(runs) > 0
    if "COMPRESS_SANITIZED" not in os.environ:  # a sanitizer's own records grow
        half = len(sizes) // 2
        assert np.median(sizes[half:]) - np.median(sizes[:half]) < GROWTH, sizes[:: len(sizes) // 9]
    print(f"{sum(runs)} runs, resident {sizes[0] >> 10} to {sizes[-1] >> 10} KiB")
