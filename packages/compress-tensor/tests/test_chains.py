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


@pytest.mark.parametrize("seed", range(80))
def test_the_bytes_of_the_operators_one_by_one(seed: int) -> None:
    """A session that returns every value has nothing to chain."""
    graph, feeds = _chances(seed)
    session = compile(graph, threads=1 + seed % 3)
    every = [name for node in graph.nodes for name in node.outputs]
    plain = compile(graph, threads=1, outputs=every).run(feeds)
    with np.errstate(all="ignore"):
        found = session.run(feeds)
    for name, array in found.items():
        assert array.tobytes() == plain[name].tobytes()


def test_chains_are_found() -> None:
    """At most eight operators and four inputs; values that others read stay."""

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
    assert kernels(wanted) == ["unary_f32", "unary_f32"]
    assert kernels(parts) == ["unary_f32", "unary_f32"]
    assert "chain_f32" not in kernels(compared)
    assert len(kernels(turned)) >= 2


@pytest.mark.skipif("COMPRESS_ISA" in os.environ, reason="one instruction set is enough")
def test_a_chain_needs_no_memory_between() -> None:
    b = Builder("chain")
    y = x = b.input("x", DType.FLOAT32, ("N", 1000))
    for _ in range(4):
        y = b.sin(y + x)
    b.output("y", y)
    session = compile(b.graph(), threads=1)
    assert session.memory({"x": np.ones((1000, 1000), np.float32)}) < 1e6
