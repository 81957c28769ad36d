"""Batches in parts: the same bytes, and only where rows have nothing to do with each other."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
import session_networks
from in_parts import compiled, count_of

import compress_tensor
from compress_tensor import Builder, CancelledError, DType, Graph, Node, Value
from compress_tensor.engine import split
from compress_tensor.graph.builder import Symbol
from compress_tensor.graph.interpret import interpret

NETWORKS = {
    "convolutional": (session_networks.convolutional, (3, 8, 8)),
    "attention": (session_networks.attention, None),
    "coded": (session_networks.coded, (3, 8, 8)),
}
ROWS = 6


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def batch_for(graph: Graph, rng: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Return inputs with sizes for what is open."""
    sizes = {"N": rows, "H": 8, "T": 5}
    found = {}
    for value in graph.inputs:
        shape = [sizes.get(d, d) if isinstance(d, str) else d for d in value.shape or ()]
        found[value.name] = rng.standard_normal(shape).astype(np.float32)
    return found


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("rows", [2, 6, 7, 24])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_bit_changes(name: str, rows: int, threads: int, rng: np.random.Generator) -> None:
    """Of whole networks, in parts of any size that divides the batch, on any threads."""
    graph = NETWORKS[name][0](rng)
    feeds = batch_for(graph, rng, rows)
    expected = compiled(graph, feeds, 0, threads=1).run(feeds)
    for part in (n for n in range(1, rows) if rows % n == 0):
        session = compiled(graph, feeds, part, threads=threads)
        found = session.run(feeds)
        bound = session.bind(feeds)
        again = [session.run(feeds) for _ in range(3)]

        assert count_of(session, feeds) == (rows // part if rows >= threads else 1)
        for output, array in expected.items():
            assert array.tobytes() == found[output].tobytes()
            assert all(array.tobytes() == each[output].tobytes() for each in again)
            assert array.tobytes() == bound.run()[output].tobytes()


def one(
    make: Callable[..., Symbol], *shapes: tuple[int, ...], dtype: DType = DType.FLOAT32
) -> Graph:
    """Return a graph of few nodes on inputs that have an open first dimension."""
    b = Builder()
    names = [b.input(f"x{i}", dtype, ("N", *shape)) for i, shape in enumerate(shapes or [(4, 6)])]
    b.output("y", make(b, *names))
    return b.graph()


W = np.random.default_rng(0).standard_normal((6, 6)).astype(np.float32)
APART = {
    "elementwise": one(lambda b, x: b.relu(x) + np.float32(1)),
    "broadcast": one(lambda b, x: x * np.ones((4, 1), np.float32)),
    "broadcast from one row": one(lambda b, x: x * np.ones((1, 4, 1), np.float32)),
    "two inputs": one(lambda b, x, y: b.max(x, y), (3,), (3,)),
    "softmax": one(lambda b, x: b.softmax(x, axis=1)),
    "layer norm": one(lambda b, x: b.layer_normalization(x, W[0], axis=-1), (4, 6, 6)),
    "weights": one(lambda b, x: x @ W),
    "rows of a matrix": one(lambda b, x: x @ W, (6,)),
    "attention": one(lambda b, x: x @ b.transpose(x, perm=[0, 2, 1])),
    "gemm": one(lambda b, x: b.gemm(x, W), (6,)),
    "flatten": one(lambda b, x: b.flatten(x)),
    "merge and part again": one(
        lambda b, x: b.reshape(b.reshape(x, np.array([-1, 6])) @ W, np.array([-1, 4, 6]))
    ),
    "heads": one(lambda b, x: b.transpose(b.reshape(x, np.array([0, 2, 2, 6])), perm=[0, 2, 1, 3])),
    "rows second": one(lambda b, x: b.gather(b.transpose(x, perm=[1, 0, 2]), np.array(2), axis=0)),
    "rows last and back": one(
        lambda b, x: b.transpose(b.softmax(b.transpose(x, perm=[2, 1, 0]), axis=0), perm=[2, 1, 0])
    ),
    "mean": one(lambda b, x: b.reduce_mean(x, np.array([1]), keepdims=0)),
    "mean before rows": one(
        lambda b, x: b.reduce_sum(b.transpose(x, perm=[1, 0, 2]), np.array([0]), keepdims=0)
    ),
    "concatenation": one(lambda b, x: b.concat(x, x, axis=2)),
    "one token more": one(
        lambda b, x: b.concat(
            b.expand(
                np.ones((1, 1, 6), np.float32),
                b.concat(
                    b.slice(b.shape(x), np.array([0]), np.array([1])), np.array([1, 6]), axis=0
                ),
            ),
            x,
            axis=1,
        )
    ),
    "slice": one(lambda b, x: b.slice(x, np.array([1]), np.array([3]), np.array([1]))),
    "pad": one(lambda b, x: b.pad(x, np.array([0, 1, 0, 0, 0, 2]))),
    "arg max": one(lambda b, x: b.arg_max(x, axis=1, keepdims=0)),
    "embedding": one(lambda b, x: b.gather(W, b.cast(b.abs(x), to=int(DType.INT64)), axis=0), (4,)),
    "picture": one(lambda b, x: b.conv(x, np.ones((5, 4, 1, 3), np.float32)), (4, 6, 6)),
    "larger picture": one(
        lambda b, x: b.resize(x, None, np.array([1, 1, 2, 2], np.float32), mode="nearest"),
        (4, 3, 3),
    ),
    "codes": one(
        lambda b, x: b.dequantize_linear(
            b.quantize_linear(x, np.float32(0.1), np.uint8(7)), np.float32(0.1), np.uint8(7)
        )
    ),
}


@pytest.mark.parametrize("name", APART)
def test_rows_that_are_apart(name: str, rng: np.random.Generator) -> None:
    """Operators that keep rows apart are run in parts, and compute what they should."""
    graph = APART[name]
    feeds = batch_for(graph, rng, ROWS)
    whole = compiled(graph, feeds, 0, threads=2)
    for part in (1, 2, 3):
        session = compiled(graph, feeds, part, threads=2)
        (found,), (expected,) = session.run(feeds).values(), whole.run(feeds).values()

        assert count_of(session, feeds) == ROWS // part
        assert expected.dtype == found.dtype
        assert expected.shape == found.shape
        assert expected.tobytes() == found.tobytes()


def fixed(make: Callable[..., Symbol], rows: int = ROWS) -> Graph:
    """Return a graph that takes one size of batch."""
    b = Builder()
    b.output("y", make(b, b.input("x0", DType.FLOAT32, (rows, 4, 6))))
    return b.graph()


MIXED = {
    "softmax over rows": one(lambda b, x: b.softmax(x, axis=0)),
    "normalised over rows": one(
        lambda b, x: b.transpose(
            b.layer_normalization(b.transpose(x, perm=[1, 0, 2]), W[0], axis=-2), perm=[1, 0, 2]
        )
    ),
    "mean of rows": one(lambda b, x: x - b.reduce_mean(x, np.array([0]))),
    "sum of all": one(lambda b, x: x - b.reduce_sum(x)),
    "turned over": one(
        lambda b, x: b.slice(x, np.array([-1]), np.array([-99]), np.array([0]), np.array([-1]))
    ),
    "shifted": one(lambda b, x: b.pad(x, np.array([1, 0, 0, -1, 0, 0]))),
    "rows against rows": one(lambda b, x: x @ b.transpose(x), (6,)),
    "rows mixed by reshape": one(
        lambda b, x: b.transpose(b.reshape(x, np.array([4, -1, 6])), perm=[1, 0, 2])
    ),
    "as many as rows": one(lambda b, x: x + b.cast(b.gather(b.shape(x), 0), to=1)),
    "a number for each row": fixed(
        lambda b, x: x + np.arange(ROWS, dtype=np.float32)[:, None, None]
    ),
    "a weight for each row": fixed(lambda b, x: x @ np.stack([W * i for i in range(ROWS)])),
    "one for all": one(lambda b, x: b.concat(x, x, axis=0)),
    "first row": one(lambda b, x: x + b.gather(x, np.array([0]), axis=0)),
    "unknown operator": one(lambda b, x: b.cum_sum(x, np.array(0))),
    "scale by range": one(
        lambda b, x: b.dequantize_linear(*b.dynamic_quantize_linear(x, n_outputs=3)), (6,)
    ),
    "a scale for each row": fixed(
        lambda b, x: b.quantize_linear(
            x, np.linspace(1, 2, ROWS, dtype=np.float32), np.zeros(ROWS, np.uint8), axis=0
        )
    ),
    "resized rows": one(
        lambda b, x: b.resize(x, None, np.array([1.1, 1, 1], np.float32), mode="linear")
    ),
    "indices over all": one(
        lambda b, x: b.max_pool(x, kernel_shape=[2, 2], n_outputs=2)[1], (4, 6, 6)
    ),
    "output along another": one(lambda b, x: b.transpose(x, perm=[1, 0, 2])),
}


@pytest.mark.parametrize("name", MIXED)
def test_rows_that_are_mixed(name: str, rng: np.random.Generator) -> None:
    """Operators that mix rows, or may, are run for the whole batch."""
    graph = MIXED[name]
    feeds = batch_for(graph, rng, ROWS)
    for part in (1, 2, 3):
        session = compiled(graph, feeds, part, threads=1)
        (found,), (expected,) = session.run(feeds).values(), interpret(graph, feeds).values()

        assert count_of(session, feeds) == 1
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def perceptron(rng: np.random.Generator, width: int, layers: int) -> Graph:
    """Return a network of square layers."""
    b = Builder()
    x = b.input("x0", DType.FLOAT32, ("N", width))
    for _ in range(layers):
        x = b.relu(x @ (rng.standard_normal((width, width)) / width**0.5).astype(np.float32))
    b.output("y", x)
    return b.graph()


def test_an_input_that_is_as_large_by_chance(rng: np.random.Generator) -> None:
    """Weights that are fed, as many rows of them as of the batch, count for every row."""
    b = Builder()
    x, w = b.input("x", DType.FLOAT32, ("N", 6)), b.input("w", DType.FLOAT32, (6, 6))
    b.output("y", x @ w)
    for rows, count in ((ROWS, 1), (8, 4)):
        feeds = {"x": rng.standard_normal((rows, 6)).astype(np.float32), "w": W}
        session = compiled(b.graph(), feeds, 2, threads=1)

        assert count_of(session, feeds) == count
        np.testing.assert_allclose(session.run(feeds)["y"], feeds["x"] @ W, rtol=1e-5, atol=1e-5)


def test_where_it_is_of_no_use(rng: np.random.Generator) -> None:
    """A batch stays whole that fits the cache, has too few rows, or waits for weights."""
    small, wide = perceptron(rng, 16, 3), perceptron(rng, 1024, 3)
    for graph, width, rows, threads in ((small, 16, 64, 1), (small, 16, 2, 2), (wide, 1024, 8, 2)):
        feeds = {"x0": np.zeros((rows, width), np.float32)}

        assert count_of(compress_tensor.compile(graph, threads=threads), feeds) == 1


def test_memory_does_not_grow_with_the_batch(rng: np.random.Generator) -> None:
    """The arena is that of the parts that are under way."""
    graph = session_networks.convolutional(rng)
    session = compress_tensor.compile(graph, threads=1)
    need = [
        session.memory({"x": np.zeros((rows, 3, 64, 64), np.float32)}) for rows in (16, 64, 256)
    ]

    assert count_of(session, {"x": np.zeros((256, 3, 64, 64), np.float32)}) > 1
    assert max(need) <= 2 * split.CACHE_BYTES + need[0]
    assert need[2] < 2 * need[0]


def test_it_can_be_cancelled(rng: np.random.Generator) -> None:
    """Between operators of any part; the session works as before."""
    graph = perceptron(rng, 512, 40)
    feeds = {"x0": rng.standard_normal((1 << 13, 512)).astype(np.float32)}
    session = compiled(graph, feeds, 256, threads=2)
    expected = session.run(feeds)["y"].tobytes()
    stop = threading.Event()
    timer = threading.Timer(0.15, stop.set)
    timer.start()
    with pytest.raises(CancelledError):
        for _ in range(100):
            session.run(feeds, stop=stop)
    timer.join()

    assert session.run(feeds)["y"].tobytes() == expected


def test_threads_share_a_session(rng: np.random.Generator) -> None:
    """Runs of one session at the same time, each in parts."""
    graph = session_networks.convolutional(rng)
    feeds = batch_for(graph, rng, 12)
    session = compiled(graph, feeds, 2, threads=3)
    expected = session.run(feeds)["y"].tobytes()
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(i for i in range(30) if session.run(feeds)["y"].tobytes() != expected)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


def test_an_error_in_a_part_is_raised(rng: np.random.Generator) -> None:
    """A kernel that refuses an index in one part ends the run with its sentence."""
    graph = one(lambda b, x: b.gather(W, x, axis=0), (4,), dtype=DType.INT64)
    indices = np.zeros((ROWS, 4), np.int64)
    session = compiled(graph, {"x0": indices}, 1, threads=2)
    session.run({"x0": indices})
    indices[4, 2] = 6

    with pytest.raises(compress_tensor.CompressError, match="6"):
        session.run({"x0": indices})

    indices[4, 2] = 5
    (found,) = session.run({"x0": indices}).values()

    assert found.tobytes() == W[indices].tobytes()


def test_a_graph_that_part_of_runs_by_definition(rng: np.random.Generator) -> None:
    """What is no single program is run for the whole batch, as before."""
    nodes = [Node("Relu", ["x"], ["a"]), Node("Unique", ["a"], ["y"])]
    graph = Graph(nodes, [Value("x", DType.FLOAT32, ("N", 4))], [Value("a"), Value("y")], {})
    x = rng.standard_normal((ROWS, 4)).astype(np.float32)
    session = compiled(graph, {"x": x}, 2, threads=1)
    found, expected = session.run({"x": x}), interpret(graph, {"x": x})

    assert count_of(session, {"x": x}) == 1
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_a_profile_counts_every_run(rng: np.random.Generator) -> None:
    """Each record once, with how often it is run."""
    graph = session_networks.convolutional(rng)
    feeds = batch_for(graph, rng, ROWS)
    lines = compiled(graph, feeds, 2, threads=1).profile(feeds)

    assert {record.runs for record, _ in lines} == {3}
    assert all(spent >= 0 for _, spent in lines)
