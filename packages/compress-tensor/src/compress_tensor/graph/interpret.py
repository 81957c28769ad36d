"""Run a graph by the reference definitions: slow, simple, the oracle of every test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..backend import reference as _definitions
from ..backend.reference.registry import evaluate
from ..dtype import DType
from ..errors import CompressError, InputError, ShapeError
from .flow import FLOW
from .graph import Array, Graph, Node, captured

__all__ = ["compute", "interpret"]
_LOADED = _definitions  #: the package fills its table when imported


def interpret(
    graph: Graph, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None
) -> dict[str, Array]:
    """Return the outputs of a graph.

    Args:
        graph: the model.
        feeds: an array for every input.
        outputs: names of the values to return, which may be intermediate ones; by default the
            graph's outputs.

    Raises:
        InputError: if an input is missing or has a wrong type.
        ShapeError, UnsupportedError: if a node cannot be computed.
    """
    known: dict[str, Any] = {}
    for value in graph.inputs:
        if value.name not in feeds:
            raise InputError(f"input {value.name!r} is missing")
        array = feeds[value.name]
        if value.dtype is not None and isinstance(array, np.ndarray):
            held = DType.of(array.dtype)
            if held is not value.dtype:
                raise InputError(
                    f"input {value.name!r} must have type {value.dtype.label}, not {held.label}"
                )
        known[value.name] = array
    wanted = list(outputs) if outputs is not None else [value.name for value in graph.outputs]
    found = _run(graph, known, wanted)
    return dict(zip(wanted, found, strict=True))


def _run(graph: Graph, known: Mapping[str, Any], wanted: Sequence[str]) -> list[Any]:
    """Run a graph whose inputs and captured names are in ``known``."""
    scope = {**known, **graph.constants}
    last = {name: i for i, node in enumerate(graph.nodes) for name in _reads(node)}
    kept = {*wanted, *known}
    for i, node in enumerate(graph.nodes):
        inputs = [scope[name] if name else None for name in node.inputs]
        results = compute(node, inputs, scope)
        for name, value in zip(node.outputs, results, strict=False):
            if name:
                scope[name] = value
        for name in [*_reads(node), *node.outputs]:
            if name and name not in kept and last.get(name, -1) <= i:
                scope.pop(name, None)
    missing = [name for name in wanted if name not in scope]
    if missing:
        raise InputError(f"nothing makes the value {missing[0]!r}")
    return [scope[name] for name in wanted]


def _reads(node: Node) -> list[str]:
    return [name for name in (*node.inputs, *captured(node)) if name]


def compute(node: Node, inputs: list[Any], scope: Mapping[str, Any]) -> list[Any]:
    """Return the outputs of one node; its subgraphs read captured names from ``scope``."""
    if not node.domain and node.op in FLOW:
        return _flow(node, inputs, scope)
    return evaluate(
        node.op,
        inputs,
        node.attributes,
        len(node.outputs),
        domain=node.domain,
        where=node.label,
    )


def _flow(node: Node, inputs: list[Any], scope: Mapping[str, Any]) -> list[Any]:
    try:
        return {"If": _if, "Loop": _loop, "Scan": _scan}[node.op](node, inputs, scope)
    except CompressError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise ShapeError(f"{node.label}: inputs or bodies do not fit ({error})") from error
    except MemoryError as error:
        raise ShapeError(f"{node.label}: there is not enough memory for its results") from error


def _call(graph: Graph, arguments: Sequence[Any], scope: Mapping[str, Any]) -> list[Any]:
    if len(arguments) != len(graph.inputs):
        raise ShapeError(f"graph {graph.name!r} takes {len(graph.inputs)} inputs")
    known = {**scope, **{v.name: a for v, a in zip(graph.inputs, arguments, strict=True)}}
    return _run(graph, known, [value.name for value in graph.outputs])


def _if(node: Node, inputs: list[Any], scope: Mapping[str, Any]) -> list[Any]:
    taken = bool(np.asarray(inputs[0]).reshape(-1)[0])
    return _call(node.attributes["then_branch" if taken else "else_branch"], [], scope)


def _empty(graph: Graph, index: int) -> Array:
    """Return what a scan output holds when its body never runs."""
    value = graph.outputs[index]
    dims = [n if isinstance(n, int) else 0 for n in value.shape or ()]
    return np.zeros((0, *dims), (value.dtype or DType.FLOAT32).numpy)


def _loop(node: Node, inputs: list[Any], scope: Mapping[str, Any]) -> list[Any]:
    body: Graph = node.attributes["body"]
    limit = None if inputs[0] is None else int(np.asarray(inputs[0]).reshape(-1)[0])
    going = inputs[1] is None or bool(np.asarray(inputs[1]).reshape(-1)[0])
    carried = list(inputs[2:])
    scans: list[list[Array]] = [[] for _ in body.outputs[1 + len(carried) :]]
    step = 0
    while going and (limit is None or step < limit):
        arguments = [np.array(step, np.int64), np.array(going), *carried]
        results = _call(body, arguments, scope)
        going = bool(np.asarray(results[0]).reshape(-1)[0])
        carried = results[1 : 1 + len(carried)]
        for column, value in zip(scans, results[1 + len(carried) :], strict=True):
            column.append(value)
        step += 1
    first = 1 + len(carried)
    stacked = [
        np.stack(column) if column else _empty(body, first + i) for i, column in enumerate(scans)
    ]
    return [*carried, *stacked]


def _scan(node: Node, inputs: list[Any], scope: Mapping[str, Any]) -> list[Any]:
    body: Graph = node.attributes["body"]
    get = node.attributes.get
    count = int(node.attributes["num_scan_inputs"])
    states, sequences = list(inputs[: len(inputs) - count]), inputs[len(inputs) - count :]
    axes = get("scan_input_axes") or [0] * count
    backwards = get("scan_input_directions") or [0] * count
    moved = [
        np.flip(np.moveaxis(s, a, 0), 0) if back else np.moveaxis(s, a, 0)
        for s, a, back in zip(sequences, axes, backwards, strict=True)
    ]
    first = len(states)
    columns: list[list[Array]] = [[] for _ in body.outputs[first:]]
    for step in range(len(moved[0])):
        results = _call(body, [*states, *(m[step, ...] for m in moved)], scope)
        states = results[:first]
        for column, value in zip(columns, results[first:], strict=True):
            column.append(value)
    out_axes = get("scan_output_axes") or [0] * len(columns)
    reverse = get("scan_output_directions") or [0] * len(columns)
    stacked = []
    for i, (column, axis, back) in enumerate(zip(columns, out_axes, reverse, strict=True)):
        ordered = column[::-1] if back else column
        stacked.append(np.stack(ordered, axis=axis) if ordered else _empty(body, first + i))
    return [*states, *stacked]
