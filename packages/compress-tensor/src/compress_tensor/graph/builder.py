"""Writing a network as one writes mathematics; what comes out is a Graph.

Every ONNX operator is a method, its name in snake_case, inputs first, attributes by keyword::

    b = Builder("classifier")
    x = b.input("input", DType.FLOAT32, ("N", 64))
    h = b.relu(x @ w1 + b1)                      # arrays become constants
    b.output("output", b.softmax(b.gemm(h, w2, b2, transB=1)))
    graph = b.graph()

Shapes and types are inferred as the graph grows, so a mistake is reported where it is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend.reference.registry import REFERENCES
from ..dtype import DType
from ..errors import GraphError, ShapeError, UnsupportedError
from .graph import Array, Graph, Node, Shape, Value
from .infer import infer_node, info_of
from .rules.registry import Info, NeedsValue

#: the sizes that stand for symbols while shapes are inferred: large enough for any window
_PROBES = (227, 223)


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """A value of a graph that is being built."""

    builder: Builder
    name: str

    @property
    def shape(self) -> Shape | None:
        """The shape, symbols by name, None where a dimension is not known."""
        return self.builder.shape_of(self.name)

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.builder.dtype_of(self.name)

    def _apply(self, op: str, *inputs: Any) -> Symbol:
        found: Symbol = self.builder.apply(op, *inputs)
        return found

    def __add__(self, other: Any) -> Symbol:
        return self._apply("Add", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return self._apply("Add", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return self._apply("Sub", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return self._apply("Sub", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return self._apply("Mul", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return self._apply("Mul", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return self._apply("Div", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return self._apply("Div", other, self)

    def __matmul__(self, other: Any) -> Symbol:
        return self._apply("MatMul", self, other)

    def __neg__(self) -> Symbol:
        return self._apply("Neg", self)


class Builder:
    """Collects nodes in order; `graph` returns the result.

    Args:
        name: of the graph.
    """

    def __init__(self, name: str = "graph") -> None:
        self._graph = Graph(name=name)
        self._symbols: dict[str, tuple[int, int]] = {}
        self._infos: tuple[dict[str, Info], dict[str, Info]] = ({}, {})

    def input(self, name: str, dtype: DType, shape: Shape) -> Symbol:
        """Declare a graph input; dimensions may be numbers or names."""
        self._claim(name)
        for dim in shape:
            if isinstance(dim, str) and dim not in self._symbols:
                n = len(self._symbols)
                self._symbols[dim] = (_PROBES[0] + 8 * n, _PROBES[1] + 8 * n)
            if dim is None:
                raise ShapeError(f"input {name!r}: name the unknown dimension")
        self._graph.inputs.append(Value(name, dtype, tuple(shape)))
        for probe, infos in enumerate(self._infos):
            sizes = tuple(d if isinstance(d, int) else self._symbols[str(d)][probe] for d in shape)
            infos[name] = Info(dtype, sizes, None, name)
        return Symbol(self, name)

    def constant(self, value: Any, name: str = "") -> Symbol:
        """Add a constant; Python numbers become float32 or int64."""
        array = np.asarray(value)
        if isinstance(value, float) or (isinstance(value, list) and array.dtype == np.float64):
            array = array.astype(np.float32)
        name = name or self._graph.fresh("constant")
        self._claim(name)
        self._graph.constants[name] = array
        for infos in self._infos:
            infos[name] = info_of(array, name)
        return Symbol(self, name)

    def output(self, name: str, value: Symbol) -> None:
        """Make a value a graph output under ``name``."""
        self.apply("Identity", value, name=name)
        self._graph.outputs.append(Value(name, self.dtype_of(name), self.shape_of(name)))

    def apply(
        self, op: str, *inputs: Any, n_outputs: int = 1, name: str = "", **attributes: Any
    ) -> Any:
        """Append a node; returns its output, or a tuple of them if ``n_outputs`` is above 1.

        Args:
            op: the ONNX operator.
            inputs: symbols, arrays, numbers, or None for an omitted input.
            n_outputs: how many outputs to make.
            name: of the (first) output; by default derived from the operator.
            attributes: by ONNX's names.

        Raises:
            ShapeError: if inputs or attributes do not fit.
            UnsupportedError: for an unknown operator.
        """
        like = next((i.dtype for i in inputs if isinstance(i, Symbol)), None)
        names = [self._name_of(i, like) for i in inputs]
        first = name or self._graph.fresh(op.lower())
        self._claim(first)
        outputs = [first, *(self._graph.fresh(f"{first}_{i}") for i in range(1, n_outputs))]
        node = Node(op, names, outputs, attributes, first)
        for infos in self._infos:
            try:
                found = infer_node(node, [infos[n] if n else None for n in names], n_outputs)
            except NeedsValue:
                found = [Info(like or DType.FLOAT32, None) for _ in outputs]
            for out, info in zip(outputs, found, strict=False):
                infos[out] = Info(info.dtype, info.shape, info.value, out)
        self._graph.nodes.append(node)
        made = tuple(Symbol(self, out) for out in outputs)
        return made if n_outputs > 1 else made[0]

    def __getattr__(self, method: str) -> Callable[..., Any]:
        op = _operators().get(method)
        if op is None:
            raise AttributeError(f"there is no operator {method!r} (ONNX names in snake_case)")
        return lambda *inputs, **keywords: self.apply(op, *inputs, **keywords)

    def dtype_of(self, name: str) -> DType:
        """Return the element type of a value."""
        return self._infos[0][name].dtype

    def shape_of(self, name: str) -> Shape | None:
        """Return the shape of a value: where both probes agree a number, else a symbol or None."""
        one, two = (infos[name].shape for infos in self._infos)
        if one is None or two is None or len(one) != len(two):
            return None
        by_sizes = {sizes: symbol for symbol, sizes in self._symbols.items()}
        return tuple(a if a == b else by_sizes.get((a, b)) for a, b in zip(one, two, strict=True))

    def graph(self) -> Graph:
        """Return the finished graph.

        Raises:
            GraphError: if it has no outputs.
        """
        if not self._graph.outputs:
            raise GraphError("the graph has no outputs; call output(name, value)")
        found = self._graph.copy()
        found.check()
        return found

    def _claim(self, name: str) -> None:
        if name in self._infos[0]:
            raise GraphError(f"value {name!r} is defined twice")

    def _name_of(self, value: Any, like: DType | None) -> str:
        if value is None:
            return ""
        if isinstance(value, Symbol):
            if value.builder is not self:
                raise GraphError(f"value {value.name!r} belongs to another builder")
            return value.name
        if isinstance(value, (bool, int, float)) and like is not None and not like.numpy.names:
            array: Array = np.array(value, like.numpy)
            return self.constant(array).name
        return self.constant(value).name


def _operators() -> dict[str, str]:
    """Return every standard operator by its name in snake_case."""
    if not _BY_METHOD:
        if not REFERENCES:
            raise UnsupportedError("the operator table is empty")
        for domain, op in REFERENCES:
            if not domain:
                snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", op).lower()
                _BY_METHOD[snake] = op
                _BY_METHOD.setdefault(op.lower(), op)
    return _BY_METHOD


_BY_METHOD: dict[str, str] = {}
