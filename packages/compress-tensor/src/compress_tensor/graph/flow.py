"""Shape inference of If, Loop and Scan, whose attributes are graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..dtype import DType
from ..errors import ShapeError
from .graph import Graph, Node, Value
from .rules.common import require, result
from .rules.registry import Info, NeedsValue

FLOW = frozenset({"If", "Loop", "Scan"})

Inference = Callable[[Graph, Mapping[str, Info]], dict[str, Info]]


def infer_flow(
    node: Node, infos: Sequence[Info | None], scope: Mapping[str, Info], infer: Inference
) -> list[Info]:
    """Return what the outputs of If, Loop or Scan look like."""
    if node.op == "If":
        return _if(node, infos, scope, infer)
    body = node.attributes.get("body")
    if not isinstance(body, Graph):
        raise ShapeError(f"{node.op} lacks its body")
    if node.op == "Loop":
        return _loop(body, infos, scope, infer)
    return _scan(node, body, infos, scope, infer)


def _if(
    node: Node, infos: Sequence[Info | None], scope: Mapping[str, Info], infer: Inference
) -> list[Info]:
    require(len(infos) == 1 and infos[0] is not None, "If needs one condition")
    condition = infos[0]
    assert condition is not None
    if condition.value is None:
        raise NeedsValue(condition.name or node.inputs[0])
    require(condition.value.size == 1, "the condition of If must be one truth value")
    taken = bool(condition.value.reshape(-1)[0])
    branch = node.attributes.get("then_branch" if taken else "else_branch")
    if not isinstance(branch, Graph):
        raise ShapeError("If lacks a branch")
    known = infer(branch, scope)
    return [known[value.name] for value in branch.outputs]


def _declared(value: Value) -> Info:
    """Return what a body's file says of an output, when inference cannot tell."""
    return Info(value.dtype or DType.FLOAT32, None)


def _forget(info: Info, name: str) -> Info:
    return Info(info.dtype, info.shape, None, name)


def _loop(
    body: Graph, infos: Sequence[Info | None], scope: Mapping[str, Info], infer: Inference
) -> list[Info]:
    require(len(infos) >= 2, "Loop needs a trip count and a condition, each may be empty")
    count = len(infos) - 2
    require(
        len(body.inputs) == count + 2 and len(body.outputs) >= count + 1,
        f"the body of Loop does not fit {count} carried values",
    )
    names = [value.name for value in body.inputs]
    carried = [_forget(info, name) for info, name in zip(infos[2:], names[2:], strict=True) if info]
    require(len(carried) == count, "a carried value of Loop is omitted")
    inside: dict[str, Info] = {}
    outputs = [value.name for value in body.outputs]
    for _ in range(3):
        start = dict(scope)
        start[names[0]] = Info(DType.INT64, (), None, names[0])
        start[names[1]] = Info(DType.BOOL, (), np.array(True), names[1])  # or it would not run
        start.update({info.name: info for info in carried})
        try:
            inside = infer(body, start)
        except NeedsValue:
            return [
                *(Info(info.dtype, None) for info in carried),
                *map(_declared, body.outputs[count + 1 :]),
            ]
        after = [inside[name] for name in outputs[1 : count + 1]]
        if all(a.shape == b.shape for a, b in zip(after, carried, strict=True)):
            break
        carried = [
            Info(a.dtype, b.shape if a.shape == b.shape else None, None, b.name)
            for a, b in zip(after, carried, strict=True)
        ]
    trips = _trips(infos[0], infos[1], inside[outputs[0]])
    scans = [inside[name] for name in outputs[count + 1 :]]
    return [
        *(Info(info.dtype, info.shape) for info in carried),
        *(
            Info(s.dtype, None)
            if trips is None or s.shape is None
            else result(s.dtype, (trips, *s.shape))
            for s in scans
        ),
    ]


def _trips(limit: Info | None, condition: Info | None, after: Info) -> int | None:
    """Return how often a Loop runs, if that is known."""
    if condition is not None and condition.value is None:
        return None
    if condition is not None and condition.value is not None and not condition.value.all():
        return 0
    if after.value is None or not after.value.all():
        return None
    if limit is None or limit.value is None:
        return None
    return max(int(limit.value.reshape(-1)[0]), 0)


def _scan(
    node: Node,
    body: Graph,
    infos: Sequence[Info | None],
    scope: Mapping[str, Info],
    infer: Inference,
) -> list[Info]:
    given = [info for info in infos if info is not None]
    scanned = int(node.attributes.get("num_scan_inputs", 0))
    states = len(given) - scanned
    require(scanned >= 1 and states >= 0, "num_scan_inputs does not fit the inputs of Scan")
    require(len(given) == len(infos) == len(body.inputs), "the body of Scan does not fit")
    axes = node.attributes.get("scan_input_axes") or [0] * scanned
    start = dict(scope)
    length = None
    for i, (info, value) in enumerate(zip(given, body.inputs, strict=True)):
        dims = info.dims
        if i >= states:
            axis = int(axes[i - states])
            require(-len(dims) <= axis < len(dims), f"scan axis {axis} does not fit {dims}")
            axis %= len(dims)
            if length is not None and dims[axis] != length:
                raise ShapeError(f"sequences of Scan have lengths {length} and {dims[axis]}")
            length = dims[axis]
            dims = (*dims[:axis], *dims[axis + 1 :])
        start[value.name] = Info(info.dtype, dims, None, value.name)
    inside = infer(body, start)
    found = [inside[value.name] for value in body.outputs]
    kept = [Info(f.dtype, f.shape) for f in found[:states]]
    out_axes = node.attributes.get("scan_output_axes") or [0] * (len(found) - states)
    for info, axis in zip(found[states:], out_axes, strict=True):
        dims = info.dims
        place = int(axis) % (len(dims) + 1)
        kept.append(result(info.dtype, np.insert(dims, place, length or 0).tolist()))
    return kept
