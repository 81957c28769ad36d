"""What a session keeps: weights once, packed, and shared if asked for."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest

import compress_tensor
from compress_tensor import DType, Graph, InputError, Node, Value
from compress_tensor.engine import weights


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


def test_weights_are_held_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed weights are held, not what passes made of the graph's; once by two that share."""
    monkeypatch.setattr(weights, "LEAST", 1 << 60)  # tracemalloc does not see memory by mmap
    graph, x, size = folded_network()
    tracemalloc.start()
    try:
        first = compress_tensor.compile(graph, threads=1)
        (expected,) = first.run({"x": x}).values()
        gc.collect()
        alone, most = tracemalloc.get_traced_memory()
        second = compress_tensor.compile(graph, threads=2, share=first)
        (found,) = second.run({"x": x}).values()
        gc.collect()
        both = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert size < alone < 1.25 * size
    assert most < 1.6 * size  # while planning: one folded kernel after the other goes
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


def test_planning_codes_takes_no_wide_copies() -> None:
    """An int8 matrix is packed and summed with less than its own size beside the packed one."""
    rng = np.random.default_rng(1)
    k, n = 1024, 2048
    scale, zero = np.float32(0.02), np.uint8(128)
    constants: dict[str, np.ndarray] = {
        "w": rng.integers(-127, 128, (k, n)).astype(np.int8),
        "sw": np.full(n, 0.01, np.float32),
        "zw": np.zeros(n, np.int8),
        "s": np.asarray(scale),
        "z": np.asarray(zero),
    }
    nodes = [
        Node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        Node("DequantizeLinear", ["q", "s", "z"], ["a"]),
        Node("DequantizeLinear", ["w", "sw", "zw"], ["b"], {"axis": 1}),
        Node("MatMul", ["a", "b"], ["y"]),
    ]
    graph = Graph(nodes, [Value("x", DType.FLOAT32, (1, k))], [Value("y")], constants)
    session = compress_tensor.compile(graph, threads=1)
    x = rng.standard_normal((1, k)).astype(np.float32)
    tracemalloc.start()
    try:
        (found,) = session.run({"x": x}).values()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert most < 1.5 * k * n
    codes = np.clip(np.rint(x / scale) + 128, 0, 255).astype(np.int64) - 128
    exact = codes @ constants["w"].astype(np.int64) * (float(scale) * 0.01)
    np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)
