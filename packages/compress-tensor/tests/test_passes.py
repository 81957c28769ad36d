"""Passes keep what a graph computes and the names of its outputs."""

from __future__ import annotations

import numpy as np
import pytest

from compress_tensor import Builder, DType, Graph, Node, Value, compile  # noqa: A004
from compress_tensor.graph.interpret import interpret
from compress_tensor.graph.passes import name_outputs, optimize, remove_identities


def _chances(seed: int) -> Graph:
    """Return a graph of additions and nodes that hand on, in which anything is an output."""
    rng = np.random.default_rng(seed)
    nodes, names = [], ["x", "k"]
    for n in range(int(rng.integers(1, 12))):
        op = rng.choice(["Identity", "Dropout", "Add"], p=[0.5, 0.2, 0.3])
        inputs = [str(rng.choice(names)) for _ in range(2 if op == "Add" else 1)]
        nodes.append(Node(op, inputs, [f"v{n}"]))
        names.append(f"v{n}")
    wanted = rng.choice(names[2:], size=min(3, len(nodes)), replace=False)
    return Graph(
        nodes=nodes,
        inputs=[Value("x", DType.FLOAT32, (4,))],
        outputs=[Value(str(name), DType.FLOAT32, (4,)) for name in wanted],
        constants={"k": np.arange(4, dtype=np.float32)},
    )


@pytest.mark.parametrize("seed", range(60))
def test_outputs_keep_names_and_values(seed: int) -> None:
    graph = _chances(seed)
    x = {"x": np.float32([1, -2, 3, 5])}
    expected = interpret(graph, x)
    short = name_outputs(remove_identities(graph))
    short.check()
    results = interpret(short, x), interpret(optimize(graph), x), compile(graph).run(x)

    for found in results:
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array)
    assert len({id(a) for a in results[2].values()}) == len(expected)
    left = [n for n in short.nodes if n.op != "Add"]
    assert len(left) <= len(graph.outputs)
    assert all(n.outputs[0] in expected for n in left)


def test_what_is_made_for_an_output_takes_its_name() -> None:
    """The producer writes to the caller's array; nothing is copied."""
    b = Builder("one")
    x = b.input("x", DType.FLOAT32, ("N", 8))
    b.output("y", x @ np.ones((8, 8), np.float32))
    session = compile(b.graph())
    records = [record for record, _ in session.profile({"x": np.ones((3, 8), np.float32)})]

    assert [record.kernel for record in records] == ["gemm_f32"]
