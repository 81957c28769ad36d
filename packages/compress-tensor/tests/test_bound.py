"""Sessions bound to arrays: the bytes of `run`, in the same memory every time."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from session_networks import NETWORKS, floats

from compress_tensor import Builder, CancelledError, DType, InputError, compile  # noqa: A004


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(29)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("network", NETWORKS, ids=lambda pair: pair[0].__name__)
def test_the_bytes_of_run(rng, network, threads):
    """Whatever the inputs hold then; with arrays given and without; the arena may be in use."""
    build, shape = network
    session, x = compile(build(rng), threads=threads), floats(rng, *shape)
    given = session.run({"x": x})
    for into in (None, given):
        bound = session.bind({"x": x}, into=into)
        for _ in range(3):
            x[:] = floats(rng, *shape)
            expected = session.run({"x": x.copy()})
            found = bound.run()
            again = bound()
            for name, array in expected.items():
                assert found[name].tobytes() == array.tobytes()
                assert again[name] is found[name] is bound.outputs[name]
                assert into is None or found[name] is into[name]
        assert bound.inputs["x"] is x


def test_threads_that_share_one_wait(rng):
    """Two threads, each looking at results while the other may run: bytes of one input."""
    build, shape = NETWORKS[0]
    session, x = compile(build(rng), threads=2), floats(rng, *shape)
    bound, wrong = session.bind({"x": x}), []
    expected = {name: array.copy() for name, array in bound.run().items()}

    def work():
        for _ in range(50):
            found = bound.run()
            wrong.extend(n for n, a in expected.items() if found[n].tobytes() != a.tobytes())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def _product(rng):
    """Return a session of a product so small that its binding keeps its memory, and its input."""
    b = Builder("product")
    x = b.input("x", DType.FLOAT32, (3, 40))
    b.output("y", x @ b.constant(floats(rng, 40, 24)))
    return compile(b.graph(), threads=2), floats(rng, 3, 40)


def test_threads_take_turns_at_a_product(rng):
    """Runs of several threads, some with a way to stop, never overlap (nor under a sanitizer)."""
    session, x = _product(rng)
    bound = session.bind({"x": x})
    expected = bound.run()["y"].tobytes()
    bound.outputs["y"][...] = 0

    def work(mine):
        stop = threading.Event() if mine % 2 else None
        for _ in range(300):
            bound.run(stop)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bound.outputs["y"].tobytes() == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_runs_it(rng):
    """Before the fork it ran with threads that the child does not have."""
    session, x = _product(rng)
    bound = session.bind({"x": x})
    expected = [bound.run()["y"].tobytes() for _ in range(2)][-1]
    child = os.fork()
    if child == 0:
        same = all(bound.run()["y"].tobytes() == expected for _ in range(3))
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert bound.run()["y"].tobytes() == expected


def _shaped():
    """Return a graph whose input ``shape`` decides the shape of ``y``; z hands on the input."""
    b = Builder("shaped")
    x, shape = b.input("x", DType.FLOAT32, (6,)), b.input("shape", DType.INT64, (2,))
    b.output("y", b.reshape(x, shape) * np.float32(2))
    b.output("z", b.identity(x))
    return b.graph()


def test_where_contents_decide_and_outputs_are_inputs():
    """It runs as `run` does; another shape than when it was bound is refused."""
    x, shape = np.arange(6, dtype=np.float32), np.array([2, 3])
    bound = compile(_shaped(), threads=1).bind({"x": x, "shape": shape})
    x += 1
    found = bound.run()
    np.testing.assert_array_equal(found["y"], 2 * x.reshape(2, 3))
    np.testing.assert_array_equal(found["z"], x)
    assert found["z"] is not x
    shape[:] = [3, 2]
    with pytest.raises(InputError, match=r"output 'y' is float32 of shape \[2, 3\], not"):
        bound.run()


def test_an_output_whose_shape_depends_on_the_data():
    b = Builder("places")
    b.output("y", b.non_zero(b.input("x", DType.FLOAT32, (5,))))
    x = np.float32([0, 1, 0, 2, 3])
    bound = compile(b.graph(), threads=1).bind({"x": x})
    x[:] = [1, 0, 2, 3, 0]
    assert bound.run()["y"].tolist() == [[0, 2, 3]]
    x[1] = 1
    with pytest.raises(InputError, match=r"another shape .*: \[1, 4\], not \[1, 3\]"):
        bound.run()


def test_what_is_refused(rng):
    build, shape = NETWORKS[0]
    session, x = compile(build(rng), threads=1), floats(rng, *shape)
    for feeds, sentence in (
        ({}, "'x' is missing"),
        ({"x": x.astype(np.float64)}, "has type float64"),
        ({"x": x[:, :, ::2, ::2].repeat(2, 2).repeat(2, 3)[:, :, :, ::-1]}, "cannot be bound"),
        ({"x": x.tolist()}, "has type float64|cannot be bound"),
    ):
        with pytest.raises(InputError, match=sentence):
            session.bind(feeds)
    with pytest.raises(InputError, match="array for output 'y'"):
        session.bind({"x": x}, into={"y": np.zeros(3, np.float32)})


def test_it_can_be_cancelled(rng):
    build, shape = NETWORKS[0]
    session, x = compile(build(rng), threads=1), floats(rng, *shape)
    bound, stop = session.bind({"x": x}), threading.Event()
    expected = bound.run(stop)["y"].tobytes()
    stop.set()
    with pytest.raises(CancelledError):
        bound.run(stop)
    assert bound.run()["y"].tobytes() == expected
