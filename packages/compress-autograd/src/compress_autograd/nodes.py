"""Running the nodes of a graph as operations of tensors, for the tape to follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import compress_tensor as ct
from compress_tensor import Node, ShapeError, Tensor, UnsupportedError
from compress_tensor.backend.reference.registry import find
from compress_tensor.eager import run_many
from compress_tensor.graph.flow import FLOW
from compress_tensor.graph.graph import Array, captured
from compress_tensor.graph.interpret import compute

Value = Any  #: a Tensor, or an array of few numbers that may decide shapes
Operator = Callable[..., Any]

MOST_HOST = 64  #: elements of arrays that are computed with numpy, at most
_ALWAYS_HOST = {"Shape", "Size", "Constant", "ConstantOfShape", "Range", "EyeLike"}
#: operands whose contents decide shapes, by operator
DECIDING: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(["Reshape", "Expand", "Tile", "Squeeze", "Unsqueeze", "Split"], (1,)),
    **dict.fromkeys(
        ["CumSum", "CumProd", "Trilu", "TopK", "ConstantOfShape", "CenterCropPad"], (1,)
    ),
    "Slice": (1, 2, 3, 4),
    "Pad": (1, 2, 3),
    "Resize": (1, 2, 3),
    "Upsample": (1,),
    "OneHot": (1, 2),
    "MaxUnpool": (2,),
    **dict.fromkeys(
        [f"Reduce{n}" for n in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2")]
        + ["ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp"],
        (1,),
    ),
}


@dataclass
class Step:
    """A node with what is known of it before running.

    Attributes:
        node: itself.
        attributes: as pairs that can be a key.
        dies: values that nothing behind it reads.
    """

    node: Node
    attributes: tuple[tuple[str, Any], ...]
    dies: list[str] = field(default_factory=list)


def pairs_of(attributes: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Return attributes as pairs that can be a key."""
    return tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in attributes.items())


def steps_of(nodes: Sequence[Node], kept: set[str]) -> list[Step]:
    """Prepare nodes; values are let go of after their last reader, unless they are ``kept``."""
    last: dict[str, int] = {}
    for n, node in enumerate(nodes):
        for name in [*node.inputs, *node.outputs, *captured(node)]:
            last[name] = n
    found = []
    for n, node in enumerate(nodes):
        dies = [name for name, at in last.items() if at == n and name and name not in kept]
        found.append(Step(node, pairs_of(node.attributes), dies))
    return found


def host(value: Value) -> Array:
    """Return a value as an array."""
    found: Array = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    return found


def device(value: Value) -> Tensor:
    """Return a value as a tensor."""
    return value if isinstance(value, Tensor) else Tensor.from_numpy(np.asarray(value))


def _sizes(value: Value) -> list[int]:
    return [int(n) for n in host(value).reshape(-1)]


def _reshape(node: Node, x: Tensor, shape: Value) -> Tensor:
    wanted = _sizes(shape)
    if not node.attributes.get("allowzero"):
        wanted = [x.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    return x.reshape(wanted)


def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = int(node.attributes.get("axis", 1))
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape((int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))))


def _transpose(node: Node, x: Tensor) -> Tensor:
    perm = node.attributes.get("perm")
    return x.T if perm is None else x.transpose(list(perm))


def _squeeze(node: Node, x: Tensor, axes: Value = None) -> Tensor:
    return x.squeeze(None if axes is None else _sizes(axes))


def _expand(node: Node, x: Tensor, shape: Value) -> Tensor:
    return x.broadcast_to(np.broadcast_shapes(x.shape, tuple(_sizes(shape))))


def _split(node: Node, x: Tensor, sizes: Value = None) -> tuple[Tensor, ...]:
    axis = int(node.attributes.get("axis", 0))
    if sizes is not None:
        return tuple(ct.split(x, _sizes(sizes), axis))
    return tuple(ct.split(x, -(-x.shape[axis] // len(node.outputs)), axis))


def _slice(node: Node, x: Tensor, *given: Value) -> Tensor:
    starts, ends = _sizes(given[0]), _sizes(given[1])
    axes = _sizes(given[2]) if len(given) > 2 and given[2] is not None else range(len(starts))
    steps = _sizes(given[3]) if len(given) > 3 and given[3] is not None else [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        n = x.shape[axis]
        first, last = (at + n if at < 0 else at for at in (start, end))
        if step > 0:
            first, last = min(max(first, 0), n), min(max(last, 0), n)
        else:
            first, last = min(max(first, 0), n - 1), min(max(last, -1), n - 1)
        count = len(range(first, last, step))
        x = x.narrow(axis, first if count else 0, count, step)
    return x


#: operators that only make another view
VIEWS: dict[str, Operator] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": lambda node, x, axes: x.unsqueeze(_sizes(axes)),
    "Expand": _expand,
    "Identity": lambda node, x: x,
    "Split": _split,
    "Slice": _slice,
}


class Runner:
    """Runs nodes; subclasses say what some operators do.

    Args:
        operators: functions of (node, operands) by operator, ``domain::op`` outside of ONNX.
    """

    def __init__(self, operators: Mapping[str, Operator]) -> None:
        self._operators = dict(operators)

    def run(self, steps: Sequence[Step], values: dict[str, Value], keep: bool = False) -> None:
        """Run steps; ``values`` gains results and loses what dies, unless it is to ``keep``.

        Raises:
            UnsupportedError: naming a node that cannot run here.
            ShapeError: naming the node whose operands do not fit.
        """
        for step in steps:
            node = step.node
            try:
                found = self._one(step, values)
            except ShapeError as error:
                raise ShapeError(f"{node.label}: {error}") from error
            for name, value in zip(node.outputs, found, strict=False):
                if name:
                    values[name] = value
            for name in () if keep else step.dies:
                values.pop(name, None)

    def _one(self, step: Step, values: dict[str, Value]) -> Sequence[Value]:
        node = step.node
        given = [values[name] if name else None for name in node.inputs]
        special = self._operators.get(f"{node.domain}::{node.op}" if node.domain else node.op)
        if special is not None:
            return _several(special(node, *given))
        if node.op in FLOW and not node.domain:
            return self._flow(node, given, values)
        if node.domain:
            raise UnsupportedError(f"{node.label} of domain {node.domain!r} has no derivative")
        if _on_host(node, given):
            return compute(node, [None if v is None else host(v) for v in given], {})
        if node.op in VIEWS:
            return _several(VIEWS[node.op](node, device(given[0]), *given[1:]))
        deciding = DECIDING.get(node.op, ())
        operands = [
            None if v is None else host(v) if n in deciding else device(v)
            for n, v in enumerate(given)
        ]
        pairs = step.attributes
        return run_many(node.op, operands, pairs, count_outputs(node))

    def _flow(self, node: Node, given: Sequence[Value], values: dict[str, Value]) -> list[Value]:
        """Run the branch that an If takes."""
        if node.op != "If":
            raise UnsupportedError(f"{node.label} cannot be trained: unroll the loop")
        taken = bool(host(given[0]).reshape(-1)[0])
        branch = node.attributes["then_branch" if taken else "else_branch"]
        inner = {**values, **branch.constants}
        wanted = [value.name for value in branch.outputs]
        self.run(steps_of(branch.nodes, {*wanted, *values}), inner)
        return [inner[name] for name in wanted]


def _several(found: Any) -> Sequence[Value]:
    return found if isinstance(found, (tuple, list)) else (found,)


def count_outputs(node: Node) -> int:
    """Return how many results are wanted, up to the last that has a name."""
    names = node.outputs
    return max((n + 1 for n, name in enumerate(names) if name), default=1)


def _on_host(node: Node, given: Sequence[Value]) -> bool:
    """Return whether a node computes with few numbers, which may decide shapes."""
    if node.op in _ALWAYS_HOST:
        return True
    find(node.op, node.domain)
    arrays = [v for v in given if v is not None]
    return bool(arrays) and all(
        not isinstance(v, Tensor) and np.asarray(v).size <= MOST_HOST for v in arrays
    )
