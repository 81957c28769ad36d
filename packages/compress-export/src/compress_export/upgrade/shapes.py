"""Upgrade rules for operators that move data: attributes that became inputs, mostly."""

from __future__ import annotations

import numpy as np

from compress_tensor.errors import UnsupportedError
from compress_tensor.graph.graph import Node

from .registry import ALWAYS, Scope, move_to_inputs, upgrade

REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
)


@upgrade("Squeeze", "Unsqueeze", "ReduceSum", below=13)
@upgrade(*REDUCTIONS, below=18)
def axes_become_an_input(node: Node, scope: Scope) -> None:
    """Move ``axes`` to input 1; no axes still means all of them."""
    move_to_inputs(node, scope, {"axes": 1})


@upgrade("Reshape", below=5)
def reshape_takes_an_input(node: Node, scope: Scope) -> None:
    """Move ``shape`` to input 1; an absent or empty one asks for a scalar."""
    shape = node.attributes.pop("shape", None) or []
    if len(node.inputs) < 2:
        node.inputs.append(scope.constant(f"{node.outputs[0]}_shape", shape))


@upgrade("Concat", below=4)
def concat_names_its_axis(node: Node, scope: Scope) -> None:
    """State the axis, which was 1 when absent."""
    node.attributes.setdefault("axis", 1)


@upgrade("Slice", below=10)
def slice_takes_inputs(node: Node, scope: Scope) -> None:
    """Move ``starts``, ``ends`` and ``axes`` to inputs 1 to 3."""
    for name in ("starts", "ends"):
        if len(node.inputs) < 3 and not node.attributes.get(name):
            raise UnsupportedError(f"{node.label} lacks the attribute {name!r} of Slice")
    move_to_inputs(node, scope, {"starts": 1, "ends": 2, "axes": 3})


@upgrade("Split", below=13)
def split_takes_an_input(node: Node, scope: Scope) -> None:
    """Move the lengths to input 1."""
    move_to_inputs(node, scope, {"split": 1})


@upgrade("Split", below=18)
def split_counts_its_outputs(node: Node, scope: Scope) -> None:
    """State ``num_outputs`` where no lengths are given."""
    if len(node.inputs) < 2 or not node.inputs[1]:
        node.attributes["num_outputs"] = len(node.outputs)


@upgrade("Pad", below=2)
def paddings_are_pads(node: Node, scope: Scope) -> None:
    """Rename the attribute."""
    if "paddings" in node.attributes:
        node.attributes["pads"] = node.attributes.pop("paddings")


@upgrade("Pad", below=11)
def pad_takes_inputs(node: Node, scope: Scope) -> list[Node]:
    """Move ``pads`` and ``value`` to inputs 1 and 2, the value in the data's own type."""
    move_to_inputs(node, scope, {"pads": 1})
    value = node.attributes.pop("value", 0.0)
    if not value:
        return [node]
    name, made = scope.like(f"{node.outputs[0]}_value", value, node.inputs[0])
    node.inputs.append(name)
    return [*made, node]


@upgrade("Tile", below=6)
def tile_repeats_every_axis(node: Node, scope: Scope) -> list[Node]:
    """Rewrite (tiles, axis) as one repeat count per axis: a one-hot row with 1 elsewhere."""
    if len(node.inputs) != 3:
        return [node]
    data, tiles, axis = node.inputs
    hint = node.outputs[0]
    one = scope.constant(f"{hint}_one", [1])
    shape = scope.apply("Shape", data, hint=f"{hint}_shape")
    rank = scope.apply("Size", shape.outputs[0], hint=f"{hint}_rank")
    count = scope.apply("Cast", tiles, hint=f"{hint}_count", to=7)
    count_1d = scope.apply("Reshape", count.outputs[0], one, hint=f"{hint}_count")
    where = scope.apply("Cast", axis, hint=f"{hint}_axis", to=7)
    flat = scope.constant(f"{hint}_flat", [-1])
    where_1d = scope.apply("Reshape", where.outputs[0], flat, hint=f"{hint}_axis")
    pair = scope.apply("Concat", one, count_1d.outputs[0], hint=f"{hint}_pair", axis=0)
    row = scope.apply(
        "OneHot", where_1d.outputs[0], rank.outputs[0], pair.outputs[0], hint=f"{hint}_row"
    )
    repeats = scope.apply("Reshape", row.outputs[0], flat, hint=f"{hint}_repeats")
    node.inputs = [data, repeats.outputs[0]]
    return [shape, rank, count, count_1d, where, where_1d, pair, row, repeats, node]


@upgrade("TopK", below=10)
def topk_takes_an_input(node: Node, scope: Scope) -> None:
    """Move ``k`` to input 1, where it is a vector of one element."""
    if "k" in node.attributes:
        node.attributes["k"] = [node.attributes["k"]]
    move_to_inputs(node, scope, {"k": 1})


@upgrade("Scatter", below=ALWAYS)
def scatter_is_scatter_elements(node: Node, scope: Scope) -> None:
    """Rename the operator."""
    node.op = "ScatterElements"


@upgrade("DFT", below=20)
def dft_takes_its_axis(node: Node, scope: Scope) -> None:
    """Move ``axis`` to input 2; its default was 1."""
    node.attributes.setdefault("axis", 1)
    move_to_inputs(node, scope, {"axis": 2})


@upgrade("Scan", below=9)
def scan_with_a_batch(node: Node, scope: Scope) -> None:
    """Refuse: Scan had a batch dimension of its own."""
    raise UnsupportedError(
        f"{node.label} is the Scan of opset 8, which had a batch dimension; "
        "convert the model to opset 9 or later"
    )


@upgrade("Cast", below=6)
def cast_names_its_type(node: Node, scope: Scope) -> None:
    """Turn the type's name into its number."""
    from compress_tensor.dtype import DType

    name = node.attributes.get("to")
    if isinstance(name, str):
        spelled = {"FLOAT": "FLOAT32", "DOUBLE": "FLOAT64"}.get(name.upper(), name.upper())
        if spelled not in DType.__members__:
            raise UnsupportedError(f"{node.label} casts to {name!r}, which is no element type")
        node.attributes["to"] = int(DType[spelled])


@upgrade("Clip", below=11)
def clip_takes_inputs(node: Node, scope: Scope) -> list[Node]:
    """Move ``min`` and ``max`` to inputs 1 and 2, in the data's own type."""
    made: list[Node] = []
    names: list[str] = []
    widest = float(np.finfo(np.float32).max)
    for name in ("min", "max"):
        value = node.attributes.pop(name, None)
        if value is None or abs(value) >= widest:  # the old defaults: no bound
            names.append("")
            continue
        bound, nodes = scope.like(f"{node.outputs[0]}_{name}", value, node.inputs[0])
        names.append(bound)
        made += nodes
    node.inputs = [node.inputs[0], *names]
    while not node.inputs[-1]:
        node.inputs.pop()
    return [*made, node]
