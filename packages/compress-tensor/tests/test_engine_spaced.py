"""Values in rows that collide in the cache are spaced out, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

import compress_tensor
from compress_tensor import DType, Graph, Node, Value
from compress_tensor.engine import plan as planning
from compress_tensor.engine.steps import Record


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Return weights that keep values about as large as they are."""
    return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


def network(rng: np.random.Generator, between: list[Node], last: str, output: str) -> Graph:
    """Return x [.., 64] -> a [.., 1024] -> the nodes between -> [.., 64]."""
    constants = {"u": floats(rng, 64, 1024), "v": floats(rng, 1024, 64), "b": floats(rng, 1024)}
    constants |= {"w": floats(rng, 1024, 1024)}
    nodes = [
        Node("MatMul", ["x", "u"], ["a0"]),
        Node("Add", ["a0", "b"], ["a"]),
        *between,
        Node("MatMul", [last, "v"], ["y"]),
    ]
    outputs = [Value("y"), Value(output)] if output else [Value("y")]
    return Graph(nodes, [Value("x", DType.FLOAT32)], outputs, constants)


def row_steps(session: compress_tensor.Session, x: np.ndarray) -> list[int]:
    """Return how far the rows are apart that products of k 1024 read, in floats."""
    stage = session._stage(session._outputs)
    plan, _ = stage.plan({"x": x})
    records = [record for record, _ in plan.profile({"x": x}, None)]
    assert all(isinstance(record, Record) for record in records)
    lefts = [r.operands[0] for r in records if r.kernel == "gemm_f32"]
    return [a.strides[1] for a in lefts if a is not None and a.shape[-1] == 1024]


RELU = Node("Relu", ["a"], ["r"])
GELU = Node("Gelu", ["a"], ["r"])
WIDE = Node("MatMul", ["r", "w"], ["s0"])


@pytest.mark.parametrize(
    ("between", "last", "output", "steps"),
    [
        ([], "a", "", [1040]),
        ([RELU], "r", "", [1040]),
        ([GELU], "r", "", [1040]),
        ([RELU, WIDE, Node("Add", ["s0", "r"], ["s"])], "s", "", [1040, 1040]),
        ([RELU, WIDE, Node("Softmax", ["s0"], ["s"])], "s", "", [1040, 1024]),
        ([RELU], "r", "r", [1024]),
        ([RELU, Node("ReduceSum", ["r"], ["s"])], "r", "s", [1024]),
    ],
    ids=["plain", "relu", "gelu", "residual", "softmax", "output", "shared"],
)
@pytest.mark.parametrize("shape", [(1, 40, 64), (3, 17, 64)])
def test_products_alone_see_the_space(
    between: list[Node],
    last: str,
    output: str,
    steps: list[int],
    shape: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same bytes as without, for 1 and 3 threads; what others read stays dense."""
    rng = np.random.default_rng(len(between))
    graph = network(rng, between, last, output)
    x = rng.standard_normal(shape).astype(np.float32)
    found = [compress_tensor.compile(graph, threads=n).run({"x": x}) for n in (1, 3)]
    apart = row_steps(compress_tensor.compile(graph, threads=1), x)
    monkeypatch.setattr(planning, "spaced", lambda steps, results: list(steps))
    session = compress_tensor.compile(graph, threads=1)
    expected = session.run({"x": x})

    assert apart == steps
    assert set(row_steps(session, x)) == {1024}
    for outputs in found:
        assert all(outputs[n].tobytes() == expected[n].tobytes() for n in expected)
        assert all(outputs[n].flags.c_contiguous for n in expected)
