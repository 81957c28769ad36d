"""Chains of elementwise operators: one record, the bytes of the operators one by one."""

from __future__ import annotations

import os

import numpy as np
import pytest

from compress_tensor import Builder, DType, Graph, Node, Value, compile  # noqa: A004

_ONE = ("Relu", "Tanh", "Sigmoid", "Exp", "Abs", "Neg", "Floor", "Softplus", "HardSwish")
_TWO = ("Add", "Sub", "Mul", "Div", "Max", "Min")


def _chances(seed: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """Return operators on images, single rows, channels and numbers; some are outputs."""
    rng = np.random.default_rng(seed)
    shape = (2, int(rng.integers(1, 20)), int(rng.integers(1, 30)), int(rng.integers(1, 30)))
    small = [(shape[1], 1, 1), (1,), (shape[3],), (shape[0], 1, 1, 1)]
    constants = {
        f"k{n}": rng.standard_normal(dims).astype(np.float32) for n, dims in enumerate(small)
    }
    nodes, full = [], ["x", "z"]
    for n in range(int(rng.integers(2, 16))):
        # Mostly what was made last, so that there are chains.
        first = full[-1] if rng.random() < 0.7 else str(rng.choice(full))
        if rng.random() < 0.4:
            nodes.append(Node(str(rng.choice(_ONE)), [first], [f"v{n}"]))
        else:
            other = str(rng.choice([*full[-4:], *constants]))
            pair = [first, other] if rng.random() < 0.6 else [other, first]
            nodes.append(Node(str(rng.choice(_TWO)), pair, [f"v{n}"]))
        full.append(f"v{n}")
    wanted = {full[-1], *(str(n) for n in rng.choice(full[2:], size=2))}
    graph = Graph(
        nodes=nodes,
        inputs=[Value(name, DType.FLOAT32, shape) for name in ("x", "z")],
        outputs=[Value(name) for name in sorted(wanted)],
        constants=constants,
    )
    x, z = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    if rng.random() < 0.3:
        x.reshape(-1)[:: max(x.size // 5, 1)] = rng.choice([np.nan, np.inf, -np.inf, -0.0])
    return graph, {"x": x, "z": z}


def _codes(seed: int) -> tuple[Graph, dict[str, np.ndarray]]:
    """Return codes that become floats, operators on them, and codes again; some floats are read."""
    rng = np.random.default_rng(seed)
    shape = (2, int(rng.integers(1, 20)), int(rng.integers(1, 60)))
    b = Builder("codes")
    types = [(DType.UINT8, np.uint8), (DType.INT8, np.int8)]
    feeds: dict[str, np.ndarray] = {}

    def grid(dtype: type) -> tuple[np.float32, np.ndarray]:
        zero = int(rng.integers(0, 100)) if rng.random() < 0.8 else 0
        return np.float32(rng.uniform(0.005, 0.1)), np.array(zero, dtype)

    values = []
    for n in range(int(rng.integers(1, 4))):
        kind, dtype = types[int(rng.integers(2))]
        feeds[f"x{n}"] = rng.integers(0, 128, shape).astype(dtype)
        values.append(b.dequantize_linear(b.input(f"x{n}", kind, shape), *grid(dtype)))
    feeds["z"] = rng.standard_normal(shape[int(rng.integers(3)) :]).astype(np.float32)
    values.append(b.input("z", DType.FLOAT32, feeds["z"].shape))
    if rng.random() < 0.5:
        values.append(values[-1] * rng.standard_normal(shape[-1:]).astype(np.float32))
    y = values[0]
    for other in values[1:]:
        y = b.tanh(y + other) if rng.random() < 0.5 else y * other
    if rng.random() < 0.5:
        b.output("floats", y)
    kind, dtype = types[int(rng.integers(2))]
    for n in range(int(rng.integers(1, 3))):
        b.output(f"y{n}", b.quantize_linear(y, *grid(dtype)))
    return b.graph(), feeds


@pytest.mark.parametrize("seed", range(80))
@pytest.mark.parametrize("chances", ["_chances", "_codes"])
def test_the_bytes_of_the_operators_one_by_one(
    chances: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, feeds = globals()[chances](seed)
    found = compile(graph, threads=1 + seed % 3).run(feeds)
    monkeypatch.setattr("compress_tensor.engine.plan.chained", lambda steps, _: steps)
    session = compile(graph, threads=1)
    assert "chain_f32" not in [r.kernel for r, _ in session.profile(feeds)]
    plain = session.run(feeds)
    for name, array in found.items():
        assert array.tobytes() == plain[name].tobytes()


def test_chains_are_found() -> None:
    """At most eight operators and four inputs; one value that others read is kept."""

    def kernels(build) -> list[str]:
        b = Builder("chain")
        x = b.input("x", DType.FLOAT32, (3, 5, 40))
        build(b, x)
        feeds = {"x": np.ones((3, 5, 40), np.float32)}
        return [r.kernel for r, _ in compile(b.graph(), threads=1).profile(feeds)]

    rows = np.ones((5, 1), np.float32)

    def mish(b, x):
        b.output("y", x * b.tanh(b.log(b.exp(x) + rows)))

    def long(b, x):
        y = x
        for _ in range(9):
            y = b.sin(y)
        b.output("y", y)

    def wanted(b, x):
        y = b.sin(x)
        b.output("y", y)
        b.output("z", b.cos(y))

    def more_wanted(b, x):
        y = b.sin(x)
        z = b.cos(y)
        for name, value in (("y", y), ("z", z), ("w", b.tan(z))):
            b.output(name, value)

    def turned(b, x):
        y = b.sin(x)
        b.output("y", b.transpose(y, perm=[0, 2, 1]) * b.transpose(x, perm=[0, 2, 1]))

    def parts(b, x):
        y = b.sin(x)
        b.output("y", b.concat(y, b.cos(y), axis=1))

    def compared(b, x):
        b.output("y", b.less(b.sin(x), rows))

    assert kernels(mish) == ["chain_f32"]
    assert kernels(long) == ["chain_f32", "unary_f32"]
    assert kernels(wanted) == ["chain_f32"]
    assert kernels(more_wanted) == ["chain_f32", "unary_f32"]
    assert kernels(parts) == ["unary_f32", "unary_f32"]
    assert "chain_f32" not in kernels(compared)
    assert len(kernels(turned)) >= 2


def test_codes_at_both_ends() -> None:
    """Quantized branches are added, and the sum is read as floats and as codes: one record."""
    b = Builder("codes")
    grid = (np.float32(0.02), np.array(3, np.uint8))
    x, y = (b.input(name, DType.UINT8, (4, 50)) for name in "xy")
    z = b.dequantize_linear(x, *grid) + b.dequantize_linear(y, *grid) + np.ones(50, np.float32)
    b.output("floats", z)
    b.output("codes", b.quantize_linear(z, *grid))
    feeds = {name: np.arange(200, dtype=np.uint8).reshape(4, 50) for name in "xy"}
    assert [r.kernel for r, _ in compile(b.graph(), threads=1).profile(feeds)] == ["chain_f32"]


@pytest.mark.skipif("COMPRESS_ISA" in os.environ, reason="one instruction set is enough")
def test_a_chain_needs_no_memory_between() -> None:
    b = Builder("chain")
    y = x = b.input("x", DType.FLOAT32, ("N", 1000))
    for _ in range(4):
        y = b.sin(y + x)
    b.output("y", y)
    session = compile(b.graph(), threads=1)
    assert session.memory({"x": np.ones((1000, 1000), np.float32)}) < 1e6
