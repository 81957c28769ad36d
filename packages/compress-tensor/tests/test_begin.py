"""Conversions taken over by the kernel that reads, or finds, the codes: the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from compress_tensor import Builder, DType, Graph, compile  # noqa: A004

_GRID = (np.float32(0.02), np.array(117, np.uint8))


def _product(seed: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """Return a quantized product of rows that lie anyhow in what was given."""
    rng = np.random.default_rng(seed)
    batch, m, k, n = (int(rng.integers(1, most)) for most in (4, 300, 90, 50))
    b = Builder("product")
    way = seed % 5
    shape = [(m, k), (batch, m, k), (batch, m, 3, k), (m, batch, k), (m, 2 * k)][way]
    x = y = b.input("x", DType.FLOAT32, shape)
    if way == 2:
        y = b.gather(x, np.int64(1), axis=2)
    elif way == 3:
        y = b.transpose(x, perm=[1, 0, 2])
    elif way == 4:
        y = b.slice(x, np.array([k]), np.array([2 * k]), np.array([1]))
    codes = b.quantize_linear(y, *_GRID)
    w = rng.integers(-127, 128, (k, n)).astype(np.int8)
    w_float = b.dequantize_linear(b.constant(w, "w"), np.float32(0.01), np.array(0, np.int8))
    z = b.dequantize_linear(codes, *_GRID) @ w_float
    if rng.random() < 0.5:
        z = b.relu(z)
    if rng.random() < 0.3:
        b.output("codes", codes)
    b.output("z", b.quantize_linear(z, *_GRID) if rng.random() < 0.5 else z)
    values = rng.standard_normal(shape).astype(np.float32) * 3
    if rng.random() < 0.2:
        values.reshape(-1)[:: max(values.size // 5, 1)] = rng.choice([np.nan, np.inf, -np.inf])
    return b.graph(), {"x": values}


def _look_up(seed: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """Return rows of a quantized table, as floats."""
    rng = np.random.default_rng(seed)
    rows, width = int(rng.integers(1, 50)), int(rng.integers(1, 70))
    shape = tuple(int(size) for size in rng.integers(1, 9, int(rng.integers(1, 3))))
    kind = [np.uint8, np.int8][seed % 2]
    b = Builder("look-up")
    table = b.constant(rng.integers(0, 100, (rows, width)).astype(kind), "table")
    axis = int(rng.integers(2))
    found = b.gather(table, b.input("at", DType.INT64, shape), axis=axis)
    y = b.dequantize_linear(found, np.float32(0.03), np.array(5, kind))
    b.output("y", b.transpose(y) if rng.random() < 0.3 else y)
    bound = (rows, width)[axis]
    return b.graph(), {"at": rng.integers(-bound, bound, shape)}


def _moved(seed: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """Return values that are converted, and then moved into a place of their own, or looked up."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(size) for size in rng.integers(1, 12, 3))
    kind = [np.uint8, np.int8][seed % 2]
    grid = (np.float32(0.05), np.array(7, kind))
    b = Builder("moved")
    if seed % 3:
        values: np.ndarray = rng.standard_normal(shape).astype(np.float32) * 4
        y = b.quantize_linear(b.input("x", DType.FLOAT32, shape), *grid)
    else:
        values = rng.integers(0, 128, shape).astype(kind)
        y = b.dequantize_linear(b.input("x", DType.of(values.dtype), shape), *grid)
    order = rng.permutation(3)
    turned = tuple(shape[i] for i in order)
    y = b.transpose(y, perm=order.tolist())
    if rng.random() < 0.5:
        y = b.reshape(y, np.array([turned[0], -1]))
        turned = (turned[0], turned[1] * turned[2])
    axis = int(rng.integers(len(turned)))
    if rng.random() < 0.5:
        at = rng.integers(-turned[axis], turned[axis], int(rng.integers(2, 9)))
        y = b.gather(y, at, axis=axis)
    elif rng.random() < 0.8:
        other = rng.integers(0, 100, turned).astype(kind if seed % 3 else np.float32)
        y = b.concat(*([y, other] if rng.random() < 0.5 else [other, y]), axis=axis)
    b.output("y", y)
    return b.graph(), {"x": values}


@pytest.mark.parametrize("seed", range(80))
@pytest.mark.parametrize("make", [_product, _look_up, _moved])
def test_the_bytes_of_two_records(make, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, feeds = make(seed)
    found = compile(graph, threads=1 + seed % 3).run(feeds)
    monkeypatch.setattr("compress_tensor.engine.plan.begun", lambda steps, _: steps)
    plain = compile(graph, threads=1).run(feeds)
    for name, array in plain.items():
        assert found[name].tobytes() == array.tobytes()


def _kernels(graph: Graph, feeds: dict[str, np.ndarray]) -> list[str]:
    return [record.kernel for record, _ in compile(graph, threads=1).profile(feeds)]


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_quantized_by_the_product(seed: int) -> None:
    while True:
        graph, feeds = _product(seed)
        if len(graph.outputs) == 1:
            break
        seed += 5
    assert _kernels(graph, feeds) == ["gemm_s8"]


def test_codes_found_become_floats() -> None:
    graph, feeds = _look_up(4)
    assert _kernels(graph, feeds)[0] == "gather"
    assert "dequantize_linear" not in _kernels(graph, feeds)


def test_conversions_write_into_their_place() -> None:
    seen = [_kernels(*_moved(seed)) for seed in range(80)]
    assert ["quantize_linear"] in seen
    assert ["dequantize_linear"] in seen
    assert ["gather"] in seen  # quantizes
    assert (
        sum("dequantize_linear" in kernels or "quantize_linear" in kernels for kernels in seen) < 70
    )


def test_codes_that_others_read_are_made_once() -> None:
    b = Builder("shared")
    codes = b.quantize_linear(b.input("x", DType.FLOAT32, (40, 30)), *_GRID)
    for n in range(3):
        w = np.full((30, 20), n + 1, np.int8)
        w_float = b.dequantize_linear(w, np.float32(0.01), np.array(0, np.int8))
        b.output(f"y{n}", b.dequantize_linear(codes, *_GRID) @ w_float)
    feeds = {"x": np.ones((40, 30), np.float32)}
    assert _kernels(b.graph(), feeds) == ["quantize_linear", *["gemm_s8"] * 3]
