"""Model-local functions: how the names of a function's body are spelled at each call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compress_tensor.errors import GraphError, UnsupportedError
from compress_tensor.graph.graph import Attribute

from .upgrade import Names

if TYPE_CHECKING:
    from .messages import pb

Key = tuple[str, str, str]

#: how many nodes all calls together may expand to
MAX_INLINED_NODES = 200_000


@dataclass
class Call:
    """The body being read: the main graph, or a function on behalf of one node.

    Attributes:
        opsets: domain to version, as the body imports them.
        attributes: what references to attributes stand for.
        prefix: put before names that the caller did not give; empty in the main graph.
        renamed: names of a function's body to names in the model; None in the main graph.
        stack: the functions entered so far.
    """

    opsets: dict[str, int]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    prefix: str = ""
    renamed: dict[str, str] | None = None
    stack: tuple[Key, ...] = ()

    def name(self, name: str, names: Names) -> str:
        """Return how ``name`` of this body is spelled in the model."""
        if self.renamed is None or not name:
            return name
        if name not in self.renamed:
            self.renamed[name] = names.fresh(f"{self.prefix}{name}")
        return self.renamed[name]


class Functions:
    """The functions that a model defines, by domain, name and overload."""

    def __init__(self, protos: Iterable[pb.FunctionProto]) -> None:
        self._by_key: dict[Key, pb.FunctionProto] = {}
        self._left = MAX_INLINED_NODES
        for proto in protos:
            key = (_domain(proto.domain), proto.name, proto.overload)
            if key in self._by_key:
                raise GraphError(f"function {proto.name!r} is defined twice")
            self._by_key[key] = proto

    def find(self, node: pb.NodeProto) -> pb.FunctionProto | None:
        """Return the function that a node calls, or None for an operator."""
        if not self._by_key:
            return None
        return self._by_key.get((_domain(node.domain), node.op_type, node.overload))

    def enter(
        self,
        function: pb.FunctionProto,
        caller: Call,
        node: pb.NodeProto,
        names: Names,
    ) -> tuple[Call, list[tuple[str, str]]]:
        """Return the call, and (from, to) for outputs that are inputs handed through.

        Raises:
            GraphError: if the function calls itself, or gets more values than it has.
            UnsupportedError: if all calls together grow too large.
        """
        key = (_domain(function.domain), function.name, function.overload)
        if key in caller.stack:
            raise GraphError(f"function {function.name!r} calls itself")
        self._left -= len(function.node) + 1
        if self._left < 0:
            raise UnsupportedError(f"functions expand to more than {MAX_INLINED_NODES} nodes")
        label = f"the call of function {function.name!r} by node {node.name!r}"
        if len(node.input) > len(function.input) or len(node.output) > len(function.output):
            raise GraphError(f"{label} has more inputs or outputs than the function")
        renamed = dict.fromkeys(function.input, "")
        for inner, given in zip(function.input, node.input, strict=False):
            renamed[inner] = caller.name(given, names)
        through: list[tuple[str, str]] = []
        for inner, wanted in zip(function.output, node.output, strict=False):
            outer = caller.name(wanted, names)
            if inner in renamed and outer:
                through.append((renamed[inner], outer))
            elif outer:
                renamed[inner] = outer
        prefix = f"{caller.prefix}{node.name or function.name}/"
        return Call({}, {}, prefix, renamed, (*caller.stack, key)), through


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name
