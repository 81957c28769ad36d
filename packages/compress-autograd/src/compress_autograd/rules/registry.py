"""The table of derivative rules.

A rule's signature says what it needs.  Its positional parameters are, by name:

* ``g``: the gradient of the first output; ``gs``: those of all outputs, None where there is none;
* ``y``: the first output; ``ys``: all of them;
* ``x``: the first operand; ``a``, ``b``: the first and second; ``xs``: all; or an operand by the
  name that the operator's definition gives it (``W``, ``indices``);
* ``call``: shapes, attributes and what is wanted (`Call`).

Only what is named is kept until backward.  Keyword-only parameters are attributes.  A rule belongs
to one operand and returns its gradient, or to all and returns theirs in order.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from compress_tensor import Tensor
from compress_tensor.backend import reference as _definitions
from compress_tensor.backend.reference.registry import Reference, find

from ..unbroadcast import unbroadcast

if TYPE_CHECKING:
    from ..operator import Call
    from ..tape import Gradients

Function = Callable[..., Any]
F = TypeVar("F", bound=Function)
_LOADED = _definitions  #: the package fills the table of definitions when imported

#: operators whose float results are constant wherever they have a derivative
CONSTANT = {
    *("Sign", "Floor", "Ceil", "Round", "Hardmax", "ConstantOfShape", "EyeLike", "Range"),
    *("RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"),
    *("HannWindow", "HammingWindow", "BlackmanWindow", "OneHot"),
}
#: operators that must not cut a gradient in silence, with the reason
REFUSED = {
    "DequantizeLinear": "codes are integers",
    "QuantizeLinear": "rounding has none; train with fake quantization",
    "DynamicQuantizeLinear": "rounding has none; train with fake quantization",
}
_FIRST = {"x": 0, "a": 0, "b": 1}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a saved tensor comes from."""

    output: bool
    index: int
    every: bool = False


@dataclass(frozen=True)
class Part:
    """A function with what its parameters stand for."""

    function: Function
    names: tuple[str, ...]
    keywords: tuple[str, ...]
    places: tuple[tuple[str, Place], ...]

    def run(self, call: Call, grads: Gradients) -> Any:
        """Call the function with what its parameters name."""
        known = {"g": grads[0], "gs": grads, "call": call}
        given = [known[n] if n in known else call.get(n) for n in self.names]
        if not self.keywords:
            return self.function(*given)
        attributes = call.attributes
        return self.function(*given, **{name: attributes[name] for name in self.keywords})


class Rule:
    """How the gradients of an operator's operands follow from those of its outputs.

    Args:
        op: the operator.
        each: functions by operand; operands without one have no gradient.
        joint: one function for all operands instead.
    """

    def __init__(
        self, op: str, each: Mapping[int, Function] | None = None, joint: Function | None = None
    ) -> None:
        self.op = op
        self.each = {index: _part(op, f) for index, f in (each or {}).items()}
        self.joint = None if joint is None else _part(op, joint)

    def saves(self, needs: Sequence[bool]) -> Iterable[tuple[str, Place]]:
        """Return what must be kept, given which gradients are wanted."""
        if self.joint is not None:
            return self.joint.places
        parts = [part for index, part in self.each.items() if index < len(needs) and needs[index]]
        if len(parts) == 1:
            return parts[0].places
        return {name: place for part in parts for name, place in part.places}.items()

    def apply(self, call: Call, grads: Gradients) -> Gradients:
        """Return the gradients of the operands."""
        if self.joint is not None:
            found = self.joint.run(call, grads)
            return found if isinstance(found, (tuple, list)) else (found,)
        results: list[Tensor | None] = [None] * len(call.needs)
        for index, part in self.each.items():
            if index < len(results) and call.needs[index]:
                results[index] = part.run(call, grads)
        return results


RULES: dict[str, Rule] = {}


def definition(op: str) -> Reference:
    """Return the definition of an operator, given as ``domain::name`` where it is not ONNX's."""
    domain, _, name = op.rpartition("::")
    return find(name, domain)


def _part(op: str, function: Function) -> Part:
    inputs = definition(op).inputs
    names, keywords, places = [], [], []
    for parameter in inspect.signature(function).parameters.values():
        name = parameter.name
        if parameter.kind is parameter.KEYWORD_ONLY:
            keywords.append(name)
            continue
        names.append(name)
        if name in ("y", "ys"):
            places.append((name, Place(True, 0, name == "ys")))
        elif name == "xs":
            places.append((name, Place(False, 0, True)))
        elif name in inputs:
            places.append((name, Place(False, inputs.index(name))))
        elif name in _FIRST:
            places.append((name, Place(False, _FIRST[name])))
        elif name not in ("g", "gs", "call"):
            raise TypeError(f"the rule of {op} asks for {name!r}, which {op} does not have")
    return Part(function, tuple(names), tuple(keywords), tuple(places))


def elementwise(table: Mapping[str, Function]) -> None:
    """Enter rules of functions of one tensor."""
    for op, function in table.items():
        RULES[op] = Rule(op, {0: function})


def binary(table: Mapping[str, tuple[Function, Function]]) -> None:
    """Enter rules of functions of two tensors that broadcast."""
    for op, functions in table.items():
        RULES[op] = Rule(op, {n: _broadcast(op, n, f) for n, f in enumerate(functions)})


def _broadcast(op: str, index: int, function: Function) -> Function:
    """Return the function with its result brought back to the operand's shape."""
    part = _part(op, function)
    names = [n for n in part.names if n not in ("g", "call")]

    def summed(g: Tensor, call: Call, *given: Any, **attributes: Any) -> Tensor:
        known = dict(zip(names, given, strict=True), g=g, call=call)
        found = function(*(known[n] for n in part.names), **attributes)
        return unbroadcast(found, call.shape(index))

    parameters = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in ("g", "call")]
    parameters += [inspect.Parameter(n, inspect.Parameter.POSITIONAL_ONLY) for n in names]
    parameters += [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY) for n in part.keywords]
    summed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return summed


def rule(op: str, *operands: int) -> Callable[[F], F]:
    """Enter the decorated function as the rule of operands, or of all if none is named."""

    def register(function: F) -> F:
        if not operands:
            RULES[op] = Rule(op, joint=function)
            return function
        known = RULES.get(op)
        each = {n: part.function for n, part in known.each.items()} if known else {}
        RULES[op] = Rule(op, {**each, **dict.fromkeys(operands, function)})
        return function

    return register
