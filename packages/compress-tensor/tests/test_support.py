"""Missing operators: one error that names them all."""

from __future__ import annotations

import numpy as np
import pytest

import compress_tensor
from compress_tensor import DType, Graph, Node, UnsupportedError, Value
from compress_tensor.graph.support import missing_operators, require_operators


def graph_of(nodes: list[Node], constants: dict[str, np.ndarray] | None = None) -> Graph:
    return Graph(
        nodes=nodes,
        inputs=[Value("x", DType.FLOAT32, ("N", 3))],
        outputs=[Value("y")],
        constants=constants or {},
    )


def test_missing_operators_are_named_at_once() -> None:
    """One error names every operator that is missing, and where."""
    graph = graph_of(
        [
            Node("Foo", ["x"], ["a"], name="first"),
            Node("Relu", ["a"], ["b"]),
            Node("Foo", ["b"], ["c"], name="second"),
            Node("Bar", ["c"], ["y"]),
        ]
    )

    assert missing_operators(graph) == {
        "Foo": ["Foo 'first'", "Foo 'second'"],
        "Bar": ["Bar -> 'y'"],
    }
    for refuse in (require_operators, compress_tensor.compile):
        with pytest.raises(UnsupportedError, match=r"Foo \(Foo 'first', Foo 'second'\); Bar"):
            refuse(graph)


@pytest.mark.parametrize("known", [True, False])
def test_branches_that_constants_rule_out_may_hold_anything(known: bool) -> None:
    """An unknown operator counts only where it can be reached."""
    branches = {
        f"{name}_branch": Graph([Node(op, ["x"], ["o"])], [], [Value("o")], {})
        for name, op in (("then", "Relu"), ("else", "Foo"))
    }
    choice = Node("If", ["c"], ["y"], branches)
    graph = graph_of([choice], {"c": np.array(known)})
    x = np.array([[-1, 0, 2]], np.float32)

    if known:
        assert compress_tensor.compile(graph).run({"x": x})["y"].tolist() == [[0, 0, 2]]
    else:
        with pytest.raises(UnsupportedError, match="1 operator of this model is not"):
            compress_tensor.compile(graph)
