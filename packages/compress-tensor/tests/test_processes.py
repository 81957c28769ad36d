"""What surrounds a session: forked children, other thread pools, few processors, Ctrl-C."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from session_networks import NETWORKS, convolutional, floats

import compress_tensor
from compress_tensor import CancelledError, DType, Graph, Node, Value, compile  # noqa: A004
from compress_tensor.forks import Lock
from compress_tensor.processors import processors

sanitized = "COMPRESS_SANITIZED" in os.environ
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
forks = pytest.mark.skipif(
    not hasattr(os, "fork") or sanitized, reason="needs fork, which sanitizers do not follow"
)


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(23)


def in_child(check) -> int:
    """Run ``check`` in a forked child and return its status; a child that hangs is killed."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        os._exit(0 if check() else 1)
    finally:
        os._exit(2)


def prepared(rng):
    """Return (session, input, result) of every network, with pools of three threads."""
    found = []
    for build, shape in NETWORKS:
        session, x = compile(build(rng), threads=3), floats(rng, *shape)
        found.append((session, x, session.run({"x": x})["y"]))
    return found


@forks
@pytest.mark.parametrize("main", [True, False], ids=["main thread", "another thread"])
def test_fork_while_sessions_run(main, rng):
    """A child goes on with its parent's sessions, makes its own, and lets them go."""
    work = prepared(rng)
    done, wrong, status = threading.Event(), [], []

    def serve(n):
        session, x, expected = work[n % len(work)]
        shape = np.random.default_rng(n)
        while not done.is_set():
            if session.run({"x": x})["y"].tobytes() != expected.tobytes():
                wrong.append(n)
            more = np.repeat(x, int(shape.integers(1, 40)), 0)  # often a plan to make
            session.run({"x": more})

    def check():
        right = True
        for (build, _), (session, x, expected) in zip(NETWORKS, work, strict=True):
            right &= session.run({"x": x})["y"].tobytes() == expected.tobytes()
            right &= session.run({"x": np.repeat(x, 41, 0)})["y"].shape[0] == 41 * len(expected)
            right &= bool(compile(build(rng), threads=2).inputs)
        a = compress_tensor.Tensor.from_numpy(np.ones((300, 300), np.float32))
        right &= float((a @ a).numpy()[0, 0]) == 300
        work.clear()
        gc.collect()
        return right

    def fork():
        status.extend(in_child(check) for _ in range(6))

    threads = [threading.Thread(target=serve, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    forking = threading.Thread(target=fork)
    if main:
        fork()
    else:
        forking.start()
        forking.join()
    done.set()
    for thread in threads:
        thread.join()

    assert status == [0] * 6
    assert not wrong


@forks
def test_children_have_threads_of_their_own(rng):
    """A session of the parent uses several threads in the child again, and the parent keeps its."""
    session = compile(convolutional(rng), threads=3)
    x = floats(rng, 8, 3, 64, 64)
    expected = session.run({"x": x})["y"].tobytes()

    def threads():
        return len(os.listdir("/proc/self/task"))

    before = threads()

    def check():
        alone = threads()
        same = session.run({"x": x})["y"].tobytes() == expected
        return same and alone == 1 and threads() == 3

    assert in_child(check) == 0
    assert threads() == before
    assert session.run({"x": x})["y"].tobytes() == expected


@forks
def test_a_lock_held_by_a_thread_is_open_in_the_child():
    """Whoever held it is not in the child, and would never open it."""
    lock, held, done = Lock(), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            done.wait()

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()

    def check():
        with lock:
            return True

    status = in_child(check)
    done.set()
    holder.join()
    assert status == 0


@pytest.mark.skipif(sanitized, reason="numpy's threads are not built with the sanitizer")
def test_beside_products_of_numpy(rng):
    """OpenBLAS (or MKL) with threads of its own in the same process: both give what they gave."""
    work = prepared(rng)
    a = floats(rng, 400, 400)
    product = a @ a
    wrong = []

    def numpy_products():
        wrong.extend("numpy" for _ in range(40) if not np.allclose(a @ a, product, atol=1e-3))

    def runs(n):
        session, x, expected = work[n]
        for _ in range(100):
            if session.run({"x": x})["y"].tobytes() != expected.tobytes():
                wrong.append(n)

    threads = [threading.Thread(target=numpy_products) for _ in range(2)]
    threads += [threading.Thread(target=runs, args=(n,)) for n in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs processor affinity")
def test_one_processor(rng):
    """Three threads on one processor give way to each other: little slower than one thread."""
    graph, x = convolutional(rng), floats(rng, 4, 3, 40, 40)
    one, three = compile(graph, threads=1), compile(graph, threads=3)
    expected = one.run({"x": x})["y"].tobytes()

    def seconds(session):
        start = time.perf_counter()
        for _ in range(50):
            assert session.run({"x": x})["y"].tobytes() == expected
        return time.perf_counter() - start

    def pin(cpus):
        for task in os.listdir("/proc/self/task"):
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(int(task), cpus)

    allowed = os.sched_getaffinity(0)
    try:
        pin({min(allowed)})
        assert processors() == 1
        assert compile(graph).threads == 1
        both = [(seconds(one), seconds(three)) for _ in range(5)]
    finally:
        pin(allowed)

    assert min(b for _, b in both) < 2 * min(a for a, _ in both), both


def container(root, files):
    """Write what a kernel shows of control groups; returns the root."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


CASES = {
    "half a processor": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000"},
        1,
    ),
    "no limit": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000"}, 8),
    "no control groups": ({}, 8),
    "two and a half": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000"}, 3),
    "more than there are": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "9900000 100000"},
        8,
    ),
    "the group above decides": (
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/cpu.max": "200000 100000",
            "sys/fs/cgroup/a/b/cpu.max": "600000 100000",
        },
        2,
    ),
    "a group outside the container": (
        {"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/cpu.max": "300000 100000"},
        3,
    ),
    "first version": (
        {
            "proc/self/cgroup": "5:memory:/m\n4:cpu,cpuacct:/docker/1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "150000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        2,
    ),
    "first version without limit": (
        {
            "proc/self/cgroup": "4:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        8,
    ),
    "nonsense": ({"proc/self/cgroup": "?\n0::/\n", "sys/fs/cgroup/cpu.max": "1 0"}, 8),
}


@pytest.mark.parametrize("name", CASES)
def test_limits_of_a_container(name, tmp_path, monkeypatch):
    """Threads by default: what the control groups let run at once."""
    files, expected = CASES[name]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))

    assert processors(container(tmp_path, files)) == expected


def long_network(n):
    """Return products that take some seconds in all, and an input."""
    rng = np.random.default_rng(0)
    w = floats(rng, 512, 512) / 512
    nodes = [Node("MatMul", [f"x{i}" if i else "x", "w"], [f"x{i + 1}"]) for i in range(n)]
    graph = Graph(nodes, [Value("x", DType.FLOAT32, ("N", 512))], [Value(f"x{n}")], {"w": w})
    return graph, floats(rng, 2048, 512)


def test_a_run_is_cancelled_by_another_thread():
    """The flag ends a run early, or before it starts; the session then works as before."""
    graph, x = long_network(120)
    session = compile(graph)
    start = time.perf_counter()
    expected = session.run({"x": x})
    whole = time.perf_counter() - start
    stop = threading.Event()
    timer = threading.Timer(0.05, stop.set)
    start = time.perf_counter()
    timer.start()
    with pytest.raises(CancelledError, match="cancelled"):
        session.run({"x": x}, stop=stop)
    taken = time.perf_counter() - start
    timer.join()

    assert taken < 0.75 * whole
    with pytest.raises(CancelledError):
        session.run({"x": x}, stop=stop)
    stop.clear()
    again = session.run({"x": x}, stop=stop)
    assert all(again[name].tobytes() == expected[name].tobytes() for name in expected)


PRESS = """
import signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
sys.path.insert(0, {tests!r})
from test_processes import compile, long_network
graph, x = long_network(1500)
session = compile(graph, threads=2)
small = session.run({{"x": x[:1]}})
print("ready", flush=True)
try:
    session.run({{"x": x}})
    print("whole")
except KeyboardInterrupt:
    again = session.run({{"x": x[:1]}})
    same = all(again[n].tobytes() == small[n].tobytes() for n in small)
    print("interrupted", same)
"""


def test_ctrl_c_ends_a_run():
    """KeyboardInterrupt comes out of a run, not after it; the session works on."""
    code = PRESS.format(tests=str(Path(__file__).parent))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    start = time.perf_counter()
    said = process.communicate(timeout=120)[0]

    assert said == "interrupted True\n"
    assert time.perf_counter() - start < 10


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs affinity")
@pytest.mark.parametrize("alone", [False, True], ids=["all processors", "one processor"])
def test_woken_threads_keep_off_the_callers_processor(rng, alone):
    """They may use what the caller may, without the processor it is on, if there is another."""
    allowed = os.sched_getaffinity(0)
    mine = {min(allowed)} if alone else allowed
    tasks = Path("/proc/self/task")
    before = set(tasks.iterdir())
    try:
        os.sched_setaffinity(0, mine)
        session, x = compile(convolutional(rng), threads=3), floats(rng, 8, *NETWORKS[0][1][1:])
        for _ in range(3):
            time.sleep(0.02)  # they sleep after 50 us
            session.run({"x": x})
        masks = [os.sched_getaffinity(int(task.name)) for task in set(tasks.iterdir()) - before]

        assert len(masks) == 2
        assert os.sched_getaffinity(0) == mine
        for mask in masks:
            assert mask <= mine
            assert len(mask) == max(len(mine) - 1, 1)
    finally:
        os.sched_setaffinity(0, allowed)
