"""Recurrent layers over embeddings: what W x is, once per word instead of once per place.

With x = Gather(table, ids) the products W x are Gather(table W^T, ids).  Where a batch has more
places than the table has words, that is fewer products forward, and in both of their gradients.
"""

from __future__ import annotations

from math import prod
from typing import Any

import compress_tensor as ct
from compress_tensor import Node, Tensor
from compress_tensor.backend.reference.fused import DOMAIN
from compress_tensor.eager import run, run_many
from compress_tensor.engine.fuse.match import Matcher
from compress_tensor.promotion import FLOATS

from . import tape
from .nodes import Value, count_outputs, device, pairs_of
from .rules.recurrent_training import KINDS

_WORTH = 2  #: places per word of the table from which on it is done


def embedded(matcher: Matcher, node: Node) -> Node | None:
    """Return a recurrent layer with the embedding before it as one node, or None.

    Operands: as ONNX's with the ids in place of X, then the table; ``transposed`` says that the
    ids are (batch, time).
    """
    if node.op not in KINDS or node.domain or node.attributes.get("layout"):
        return None
    x, transposed = node.inputs[0], 0
    turned = matcher.sole(x, "Transpose")
    if turned is not None and turned.attributes.get("perm") == [1, 0, 2]:
        x, transposed = turned.inputs[0], 1
    gather = matcher.sole(x, "Gather")
    if gather is None or gather.attributes.get("axis", 0):
        return None
    table, ids = gather.inputs
    attributes = {**node.attributes, "transposed": transposed}
    return Node(
        node.op, [ids, *node.inputs[1:], table], node.outputs, attributes, node.name, DOMAIN
    )


def recurrent(node: Node, *given: Value) -> tuple[Tensor, ...]:
    """Return what the recurrent layer over embedded ids returns."""
    pairs = pairs_of({k: v for k, v in node.attributes.items() if k != "transposed"})
    ids = device(given[0])
    w, *rest, table = (None if v is None else device(v) for v in given[1:])
    ids = ids.swapaxes(0, 1) if node.attributes["transposed"] else ids
    count = count_outputs(node)
    found = _projected(node.op, table, w, rest, ids, pairs, count)
    if found is None:
        x = run("Gather", (table, ids), (("axis", 0),))
        found = run_many(node.op, [x, w, *rest], pairs, count)
    return tuple(found)


def _projected(
    op: str, table: Any, w: Any, rest: list[Any], ids: Tensor, pairs: Any, count: int
) -> list[Tensor] | None:
    """Return the results from products once per word; None where that does not fit or pay."""
    matrices = table.ndim == 2 and w.ndim == 3 and w.shape[0] == 1 and ids.ndim == 2
    if not matrices or w.shape[2] != table.shape[1] or table.dtype not in FLOATS:
        return None
    if prod(ids.shape) < _WORTH * table.shape[0]:
        return None
    gates = run("Gather", (ct.matmul(table, w[0].T), ids), (("axis", 0),))
    return tape.TRAINING[op]([gates, None, *rest], pairs, count)
