"""What a session keeps: weights once, packed, and shared if asked for."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import compress_tensor
from compress_tensor import DType, Graph, InputError, Node, Value


def folded_network() -> tuple[Graph, np.ndarray, int]:
    """Return convolutions with batch normalisation, an input, and the bytes of their kernels."""
    rng = np.random.default_rng(0)
    constants: dict[str, np.ndarray] = {}
    nodes, name, size = [], "x", 0
    for i in range(4):
        w = rng.standard_normal((256, 256, 3, 3)).astype(np.float32) / 48
        size += w.nbytes
        constants |= {f"w{i}": w, f"v{i}": np.ones(256, np.float32)}
        constants |= {f"{k}{i}": rng.standard_normal(256).astype(np.float32) for k in "sbm"}
        nodes.append(Node("Conv", [name, f"w{i}"], [f"c{i}"], {"pads": [1, 1, 1, 1]}))
        statistics = [f"{k}{i}" for k in "sbmv"]
        nodes.append(Node("BatchNormalization", [f"c{i}", *statistics], [f"n{i}"]))
        name = f"n{i}"
    graph = Graph(nodes, [Value("x", DType.FLOAT32)], [Value(name)], constants)
    return graph, rng.standard_normal((1, 256, 4, 4)).astype(np.float32), size


def test_weights_are_held_once() -> None:
    """Packed weights are held, not what passes made of the graph's; once by two that share."""
    graph, x, size = folded_network()
    tracemalloc.start()
    try:
        first = compress_tensor.compile(graph, threads=1)
        (expected,) = first.run({"x": x}).values()
        gc.collect()
        alone = tracemalloc.get_traced_memory()[0]
        second = compress_tensor.compile(graph, threads=2, share=first)
        (found,) = second.run({"x": x}).values()
        gc.collect()
        both = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert size < alone < 1.25 * size
    assert both - alone < 0.25 * size
    assert expected.tobytes() == found.tobytes()


def test_plans_after_the_first_are_right() -> None:
    """A session that let its optimized graph go makes it again for another shape."""
    graph, x, _ = folded_network()
    session = compress_tensor.compile(graph, threads=1)
    (first,) = session.run({"x": x}).values()
    (both,) = session.run({"x": np.concatenate([x, x])}).values()

    assert first.tobytes() * 2 == both.tobytes()


def test_sharing_is_refused() -> None:
    """Weights of another graph, or of one that changed, are not used."""
    graph, _, _ = folded_network()
    session = compress_tensor.compile(graph)
    with pytest.raises(InputError, match="another graph"):
        compress_tensor.compile(graph.copy(), share=session)
    graph.constants["w0"] = graph.constants["w0"] * 2
    with pytest.raises(InputError, match="changed"):
        compress_tensor.compile(graph, share=session)
