"""The interpreter: order, control flow, and what it says when something is missing."""

from __future__ import annotations

import numpy as np
import pytest

from compress_tensor.dtype import DType
from compress_tensor.errors import InputError, ShapeError, UnsupportedError
from compress_tensor.graph.graph import Graph, Node, Value
from compress_tensor.graph.interpret import interpret

F32, I64, BOOL = DType.FLOAT32, DType.INT64, DType.BOOL


def _chain() -> Graph:
    return Graph(
        nodes=[Node("Add", ["x", "one"], ["a"]), Node("Mul", ["a", "a"], ["y"])],
        inputs=[Value("x", F32)],
        outputs=[Value("y")],
        constants={"one": np.ones((), np.float32)},
    )


def test_outputs_and_intermediates() -> None:
    """By default the graph's outputs come back, on demand any value."""
    x = np.array([1, 2], np.float32)

    assert interpret(_chain(), {"x": x})["y"].tolist() == [4, 9]
    found = interpret(_chain(), {"x": x}, ["a", "x"])
    assert found["a"].tolist() == [2, 3]
    assert found["x"] is x


def test_missing_and_wrong_inputs() -> None:
    """Inputs are checked by name and type."""
    with pytest.raises(InputError, match="'x' is missing"):
        interpret(_chain(), {})
    with pytest.raises(InputError, match="must have type float32, not int64"):
        interpret(_chain(), {"x": np.array([1])})
    with pytest.raises(InputError, match="nothing makes the value 'z'"):
        interpret(_chain(), {"x": np.ones(1, np.float32)}, ["z"])


def test_what_a_definition_refuses_names_the_node() -> None:
    """Whatever goes wrong in numpy is a ShapeError with the node's label."""
    graph = _chain()
    graph.nodes[0] = Node("MatMul", ["x", "one"], ["a"], name="product")

    with pytest.raises(ShapeError, match="product"):
        interpret(graph, {"x": np.ones(3, np.float32)})
    graph.nodes[0] = Node("Frobnicate", ["x"], ["a"])
    with pytest.raises(UnsupportedError, match="Frobnicate"):
        interpret(graph, {"x": np.ones(3, np.float32)})


def test_division_by_zero_is_no_warning() -> None:
    """IEEE values come out, in silence."""
    graph = Graph([Node("Reciprocal", ["x"], ["y"])], [Value("x", F32)], [Value("y")])

    assert interpret(graph, {"x": np.zeros(1, np.float32)})["y"].tolist() == [np.inf]


def test_if_reads_the_graph_around_it() -> None:
    """A branch may read outer names that nothing else reads afterwards."""
    branches = {
        name: Graph([Node(op, ["a"], [f"{name}_out"])], [], [Value(f"{name}_out")])
        for name, op in (("then_branch", "Neg"), ("else_branch", "Abs"))
    }
    graph = Graph(
        nodes=[Node("Neg", ["x"], ["a"]), Node("If", ["c"], ["y"], dict(branches))],
        inputs=[Value("x", F32), Value("c", BOOL)],
        outputs=[Value("y")],
    )
    x = np.array([1, -2], np.float32)

    assert interpret(graph, {"x": x, "c": np.array(True)})["y"].tolist() == [1, -2]
    assert interpret(graph, {"x": x, "c": np.array(False)})["y"].tolist() == [1, 2]


def test_loop_collects_and_stops() -> None:
    """A loop ends when its condition says so; collected values are stacked."""
    body = Graph(
        nodes=[
            Node("Add", ["h", "step"], ["h2"]),
            Node("Less", ["h2", "limit"], ["go"]),
        ],
        inputs=[Value("i", I64), Value("c", BOOL), Value("h", I64)],
        outputs=[Value("go"), Value("h2"), Value("i")],
    )
    graph = Graph(
        nodes=[Node("Loop", ["", "", "start"], ["last", "all"], {"body": body})],
        inputs=[Value("start", I64)],
        outputs=[Value("last"), Value("all")],
        constants={"step": np.array(3), "limit": np.array(10)},
    )
    found = interpret(graph, {"start": np.array(0)})

    assert found["last"] == 12
    assert found["all"].tolist() == [0, 1, 2, 3]


def test_scan_backwards() -> None:
    """A sequence may be read and written from its end."""
    body = Graph(
        nodes=[Node("Add", ["s", "v"], ["s2"]), Node("Identity", ["s2"], ["o"])],
        inputs=[Value("s", F32), Value("v", F32)],
        outputs=[Value("s2"), Value("o")],
    )
    attributes = {"body": body, "num_scan_inputs": 1, "scan_input_directions": [1]}
    graph = Graph(
        nodes=[Node("Scan", ["s0", "x"], ["last", "all"], attributes)],
        inputs=[Value("s0", F32), Value("x", F32)],
        outputs=[Value("last"), Value("all")],
    )
    feeds = {"s0": np.zeros((), np.float32), "x": np.array([1, 2, 3], np.float32)}
    found = interpret(graph, feeds)

    assert found["last"] == 6
    assert found["all"].tolist() == [3, 5, 6]
