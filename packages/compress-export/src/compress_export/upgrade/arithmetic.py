"""Upgrade rules for elementwise operators: broadcasting along an axis, Softmax that flattens."""

from __future__ import annotations

from compress_tensor.graph.graph import Node

from .registry import Scope, upgrade

BINARY = ("Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")


def align(node: Node, axis: int, scope: Scope) -> list[Node]:
    """Give input 1 the trailing dimensions that put its first one on ``axis`` of input 0.

    Its shape becomes its own followed by ``rank(a) - axis - rank(b)`` ones, computed in the
    graph, since ranks need not be known here.
    """
    a, b = node.inputs[:2]
    hint = node.outputs[0]
    shape_a = scope.apply("Shape", a, hint=f"{hint}_a_shape")
    shape_b = scope.apply("Shape", b, hint=f"{hint}_b_shape")
    rank_a = scope.apply("Shape", shape_a.outputs[0], hint=f"{hint}_a_rank")
    rank_b = scope.apply("Shape", shape_b.outputs[0], hint=f"{hint}_b_rank")
    used = rank_b.outputs[0]
    made = [shape_a, shape_b, rank_a, rank_b]
    if axis >= 0:
        start = scope.constant(f"{hint}_axis", [axis])
        made.append(scope.apply("Add", used, start, hint=f"{hint}_used"))
        made.append(scope.apply("Sub", rank_a.outputs[0], made[-1].outputs[0], hint=f"{hint}_n"))
    else:  # counted from the end, -axis dimensions are left from there on
        left = scope.constant(f"{hint}_axis", [-axis])
        made.append(scope.apply("Sub", left, used, hint=f"{hint}_n"))
    none = scope.constant(f"{hint}_none", [0])
    made.append(scope.apply("Max", made[-1].outputs[0], none, hint=f"{hint}_n"))
    one = scope.constant(f"{hint}_one", [1])
    ones = scope.apply("Expand", one, made[-1].outputs[0], hint=f"{hint}_ones")
    shape = scope.apply("Concat", shape_b.outputs[0], ones.outputs[0], hint=f"{hint}_b", axis=0)
    view = scope.apply("Reshape", b, shape.outputs[0], hint=f"{hint}_b")
    node.inputs[1] = view.outputs[0]
    return [*made, ones, shape, view, node]


@upgrade(*BINARY, below=7)
def broadcasting_is_numpys(node: Node, scope: Scope) -> list[Node]:
    """Drop ``broadcast``; say ``axis`` with a reshape of the second operand."""
    broadcast = node.attributes.pop("broadcast", 0)
    axis = node.attributes.pop("axis", None)
    if not broadcast or axis is None or len(node.inputs) < 2:
        return [node]
    return align(node, axis, scope)


@upgrade("PRelu", below=7)
def slopes_lie_on_channels(node: Node, scope: Scope) -> list[Node]:
    """Put a slope with several elements on dimension 1."""
    if len(node.inputs) < 2:
        return [node]
    slope = scope.array(node.inputs[1])
    if slope is not None and slope.size == 1:
        return [node]
    return align(node, 1, scope)


@upgrade("Gemm", below=7)
def gemm_broadcasts(node: Node, scope: Scope) -> None:
    """Drop ``broadcast``: C always broadcasts now."""
    node.attributes.pop("broadcast", None)


@upgrade("Softmax", "LogSoftmax", "Hardmax", below=13)
def softmax_of_a_matrix(node: Node, scope: Scope) -> list[Node]:
    """Say with Flatten and Reshape that all dimensions from ``axis`` on count as one."""
    axis = node.attributes.get("axis", 1)
    data, hint = node.inputs[0], node.outputs[0]
    node.attributes["axis"] = -1
    known = scope.graph.values.get(data)
    rank = None if known is None or known.shape is None else len(known.shape)
    if axis == -1 or (rank is not None and axis == rank - 1):
        return [node]
    shape = scope.apply("Shape", data, hint=f"{hint}_shape")
    matrix = scope.apply("Flatten", data, hint=f"{hint}_matrix", axis=axis)
    result = scope.names.fresh(f"{hint}_flat")
    node.inputs, node.outputs = [matrix.outputs[0]], [result]
    back = Node("Reshape", [result, shape.outputs[0]], [hint], {"allowzero": 1})
    return [shape, matrix, node, back]


@upgrade("Selu", below=6)
def selu_had_other_defaults(node: Node, scope: Scope) -> None:
    """State the coefficients, which had fewer digits."""
    node.attributes.setdefault("alpha", 1.6732)
    node.attributes.setdefault("gamma", 1.0507)
