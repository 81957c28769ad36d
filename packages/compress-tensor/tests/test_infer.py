"""Inference: folding, control flow, symbols, and graphs that ask for the impossible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compress_tensor.backend.reference.registry import REFERENCES
from compress_tensor.dtype import DType
from compress_tensor.errors import InputError, ShapeError, UnsupportedError
from compress_tensor.graph.graph import Graph, Node, Value
from compress_tensor.graph.infer import infer, infer_node, info_of
from compress_tensor.graph.rules.registry import RULES, Info, NeedsValue

F32, I64, BOOL = DType.FLOAT32, DType.INT64, DType.BOOL
HUGE = 1 << 62


def _info(*shape: int, dtype: DType = F32) -> Info:
    return Info(dtype, shape, None, "x")


def _known(value: Any) -> Info:
    return info_of(np.asarray(value), "k")


def _one(op: str, *infos: Info | None, n_outputs: int = 1, **attributes: Any) -> list[Info]:
    outputs = [f"o{i}" for i in range(n_outputs)]
    return infer_node(
        Node(op, ["x"] * len(infos), outputs, attributes, name="here"), infos, n_outputs
    )


def test_every_definition_has_a_rule_and_the_reverse() -> None:
    """The two tables list the same operators."""
    assert set(REFERENCES) == set(RULES)


def test_shape_arithmetic_folds() -> None:
    """A Reshape to a shape computed from a Shape needs nothing but the input's shape."""
    graph = Graph(
        nodes=[
            Node("Shape", ["x"], ["s"]),
            Node("Gather", ["s", "zero"], ["n"]),
            Node("Unsqueeze", ["n", "axes"], ["n1"]),
            Node("Concat", ["n1", "minus"], ["t"], {"axis": 0}),
            Node("Reshape", ["x", "t"], ["y"]),
        ],
        inputs=[Value("x", F32, ("n", 3, 4))],
        outputs=[Value("y")],
        constants={"zero": np.array(0), "axes": np.array([0]), "minus": np.array([-1])},
    )
    found = infer(graph, symbols={"n": 5})

    assert found["y"].shape == (5, 12)
    assert found["t"].value is not None
    assert found["t"].value.tolist() == [5, -1]
    assert infer(graph, {"x": (2, 3, 4)})["y"].shape == (2, 12)


def test_size_is_known() -> None:
    """Size follows from the shape alone."""
    (found,) = _one("Size", _info(2, 3))

    assert found.value == 6


def test_unknown_shape_is_asked_for() -> None:
    """A target that is not known is named."""
    with pytest.raises(NeedsValue) as caught:
        _one("Reshape", _info(2, 3), Info(I64, (2,), None, "target"))

    assert caught.value.name == "target"


def test_data_dependent_outputs_are_open() -> None:
    """NonZero of unknown data has no shape; of known data it has."""
    assert _one("NonZero", _info(2, 3))[0].shape is None
    assert _one("NonZero", _known([1, 0, 2]))[0].shape == (1, 2)


def _branch(name: str, op: str) -> Graph:
    return Graph(nodes=[Node(op, ["x"], [name])], outputs=[Value(name)])


def test_if_infers_the_branch_that_is_taken() -> None:
    """A known condition chooses; an unknown one is asked for."""
    node = Node(
        "If",
        ["c"],
        ["y"],
        {"then_branch": _branch("a", "Shape"), "else_branch": _branch("b", "Neg")},
    )
    scope = {"x": _info(2, 3)}

    assert infer_node(node, [_known(True)], 1, scope)[0].dtype is I64
    assert infer_node(node, [_known(False)], 1, scope)[0].shape == (2, 3)
    with pytest.raises(NeedsValue) as caught:
        infer_node(node, [Info(BOOL, (), None, "c")], 1, scope)
    assert caught.value.name == "c"


def _loop(*nodes: Node, carried: str, scan: str) -> Node:
    body = Graph(
        nodes=[Node("Identity", ["going"], ["still"]), *nodes],
        inputs=[Value("i", I64), Value("going", BOOL), Value("h", F32)],
        outputs=[Value("still"), Value(carried), Value(scan)],
    )
    return Node("Loop", ["m", "c", "h0"], ["last", "all"], {"body": body})


def test_loop_of_known_length() -> None:
    """Carried values keep their shape; collected ones get the trip count in front."""
    node = _loop(Node("Relu", ["h"], ["h2"]), carried="h2", scan="h2")
    last, collected = infer_node(node, [_known(5), _known(True), _info(2, 3)], 2, {})

    assert last.shape == (2, 3)
    assert collected.shape == (5, 2, 3)
    open_count = infer_node(node, [Info(I64, ()), _known(True), _info(2, 3)], 2, {})
    assert open_count[1].shape is None


def test_loop_that_grows_is_open() -> None:
    """A carried value whose shape changes from step to step has none."""
    node = _loop(Node("Concat", ["h", "h"], ["h2"], {"axis": 0}), carried="h2", scan="i")
    last, collected = infer_node(node, [_known(5), _known(True), _info(2)], 2, {})

    assert last.shape is None
    assert collected.shape in (None, (5,))


def test_symbols_must_agree() -> None:
    """One symbol has one size."""
    graph = Graph(
        nodes=[Node("Add", ["a", "b"], ["y"])],
        inputs=[Value("a", F32, ("n",)), Value("b", F32, ("n",))],
        outputs=[Value("y")],
    )

    assert infer(graph, {"a": (4,)})["y"].shape == (4,)
    with pytest.raises(InputError, match="'n' is 4, not 5"):
        infer(graph, {"a": (4,), "b": (5,)})
    with pytest.raises(InputError, match="must be given"):
        infer(graph)


def test_scalar_inputs_have_shapes() -> None:
    """An empty shape is a shape."""
    graph = Graph([Node("Neg", ["a"], ["y"])], [Value("a", F32)], [Value("y")])

    assert infer(graph, {"a": ()})["y"].shape == ()


@pytest.mark.parametrize(
    ("op", "infos", "attributes"),
    [
        ("Expand", [_info(1), _known([HUGE])], {}),
        ("Tile", [_info(3), _known([HUGE])], {}),
        ("ConstantOfShape", [_known([HUGE, 2])], {}),
        ("ConstantOfShape", [_known([0, HUGE])], {}),
        ("Range", [_known(0), _known(HUGE), _known(1)], {}),
        ("Range", [_known(0.0), _known(np.inf), _known(1.0)], {}),
        ("Pad", [_info(3), _known([HUGE, 0])], {}),
        ("Pad", [_info(3), _known([1 << 38, -(1 << 38)])], {}),
        ("Resize", [_info(1, 1, 2, 2), None, _known([1, 1, 1e30, 1])], {}),
        ("Resize", [_info(1, 1, 2, 2), None, None, _known([1, 1, HUGE, 1])], {}),
        ("OneHot", [_info(3, dtype=I64), _known(HUGE), _known([0, 1])], {}),
        ("EyeLike", [_info(HUGE, 2)], {}),
        ("HannWindow", [_known(HUGE)], {}),
        ("CenterCropPad", [_info(3), _known([HUGE])], {}),
        ("RandomNormal", [], {"shape": [HUGE]}),
        ("AffineGrid", [_info(1, 2, 3), _known([1, 1, HUGE, 2])], {}),
        ("MaxPool", [_info(1, 1, 4)], {"kernel_shape": [1], "pads": [HUGE, 0]}),
        ("ConvTranspose", [_info(1, 1, 4), _info(1, 1, 4)], {"strides": [HUGE]}),
        ("MelWeightMatrix", [_known(n) for n in (HUGE, 8, 8, 1, 4)], {}),
        ("DFT", [_info(1, 8, 1), _known(HUGE)], {}),
        ("Col2Im", [_info(1, 4, 4), _known([HUGE, 1]), _known([2, 2])], {}),
        ("DepthToSpace", [_info(1, 4, 2, 2)], {"blocksize": 1 << 40}),
        ("Unsqueeze", [_info(1), _known(list(range(100)))], {}),
    ],
)
def test_hostile_sizes_are_refused(op: str, infos: list[Any], attributes: Any) -> None:
    """Nothing is allocated by a size that a file names before it is checked."""
    with pytest.raises(ShapeError, match="here"):
        _one(op, *infos, **attributes)


def test_hostile_work_is_not_folded() -> None:
    """A window far larger than the data is never computed while inferring."""
    (found,) = _one(
        "MaxPool",
        _known(np.zeros((1, 1, 2), np.float32)),
        kernel_shape=[1 << 30],
        pads=[1 << 30, 0],
    )

    assert found.value is None


@pytest.mark.parametrize(
    ("op", "infos", "attributes"),
    [
        ("Add", [_info(2), _info(3)], {}),
        ("Add", [_info(2), _info(2, dtype=I64)], {}),
        ("Add", [_info(2)], {}),
        ("Relu", [_info(2), _info(2)], {}),
        ("Relu", [_info(2)], {"alpha": 1.0}),
        ("Concat", [None, _info(2)], {"axis": 0}),
        ("Concat", [_info(2)], {}),
        ("Transpose", [_info(2, 3)], {"perm": [0, 0]}),
        ("Transpose", [_info(2, 3)], {"perm": "ab"}),
        ("Conv", [_info(1, 3, 4, 4), _info(2, 2, 3, 3)], {}),
        ("Conv", [_info(1, 3, 4, 4), _info(2, 3, 9, 9)], {}),
        ("Conv", [_info(1, 3, 4, 4), _info(2, 3, 3, 3)], {"strides": [0, 1]}),
        ("MatMul", [_info(2, 3), _info(4, 5)], {}),
        ("Gather", [_info(3), _known([5])], {"axis": 1}),
        ("Gather", [_known([1.0, 2.0]), _known([5])], {}),
        ("Split", [_info(3), _known([1, 1])], {}),
        ("Squeeze", [_info(2, 1), _known([0])], {}),
        ("Cast", [_info(2)], {"to": 99}),
        ("TopK", [_info(2), _known([3])], {}),
        ("Softmax", [_info(2)], {"axis": 3}),
        ("LSTM", [_info(5, 1, 3), _info(1, 8, 3), _info(1, 8, 3)], {}),
        ("If", [_known(True)], {}),
        ("Reshape", [_info(2, 3), _known([4, -1])], {}),
    ],
)
def test_what_does_not_fit_is_refused(op: str, infos: list[Any], attributes: Any) -> None:
    """Wrong types, shapes, arities and attributes name the node."""
    with pytest.raises(ShapeError, match="here"):
        _one(op, *infos, **attributes)


def test_unknown_operator() -> None:
    """An operator without a definition is not supported."""
    with pytest.raises(UnsupportedError, match="operator Frobnicate is not supported"):
        _one("Frobnicate", _info(1))


def test_too_many_outputs() -> None:
    """An operator does not make more outputs than it has."""
    with pytest.raises(ShapeError, match="2 outputs"):
        _one("Relu", _info(1), n_outputs=2)
