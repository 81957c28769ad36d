"""Which inputs of a node become codes, operator by operator."""

from __future__ import annotations

import numpy as np

from compress_tensor import Graph, Node

from .affine import dequantize
from .roles import COMBINES, LOOKUPS, MOVES, POOLS, TABLES, Kind, Site
from .weights import quantize_table

#: decibels that the codes of an embedding must keep
LEAST_TABLE = 30.0


def product(graph: Graph, node: Node) -> Site | str | None:
    """Return how a Conv, ConvTranspose, Gemm or MatMul is quantized, or why it is not."""
    if node.domain:
        return f"operators of domain {node.domain!r} are not quantized"
    found = {
        "Conv": _conv,
        "ConvTranspose": _conv_transpose,
        "Gemm": _gemm,
        "MatMul": _matmul,
    }[node.op](graph, node)
    if isinstance(found, str):
        return found
    if found.weight is not None:
        weight = graph.constants[node.inputs[found.weight]]
        if weight.dtype != np.float32:
            return f"its weights are {weight.dtype}, not float32"
        if not weight.size:
            return "its weights are empty"
    return found


def _conv(graph: Graph, node: Node) -> Site | str:
    if node.inputs[1] not in graph.constants:
        return "its weights are computed at run time"
    bias = _constant_bias(graph, node)
    if isinstance(bias, str):
        return bias
    return Site(node, Kind.PRODUCT, [0], 1, 0, bias)


def _conv_transpose(graph: Graph, node: Node) -> Site | str:
    found = _conv(graph, node)
    if isinstance(found, Site):
        # With groups an index of axis 1 stands for one channel of every group.
        found.axis = 1
    return found


def _gemm(graph: Graph, node: Node) -> Site | str:
    a = node.attributes
    if node.inputs[1] not in graph.constants:
        return "its weights are computed at run time"
    if a.get("transA", 0) or float(a.get("alpha", 1.0)) != 1.0:
        return "alpha or transA of its Gemm have no integer form"
    bias = _constant_bias(graph, node)
    if isinstance(bias, str):
        return bias
    if bias is not None:
        width = graph.constants[node.inputs[1]].shape[0 if a.get("transB", 0) else 1]
        shape = graph.constants[node.inputs[2]].shape
        if float(a.get("beta", 1.0)) != 1.0 or shape != (width,):
            return "its bias is not one number per column"
    return Site(node, Kind.PRODUCT, [0], 1, 0 if a.get("transB", 0) else 1, bias)


def _matmul(graph: Graph, node: Node) -> Site | str:
    left, right = (name in graph.constants for name in node.inputs)
    if left and right:
        return "both its inputs are constant"
    if right:
        rank = graph.constants[node.inputs[1]].ndim
        return Site(node, Kind.PRODUCT, [0], 1, 1 if rank == 2 else None)
    if left:
        return Site(node, Kind.PRODUCT, [1], 0, None)
    return Site(node, Kind.PRODUCT, [0, 1])


def _constant_bias(graph: Graph, node: Node) -> tuple[Node, int] | str | None:
    if len(node.inputs) < 3 or not node.inputs[2]:
        return None
    bias = graph.constants.get(node.inputs[2])
    if bias is None or bias.dtype != np.float32:
        return "its bias is not a float32 constant"
    return node, 2


def follower(graph: Graph, node: Node) -> Site | None:
    """Return how a node is quantized that computes nothing but moves, adds, pools or maps."""
    if node.domain:
        return None
    constant = [not name or name in graph.constants for name in node.inputs]
    if node.op in MOVES and _moves(graph, node):
        read = list(range(len(node.inputs))) if node.op == "Concat" else [0]
        if any(constant[i] for i in read):
            return None
        if node.op != "Concat" and not all(constant[1:]):
            return None
        return Site(node, Kind.MOVE, read)
    if node.op in COMBINES:
        if not any(constant):
            return Site(node, Kind.COMBINE, [0, 1])
        return None
    if node.op in POOLS and not constant[0] and all(constant[1:]):
        return Site(node, Kind.POOL, [0])
    if node.op in TABLES and not constant[0] and all(constant[1:]):
        return Site(node, Kind.TABLE, [0])
    return None


def lookup(graph: Graph, node: Node) -> Site | str | None:
    """Return how a Gather of rows of a constant (an embedding) is quantized, or why it is not.

    The constant becomes codes with one scale, so that rows are moved as codes and turned into
    floats behind: four times less to store and to read.
    """
    table = graph.constants.get(node.inputs[0]) if node.op in LOOKUPS and not node.domain else None
    if table is None or table.dtype != np.float32 or table.ndim != 2:
        return None
    if node.inputs[1] in graph.constants or node.attributes.get("axis", 0) != 0 or not table.size:
        return None
    site = Site(node, Kind.LOOKUP, [], 0, None)
    made = quantize_table(table)
    noise = np.square(table - dequantize(made.codes, made.params), dtype=np.float64).sum()
    power = np.square(table, dtype=np.float64).sum()
    if power < noise * 10.0 ** (LEAST_TABLE / 10.0):
        reached = 10.0 * np.log10(power / noise) if power else 0.0
        return (
            f"one scale leaves its table {reached:.1f} dB of signal to noise, less than "
            f"{LEAST_TABLE:.0f}"
        )
    return site


def _moves(graph: Graph, node: Node) -> bool:
    """Whether a node of MOVES, as it is used here, makes no values that it did not read."""
    a = node.attributes
    if node.op == "Resize":
        return _text(a.get("mode", "nearest")) == "nearest"
    if node.op == "MaxPool":
        return len(node.outputs) == 1 or not node.outputs[1]
    if node.op == "Pad":
        if _text(a.get("mode", "constant")) != "constant":
            return True
        fill = graph.constants.get(node.inputs[2]) if len(node.inputs) > 2 else None
        return len(node.inputs) < 3 or not node.inputs[2] or (fill is not None and not fill.any())
    return True


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
