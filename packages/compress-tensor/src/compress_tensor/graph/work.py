"""How much a node computes, and how much memory a value takes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from .graph import Node
from .rules.registry import Info

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
# Where the weight is among the inputs of a convolution or matrix product.
_CONV = {"Conv": 1, "ConvInteger": 1, "QLinearConv": 3, "DeformConv": 1}
_MATMUL = {"MatMul": 0, "MatMulInteger": 0, "QLinearMatMul": 0}


def bytes_of(info: Info | None) -> int:
    """Return the bytes of a value; 0 where its shape is not known."""
    if info is None or info.shape is None:
        return 0
    return prod(info.shape) * info.dtype.numpy.itemsize


def macs_of(node: Node, infos: Sequence[Info | None], outputs: Sequence[Info]) -> int:
    """Return the multiply-accumulates of one node; elementwise work does not count."""
    shapes = [info.shape if info is not None else None for info in infos]
    out = outputs[0].shape if outputs else None
    if node.domain or out is None:
        return 0
    weight = shapes[_CONV[node.op]] if len(shapes) > _CONV.get(node.op, 99) else None
    if weight is not None:
        return prod(out) * prod(weight[1:])
    if node.op == "ConvTranspose" and shapes[0] is not None and shapes[1] is not None:
        return prod(shapes[0]) * prod(shapes[1][1:])
    if node.op in _MATMUL and shapes[0]:
        return prod(out) * shapes[0][-1]
    if node.op == "Gemm" and shapes[0] is not None and len(shapes[0]) == 2:
        return prod(out) * shapes[0][0 if node.attributes.get("transA") else 1]
    if node.op in _GATES and shapes[0] is not None and shapes[2] is not None:
        steps = prod(shapes[0][:2])  # sequence length times batch, in either layout
        directions, rows, hidden = shapes[2]
        return steps * directions * rows * (shapes[0][2] + hidden)
    return 0
