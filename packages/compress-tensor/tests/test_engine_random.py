"""Random networks: the engine against the definitions, and against itself.

Floats stay within a bound that follows from the number of additions; codes differ from the
definitions' in few places, where a sum lies on the border between two.  Threads, instruction
sets and the rest of the batch change no bit.
"""

from __future__ import annotations

import numpy as np
import pytest
from every_way import LEVELS
from in_parts import compiled
from random_codes import quantized
from random_networks import random_network

import compress_tensor
from compress_tensor import Graph, Node, Value
from compress_tensor.dtype import DType
from compress_tensor.engine.lowering import FAILED
from compress_tensor.graph.interpret import interpret
from compress_tensor.native import library

BATCHES, CASES = 60, 25  # 1,500 networks of floats, as many of codes


def same_bytes(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    """Whether two results are equal bit for bit."""
    return all(a[n].dtype == b[n].dtype and a[n].tobytes() == b[n].tobytes() for n in a)


def text_of(graph: Graph) -> str:
    """Return the nodes, for the message of a failure."""
    return "\n".join(f"{n.op} {n.inputs} -> {n.outputs} {n.attributes}" for n in graph.nodes)


def variants(graph: Graph, x: np.ndarray, first: dict[str, np.ndarray]) -> None:
    """Assert that threads, instruction set, neighbours and parts change no bit."""
    for threads in (2, 3, 8):
        found = compress_tensor.compile(graph, threads=threads).run({"x": x})

        assert same_bytes(first, found), f"{threads} threads\n{text_of(graph)}"
    for level in LEVELS:
        library.limit_isa(level)
        found = compress_tensor.compile(graph, threads=1).run({"x": x})

        assert same_bytes(first, found), f"{level}\n{text_of(graph)}"
    library.limit_isa(LEVELS[-1])
    session = compress_tensor.compile(graph, threads=1)
    for row in range(len(x)):
        alone = session.run({"x": x[row : row + 1]})
        of_batch = {name: array[row : row + 1] for name, array in first.items()}

        assert same_bytes(of_batch, alone), f"row {row} alone\n{text_of(graph)}"
    for threads in (1, 2):
        found = compiled(graph, {"x": x}, 1, threads=threads).run({"x": x})

        assert same_bytes(first, found), f"in parts\n{text_of(graph)}"


def every_value(graph: Graph, x: np.ndarray) -> None:
    """Assert that values in the order of the kernels' memory are those in row-major order."""
    names = [name for node in graph.nodes for name in node.outputs if name]
    free = compress_tensor.compile(graph, threads=1, outputs=names, any_strides=True)
    first = free.run({"x": x})
    again = {name: np.zeros_like(array) for name, array in first.items()}
    found = free.run({"x": x}, into=again)

    assert same_bytes(compress_tensor.compile(graph, threads=1, outputs=names).run({"x": x}), first)
    assert same_bytes(first, found)


def no_defects(session: compress_tensor.Session, x: np.ndarray, graph: Graph) -> None:
    """Assert that no lowering gave up with an error of its own."""
    failed = [line for line in session.report({"x": x}) if FAILED in line.how]

    assert not failed, f"{failed}\n{text_of(graph)}"


@pytest.mark.usefixtures("best_isa")
@pytest.mark.parametrize("batch", range(BATCHES))
def test_floats(batch: int) -> None:
    """A compiled network computes what its definitions compute, up to rounding."""
    for case in range(CASES):
        rng = np.random.default_rng([batch, case])
        net = random_network(rng, int(rng.integers(1, 9)))
        names = net.leaves()[-2:]
        if not names:
            continue
        graph, x = net.graph(names), net.arrays["x"]
        session = compress_tensor.compile(graph, threads=1)
        found = session.run({"x": x})
        no_defects(session, x, graph)
        for name in names:
            off = float(np.abs(found[name].astype(np.float64) - net.arrays[name]).max())

            assert net.arrays[name].shape == found[name].shape
            assert off <= 2 * net.errors[name], f"{case}: {name} is off by {off}\n{text_of(graph)}"
        if case % 5 == 0:
            every_value(graph, x)
        variants(graph, x, found)


@pytest.mark.usefixtures("best_isa")
@pytest.mark.parametrize("batch", range(BATCHES))
def test_codes(batch: int) -> None:
    """A quantized network gives the codes of its definitions, save for ties.

    Where one code differs by a step, a later layer may make two of it, hardly ever more.
    """
    elements = wrong = far = 0
    for case in range(CASES):
        rng = np.random.default_rng([batch, case, 1])
        net = random_network(rng, int(rng.integers(1, 7)))
        if not net.leaves():
            continue
        graph, names = quantized(net, float(rng.choice([1.0, 1.0, 0.7])))
        x = net.arrays["x"]
        session = compress_tensor.compile(graph, threads=1)
        found, expected = session.run({"x": x}), interpret(graph, {"x": x})
        no_defects(session, x, graph)
        for name in names:
            steps = np.abs(found[name].astype(int) - expected[name].astype(int))
            elements += steps.size
            wrong += int((steps > 0).sum())
            far += int((steps > 1).sum())

            assert expected[name].dtype == found[name].dtype
            assert steps.max() <= 2, f"{case}: {name} differs by {steps.max()}\n{text_of(graph)}"
        if case % 5 == 0:
            every_value(graph, x)
        variants(graph, x, found)

    assert wrong <= 0.002 * elements
    assert far <= 0.0001 * elements


def saturating(op: str) -> tuple[Graph, np.ndarray, np.ndarray]:
    """Return a layer whose pairs of products, 255 * 127 * 2, do not fit 16 bits; x; the result."""
    grid = [np.array(1, np.float32), np.array(0, np.uint8)]
    weights = {
        "MatMul": np.full((64, 48), 127, np.int8),
        "Conv": np.full((24, 16, 3, 3), 127, np.int8),
        "Depthwise": np.full((16, 1, 3, 3), 127, np.int8),
    }[op]
    shape, terms = ((5, 64), 64) if op == "MatMul" else ((2, 16, 5, 5), 9 * weights.shape[1])
    constants = {"s": grid[0], "z": grid[1], "w": weights, "t": np.array(0, np.int8)}
    nodes = [
        Node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        Node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        Node("DequantizeLinear", ["w", "s", "t"], ["v"]),
        Node("MatMul", ["d", "v"], ["p"])
        if op == "MatMul"
        else Node("Conv", ["d", "v"], ["p"], {"group": 16 if op == "Depthwise" else 1}),
        Node("QuantizeLinear", ["p", "big", "z"], ["y"]),
    ]
    constants["big"] = np.array(255 * 127 * terms / 200, np.float32)
    graph = Graph(nodes, [Value("x", DType.FLOAT32, shape)], [Value("y")], constants)
    x = np.full(shape, 255, np.float32)
    return graph, x, interpret(graph, {"x": x})["y"]


@pytest.mark.usefixtures("best_isa")
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("op", ["MatMul", "Conv", "Depthwise"])
def test_products_of_bytes_do_not_saturate(op: str, level: str) -> None:
    """The largest codes give the exact sum at every instruction set."""
    graph, x, expected = saturating(op)
    library.limit_isa(level)

    assert (expected == 200).all()
    assert np.array_equal(expected, compress_tensor.compile(graph).run({"x": x})["y"])


@pytest.mark.usefixtures("best_isa")
@pytest.mark.parametrize("level", LEVELS)
def test_integer_products_are_exact(level: str) -> None:
    """MatMulInteger returns the sum of 255 * 127 over k = 1000, and of its negative."""
    weights = np.full((1000, 20), 127, np.int8)
    weights[:, 1::2] = -128
    graph = Graph(
        [Node("MatMulInteger", ["x", "w"], ["y"])],
        [Value("x", DType.UINT8, ("N", 1000))],
        [Value("y")],
        {"w": weights},
    )
    library.limit_isa(level)
    found = compress_tensor.compile(graph).run({"x": np.full((3, 1000), 255, np.uint8)})["y"]

    assert np.array_equal(np.tile([255 * 127 * 1000, -255 * 128 * 1000], (3, 10)), found)
