"""What one run of a graph costs: multiply-accumulates, and memory for intermediate values.

Shapes follow from the inputs', with every symbol and unknown size bound to 1 unless a shape is
given.  Both branches of an ``If`` whose condition is not known are looked at, and the dearer one
counts; the body of a ``Loop`` or ``Scan`` counts once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from compress_tensor.errors import CompressError, InputError
from compress_tensor.graph.graph import Graph, Node, Value
from compress_tensor.graph.infer import infer_node, info_of
from compress_tensor.graph.rules.registry import Info, NeedsValue
from compress_tensor.graph.stored import unread
from compress_tensor.graph.work import bytes_of, macs_of

Shapes = Mapping[str, Sequence[int]]


@dataclass
class Cost:
    """What a run costs; ``stopped`` says where shapes could not be followed any further."""

    macs: int = 0
    peak_bytes: int = 0
    stopped: str = ""
    by_operator: dict[str, int] = field(default_factory=dict)

    def add(self, op: str, macs: int) -> None:
        """Count the work of one node."""
        self.macs += macs
        if macs:
            self.by_operator[op] = self.by_operator.get(op, 0) + macs


def cost_of(graph: Graph, shapes: Shapes | None = None) -> Cost:
    """Return what one run costs, as far as shapes can be followed.

    Raises:
        InputError: if a shape is given for something that is no input, or contradicts it.
    """
    cost = Cost()
    given = dict(shapes or {})
    scope: dict[str, Info] = {}
    for value in graph.inputs:
        found = _input_info(value, given.pop(value.name, None))
        if found is None:
            cost.stopped = f"the rank or type of input {value.name!r} is not stated"
            return cost
        scope[value.name] = found
    if given:
        raise InputError(
            f"the model has no input {next(iter(given))!r}; "
            f"its inputs are {', '.join(repr(value.name) for value in graph.inputs)}"
        )
    _walk(graph, scope, cost)
    return cost


def _input_info(value: Value, given: Sequence[int] | None) -> Info | None:
    if value.dtype is None or (value.shape is None and given is None):
        return None
    if given is None:
        dims = tuple(d if isinstance(d, int) else 1 for d in value.shape or ())
        return Info(value.dtype, dims, None, value.name)
    fits = value.shape is None or (
        len(value.shape) == len(given)
        and all(d == g for d, g in zip(value.shape, given, strict=True) if isinstance(d, int))
    )
    if not fits:
        raise InputError(f"shape {list(given)} does not fit input {value.name!r}: {value.shape}")
    return Info(value.dtype, tuple(given), None, value.name)


def _walk(graph: Graph, known: Mapping[str, Info], cost: Cost) -> dict[str, Info]:
    """Follow shapes through a graph and add up what its nodes cost."""
    scope = dict(known)
    scope.update({name: info_of(array, name) for name, array in unread(graph.constants).items()})
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs}
    last.update({value.name: len(graph.nodes) for value in graph.outputs})
    alive = {value.name: bytes_of(scope.get(value.name)) for value in graph.inputs}
    live = sum(alive.values())
    for position, node in enumerate(graph.nodes):
        infos = [scope.get(name) if name else None for name in node.inputs]
        if any(name and name not in scope for name in node.inputs):
            continue  # behind a value whose shape is unknown
        try:
            outputs = _follow(node, infos, scope, cost)
        except CompressError as error:
            cost.stopped = cost.stopped or f"{node.label}: {error}"
            continue
        for name, info in zip(node.outputs, outputs, strict=False):
            if name and info.shape is not None:
                scope[name] = info
                alive[name] = bytes_of(info) if info.value is None else 0
                live += alive[name]
        cost.peak_bytes = max(cost.peak_bytes, live)
        cost.add(node.op, macs_of(node, infos, outputs))
        for name in {*node.inputs, *node.outputs}:
            if name in alive and last.get(name, -1) <= position:
                live -= alive.pop(name)
    return scope


def _follow(
    node: Node, infos: Sequence[Info | None], scope: Mapping[str, Info], cost: Cost
) -> list[Info]:
    """Return what a node's outputs look like; the cost of its subgraphs is added."""
    branches = node.subgraphs()
    try:
        outputs = infer_node(node, infos, len(node.outputs), scope)
        if node.op == "If":
            condition = infos[0]
            assert condition is not None  # infer_node has seen to it
            assert condition.value is not None
            taken = "then_branch" if condition.value.reshape(-1)[0] else "else_branch"
            branches = [node.attributes[taken]]
    except NeedsValue:
        if node.op != "If":
            raise
        outputs = []
    dearest = Cost(macs=-1)
    for branch in branches:
        inside = Cost()
        bound = dict(scope)
        for value in branch.inputs:
            info = _input_info(value, None)
            if info is not None:
                bound[value.name] = info
        known = _walk(branch, bound, inside)
        if inside.macs > dearest.macs:
            dearest = inside
            if not outputs and node.op == "If":
                found = [known.get(value.name) for value in branch.outputs]
                outputs = [info for info in found if info is not None]
    if branches:
        cost.stopped = cost.stopped or dearest.stopped
        for op, macs in dearest.by_operator.items():
            cost.add(op, macs)
        cost.peak_bytes = max(cost.peak_bytes, dearest.peak_bytes)
    return outputs
