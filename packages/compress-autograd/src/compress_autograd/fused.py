"""Operators that `Trainable` runs as one where a graph spells them out: fewer passes over memory.

* GELU: five operators become Gelu, whose derivative is one kernel.
* A linear layer: MatMul and the Add of a bias become one product that adds it as it stores.
* Batch normalisation: the Relu, or the Add and Relu, behind it become part of it.
* Recurrent layers over embeddings: products once per word (see `embedded`).
* Attention: products, scale, mask and softmax become one kernel, which keeps no scores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import isfinite, prod

import numpy as np

from compress_tensor import DType, Graph, Node, Tensor
from compress_tensor.backend.reference.fused import DOMAIN
from compress_tensor.eager import run
from compress_tensor.engine.fuse import fuse
from compress_tensor.engine.fuse.attention import number_of, spelled_out
from compress_tensor.engine.fuse.gelu import gelu
from compress_tensor.engine.fuse.match import Bindings, Constant, Matcher
from compress_tensor.engine.specialize import without_dead
from compress_tensor.graph.graph import Array
from compress_tensor.graph.rules.registry import Info
from compress_tensor.graph.stored import unread

from .embedded import embedded, recurrent
from .nodes import Operator, Value, device
from .rules.attention import OPERATOR, attend
from .rules.recurrent_training import KINDS

_LINEAR = "Linear"
_NORM = "BatchNormalization"
NORMALISED = f"{DOMAIN}::{_NORM}"  #: operands as ONNX's, and a residual
#: operators that are replaced: where somebody defines one of them anew, nothing is fused
_REPLACED = {"MatMul", "Add", "Mul", "Div", "Pow", "Erf", "Tanh", "Softmax", "Gelu", "Gemm"}
_REPLACED |= {"BatchNormalization", "Relu", "Gather", *KINDS}


def fused_nodes(
    graph: Graph, trained: Collection[str], operators: Mapping[str, Operator]
) -> list[Node]:
    """Return the nodes of a graph, fused.

    Args:
        graph: what is trained.
        trained: names of its parameters.
        operators: that the user defines.
    """
    if not _REPLACED.isdisjoint(operators):
        return graph.nodes
    # Shapes are not known here: numbers without dimensions fit all of them.
    numbers = {
        name: array
        for name, array in unread(graph.constants).items()
        if isinstance(array, np.ndarray) and array.ndim == 0 and name not in trained
    }
    outputs = {value.name for value in graph.outputs}
    unknown = Info(DType.FLOAT32, None)
    nodes = fuse(graph.nodes, defaultdict(lambda: unknown), numbers, (gelu, _attention))
    matcher = Matcher(nodes, {}, {}, outputs)
    nodes = [_linear(matcher, node, graph.constants) or node for node in nodes]
    nodes = [_normalised(matcher, node) or node for node in nodes]
    nodes = [embedded(matcher, node) or node for node in nodes]
    return without_dead(nodes, outputs)


def _linear(matcher: Matcher, node: Node, constants: Mapping[str, Array]) -> Node | None:
    """Return the linear layer that an Add completes, or None."""
    found = matcher.first(("Add", ("MatMul", "x", "w"), "b"), node.outputs[0])
    if node.domain or found is None:
        return None
    product = next(name for name in node.inputs if name != found["b"])
    weight, bias = (constants.get(found[name]) for name in "wb")
    if (
        weight is None
        or bias is None
        or matcher.readers[product] != 1
        or product in matcher.outputs
    ):
        return None
    if weight.ndim != 2 or bias.shape != weight.shape[1:] or bias.dtype != weight.dtype:
        return None
    names = [found[name] for name in "xwb"]
    return Node(_LINEAR, names, node.outputs, {}, node.name, DOMAIN)


def _normalised(matcher: Matcher, node: Node) -> Node | None:
    """Return the batch normalisation that a Relu completes, or None."""
    if node.op != "Relu" or node.domain:
        return None
    add = matcher.sole(node.inputs[0], "Add")
    names = add.inputs if add else node.inputs
    for n, name in enumerate(names):
        norm = matcher.sole(name, _NORM)
        if norm is not None and len(norm.outputs) == 1:
            residual = [names[1 - n]] if add else []
            inputs = [*norm.inputs, *residual]
            return Node(_NORM, inputs, node.outputs, norm.attributes, norm.name, DOMAIN)
    return None


def has_relu(node: Node) -> bool:
    """Whether a node is a batch normalisation that ends with a Relu."""
    return node.op == _NORM and node.domain == DOMAIN


def followed(node: Node, y: Tensor, residuals: Sequence[Tensor]) -> Tensor:
    """Return what a normalised tensor becomes by the operators that were made part of it."""
    for residual in residuals:
        y = y + residual
    return run("Relu", (y,)) if has_relu(node) else y


def _attention(matcher: Matcher, node: Node) -> Node | None:
    """Return the attention that a product completes, or None; a factor of q scales the scores."""
    found = spelled_out(matcher, node, _is_scale)
    if found is None or found.attributes:
        return found
    scaled = matcher.first(("Mul", "q", Constant("factor")), found.inputs[0])
    if scaled is None or not _is_scale(matcher, scaled, "factor"):
        return found
    factor = number_of(matcher, scaled["factor"])
    return replace(found, inputs=[scaled["q"], *found.inputs[1:]], attributes={"factor": factor})


def _is_scale(matcher: Matcher, found: Bindings, scale: str) -> bool:
    number = number_of(matcher, found[scale]) if scale else 1.0
    return isfinite(number) and number != 0.0


def attention(node: Node, *given: Value) -> Tensor:
    """Return attention of q (..., m, d), k (..., d, n), v (..., n, e) and perhaps a mask."""
    operands = [device(value) for value in given]
    q, k, v = operands[:3]
    mask = operands[3] if len(operands) > 3 else None
    if _is_usual(q, k, v, mask):
        return run(OPERATOR, operands, tuple(node.attributes.items()))
    scale = {name: float(node.attributes.get(name, 0.0)) for name in ("divisor", "factor")}
    return attend(q, k, v, mask, **scale)


def _is_usual(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> bool:
    """Whether the kernels take it: batches that do not broadcast, and anything to look at."""
    if not (2 <= q.ndim <= 4 and q.ndim == k.ndim == v.ndim and k.shape[-1]):
        return False
    if mask is not None:
        scores = (*q.shape[:-1], k.shape[-1])
        if mask.ndim > q.ndim or np.broadcast_shapes(mask.shape, scores) != scores:
            return False
    return q.shape[:-2] == k.shape[:-2] == v.shape[:-2]


def linear(node: Node, *given: Value) -> Tensor:
    """Return x w + b for x (..., k), w (k, n), b (n,)."""
    x, w, b = (device(value) for value in given)
    before: Sequence[int] = x.shape[:-1]
    rows = x.reshape((prod(before), x.shape[-1]))
    return run("Gemm", (rows, w, b)).reshape((*before, w.shape[1]))


OPERATORS: Mapping[str, Operator] = {
    f"{DOMAIN}::{_LINEAR}": linear,
    OPERATOR: attention,
    **{f"{DOMAIN}::{kind}": recurrent for kind in KINDS},
}
