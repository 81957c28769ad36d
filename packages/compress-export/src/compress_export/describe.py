"""What is in a model, and what the engine makes of it: the work of ``compress-export info``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np

from compress_tensor.dtype import DType
from compress_tensor.graph.graph import Graph, Value
from compress_tensor.graph.stored import Entry, unread
from compress_tensor.graph.support import all_nodes, missing_operators

from .cost import Shapes, cost_of
from .support import Support, support_of


@dataclass(frozen=True)
class Operator:
    """How often an operator occurs, and how it runs."""

    name: str
    count: int
    support: str
    macs: int


@dataclass(frozen=True)
class Description:
    """Everything that ``compress-export info`` says.

    Attributes:
        parameters: elements of constants that are not integers above 8 bits, truth values or
            text (those are shapes and indices).
        weight_bytes: bytes of all constants as a file stores them.
        macs: multiply-accumulates of one run, symbols bound to 1 or to the shapes given.
        peak_bytes: most bytes of values alive at once, without constants, if every value has
            memory of its own; the engine needs less.
        stopped: where shapes could not be followed any further, or "".
    """

    name: str
    inputs: list[Value]
    outputs: list[Value]
    nodes: int
    operators: list[Operator]
    parameters: int
    weight_bytes: int
    macs: int
    peak_bytes: int
    stopped: str
    missing: dict[str, list[str]]
    metadata: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """Return plain data for ``--json``."""
        found = asdict(self)
        for place in ("inputs", "outputs"):
            values: list[Value] = getattr(self, place)
            found[place] = [
                {
                    "name": value.name,
                    "dtype": None if value.dtype is None else value.dtype.label,
                    "shape": None if value.shape is None else list(value.shape),
                }
                for value in values
            ]
        return found


def describe(graph: Graph, shapes: Shapes | None = None) -> Description:
    """Return what is in a graph.

    Args:
        graph: the network.
        shapes: of inputs, instead of 1 for every size that the graph leaves open.
    """
    nodes = list(all_nodes(graph))
    cost = cost_of(graph, shapes)
    counts = Counter((f"{n.domain}.{n.op}" if n.domain else n.op, support_of(n)) for n in nodes)
    rank = list(Support)
    operators = [
        Operator(name, count, support.value, cost.by_operator.get(name, 0))
        for (name, support), count in sorted(
            counts.items(), key=lambda e: (-rank.index(e[0][1]), -e[1], e[0][0])
        )
    ]
    constants = list(_all_constants(graph))
    return Description(
        name=graph.name,
        inputs=list(graph.inputs),
        outputs=list(graph.outputs),
        nodes=len(nodes),
        operators=operators,
        parameters=sum(array.size for array in constants if _is_parameter(DType.of(array.dtype))),
        weight_bytes=sum(_stored_bytes(array) for array in constants),
        macs=cost.macs,
        peak_bytes=cost.peak_bytes,
        stopped=cost.stopped,
        missing=missing_operators(graph),
        metadata=dict(graph.metadata),
    )


def _all_constants(graph: Graph) -> Iterator[Entry]:
    yield from unread(graph.constants).values()
    for node in graph.nodes:
        for inner in node.subgraphs():
            yield from _all_constants(inner)


def _is_parameter(dtype: DType) -> bool:
    return dtype.is_float or (dtype.is_int and dtype.bits <= 8)


def _stored_bytes(array: Entry) -> int:
    dtype = DType.of(array.dtype)
    if isinstance(array, np.ndarray) and dtype is DType.STRING:
        return sum(len(str(text).encode()) for text in array.reshape(-1).tolist())
    return -(-prod(array.shape) * dtype.bits // 8)
