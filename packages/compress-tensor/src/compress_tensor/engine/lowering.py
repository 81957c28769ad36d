"""What a lowering works with: views of values, memory for results, and the records so far."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from ..backend.reference.registry import evaluate, find
from ..dtype import DType
from ..errors import NativeUnsupportedError, ShapeError
from ..graph.graph import Array, Attribute, Node, captured
from ..graph.rules.registry import Info
from ..graph.stored import Entry, Stored, unread
from ..native.library import opcode
from .journal import Journal
from .options import DEFAULT, Options
from .parts import Part, find_parts
from .quantized import Quantized
from .registry import INTEGERS, LOWERINGS, NotLowered
from .steps import HostCall, Record, Step
from .view import (
    Buffer,
    Kind,
    View,
    channels_last,
    collapse,
    row_major,
    storage_order,
    strides_in_order,
)
from .weights import Empty, Weights

#: what wrong attributes may raise inside a lowering
OWN_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, ShapeError),
    *(TypeError, ValueError),
)
FAILED = "the lowering failed"  #: what a report then says

Layout = Callable[[Sequence[int]], tuple[int, ...]]
Accepts = Callable[[View], bool]

_LARGE = 1 << 16  #: bytes of a constant that is worth forgetting

#: what the float32 form of a half-precision value has at the end of its name
WIDE = "/float32"


@dataclass
class Lowering:
    """The state of planning one specialised list of nodes."""

    infos: dict[str, Info]
    constants: dict[str, Array]
    inputs: Sequence[str]
    outputs: Sequence[str]
    nodes: Sequence[Node]
    weights: Weights
    stable: frozenset[str] = frozenset()
    options: Options = DEFAULT
    steps: list[Step] = field(default_factory=list)
    views: Journal[str, View] = field(default_factory=Journal)
    done: Journal[int, Node] = field(default_factory=Journal)  #: planned nodes, by ``id``
    quantized: Journal[str, Quantized] = field(default_factory=Journal)
    late: Journal[str, Node] = field(default_factory=Journal)  #: planned once their codes are read
    #: float32 values rounded to bfloat16
    halves: Journal[str, View] = field(default_factory=Journal)

    def __post_init__(self) -> None:
        self._consumers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys([*node.inputs, *captured(node)]):
                if name:
                    self._consumers.setdefault(name, []).append(node)
        self.producers = {name: node for node in self.nodes for name in node.outputs}
        self._pending: Journal[int, int] = Journal()
        self._named = (self.views, self.quantized, self.late, self.halves)
        self._state = (*self._named, self.done, self._pending)
        self._floats: dict[str, list[str]] = {}  # values whose codes a value is
        self._parts = find_parts(self.nodes, self.infos, self.constants)
        self._label = ""
        for name in self.inputs:
            info = self.infos[name]
            buffer = Buffer(Kind.INPUT, self._bytes(info.dims, info.dtype), name)
            self.define(name, View(buffer, 0, info.dtype, info.dims, row_major(info.dims)))

    # ---- questions ----

    def attributes(self, node: Node) -> dict[str, Attribute]:
        """Return the node's attributes with ONNX's defaults filled in."""
        return find(node.op, node.domain).attributes(node.attributes, node.label)

    def info(self, name: str) -> Info:
        """Return type, shape and perhaps contents of a value."""
        return self.infos[name]

    def value(self, name: str) -> Array | None:
        """Return the contents of a value if they are known while planning."""
        if name in self.constants:
            return self.constants[name]
        known = self.infos[name].value if name in self.infos else None
        if known is None and name in self.quantized:
            codes = self.value(self.quantized[name].codes)
            if codes is not None:
                node = self.quantized[name].node
                given = [codes, *(self.value(n) for n in node.inputs[1:])]
                (known,) = evaluate(node.op, given, node.attributes, where=node.label)
                self.constants[name] = known
        return known

    def is_known(self, name: str) -> bool:
        """Whether the contents of a value are known while planning."""
        return name in self.constants or self.value(name) is not None

    def known(self, name: str) -> Array:
        """Return the contents of a value that `is_known`."""
        value = self.value(name)
        assert value is not None
        return value

    def optional(self, node: Node, index: int) -> str:
        """Return the name of input ``index``, "" if it is omitted."""
        return node.inputs[index] if index < len(node.inputs) else ""

    def consumers(self, name: str) -> list[Node]:
        """Return the nodes that read a value."""
        return self._consumers.get(name, [])

    def only_consumer(self, name: str) -> Node | None:
        """Return the one node that reads a value which nobody else needs."""
        readers = self._consumers.get(name, [])
        if len(readers) != 1 or name in self.outputs:
            return None
        return readers[0] if readers[0].inputs.count(name) == 1 else None

    def is_ready(self, name: str) -> bool:
        """Whether a value can be read by the record emitted next."""
        # A concatenation has memory as soon as the first of its parts is made.
        whole = name not in self.producers or id(self.producers[name]) in self.done
        made = any(name in held for held in self._named)
        return (made and whole) or self.is_known(name)

    def part(self, name: str) -> Part | None:
        """Return the place of a value inside the concatenation that reads it."""
        return None if name in self.outputs else self._parts.get(name)

    # ---- values ----

    def view(self, name: str) -> View:
        """Return where a value lies."""
        if name not in self.views:
            held = unread(self.constants)
            value = held[name] if name in held else self.value(name)
            if value is not None:
                self.views[name] = self.constant(value)
            elif name in self.quantized:
                self._dequantize(self.quantized[name], name)
            elif name in self.late:
                LOWERINGS["", "QuantizeLinear"](self, self.late[name])
            elif name in self.halves:
                rounded = self.halves[name]
                out = self.temp(rounded.shape, DType.FLOAT32, self.like(name))
                self.define(name, out)
                self.elementwise("cast", [rounded, out])
            else:
                raise KeyError(name)
        return self.views[name]

    def constant(self, array: Entry) -> View:
        """Return a view of constant data."""
        if not isinstance(array, Stored):
            array = np.asarray(array, order="C")
        buffer = Buffer(Kind.CONSTANT, array.nbytes, array=array)
        return View(buffer, 0, DType.of(array.dtype), array.shape, row_major(array.shape))

    def packed(self, name: str, key: Hashable, make: Callable[[Empty], Array]) -> View:
        """Return data made from the constant ``name``, such as packed weights, by ``make(empty)``.

        Made once per session if the constant is the graph's own; a value that was computed while
        planning may differ in the next plan.
        """
        held = self.quantized[name].codes if name in self.quantized else name
        if held.removesuffix(WIDE) not in self.stable:
            return self.constant(make(np.empty))
        return self.constant(self.weights.get((name, key), make))

    def define(self, name: str, view: View) -> None:
        """Say where a value lies (an alias of another value, or a new buffer)."""
        self.views[name] = view
        pending = len(self._consumers.get(name, [])) + (name in self.outputs)
        key = id(view.buffer)
        self._pending[key] = self._pending.get(key, 0) + pending

    def temp(self, shape: Sequence[int], dtype: DType, layout: Layout = row_major) -> View:
        """Return new arena memory for an intermediate result."""
        buffer = Buffer(Kind.ARENA, self._bytes(shape, dtype))
        return View(buffer, 0, dtype, tuple(shape), layout(shape))

    def defer(self, name: str, found: Quantized) -> None:
        """Let a float value be its codes until somebody reads it as floats."""
        self.quantized[name] = found
        self._floats.setdefault(found.codes, []).append(name)
        if found.codes in self.views:
            key = id(self.views[found.codes].buffer)
            readers = len(self._consumers.get(name, [])) + (name in self.outputs)
            self._pending[key] = self._pending.get(key, 0) + readers

    def output(
        self,
        name: str,
        layout: Layout = row_major,
        accepts: Accepts = lambda view: True,
        reuse: Sequence[str] = (),
    ) -> View:
        """Define a node's output and return the memory for it.

        In order of preference: its place inside the concatenation that reads it, its place in
        the caller's result, the memory of an input in ``reuse`` that dies here, the arena.

        Args:
            name: the output.
            layout: the strides to use if the choice is free.
            accepts: whether the kernel can write to a view.
            reuse: inputs (same dims) over which an elementwise kernel may write.
        """
        info = self.infos[name]
        found = self._part_of_concat(name, accepts) or self._result(name, layout, accepts)
        for other in reuse if found is None else ():
            found = found or self._reused(other, info, accepts)
        if found is None:
            found = self.temp(info.dims, info.dtype, layout)
        self.define(name, found)
        return found

    def like(self, *names: str) -> Layout:
        """Return the layout that keeps the storage order of the first full-size input."""
        for name in names:
            view = self.views.get(name, self.halves.get(name))
            if view is not None and view.buffer.kind is not Kind.CONSTANT and view.size > 1:
                order = storage_order(view.shape, view.strides)

                def layout(shape: Sequence[int], order: list[int] = order) -> tuple[int, ...]:
                    extra = len(shape) - len(order)
                    if extra < 0:
                        return row_major(shape)
                    full = [*range(extra), *(axis + extra for axis in order)]
                    return strides_in_order(shape, full)

                return layout
        return row_major

    # ---- records ----

    def emit(
        self,
        kernel: str,
        operands: Sequence[View | None],
        args: Sequence[int | float] = (),
        wide: Sequence[View] = (),
    ) -> None:
        """Append one record; ``wide`` as of `Record`."""
        if any(view is not None and len(view.shape) > 8 for view in operands):
            raise NotLowered("more than 8 dimensions")
        try:
            opcode(kernel)
        except NativeUnsupportedError as missing:
            raise NotLowered(str(missing)) from missing
        self.steps.append(Record(kernel, tuple(operands), tuple(args), self._label, tuple(wide)))

    def elementwise(
        self, kernel: str, operands: Sequence[View | None], args: Sequence[int | float] = ()
    ) -> None:
        """Append a record over operands broadcast to the last one, dimensions collapsed."""
        out = operands[-1]
        assert out is not None
        if out.size:
            wide = [None if view is None else view.expand(out.shape) for view in operands]
            self.emit(kernel, collapse(wide), args, [view for view in wide if view is not None])

    def elementwise_table(self, source: View, table: View, target: View) -> None:
        """Append a look-up of every byte of ``source`` in 256 entries."""
        if target.size:
            found = collapse([source, target])
            self.emit("lut_u8", [found[0], table, found[1]])

    def copy(self, source: View, target: View) -> None:
        """Copy elements between views of one shape."""
        self.elementwise("copy", [source, target])

    def contiguous(self, view: View, layout: Layout = row_major) -> View:
        """Return the same elements packed in ``layout``, copied if they are not yet."""
        wanted = layout(view.shape)
        same = all(
            size == 1 or have == want
            for size, have, want in zip(view.shape, view.strides, wanted, strict=True)
        )
        if same or not view.size:
            return view
        packed = self.temp(view.shape, view.dtype, layout)
        self.copy(view, packed)
        return packed

    def reshaped(self, view: View, shape: Sequence[int]) -> View:
        """Return the elements in another shape, copied only if no view can show them."""
        found = view.reshape(shape)
        if found is None:
            found = self.contiguous(view).reshape(shape)
            assert found is not None
        return found

    # ---- the walk ----

    def lower(self, node: Node, function: Callable[[Lowering, Node], None] | None) -> None:
        """Plan one node, by its lowering or else by its reference definition."""
        if id(node) in self.done:
            return
        before = len(self.steps)
        for journal in self._state:
            journal.mark()
        self._label = node.label
        try:
            if function is None:
                raise NotLowered("no kernel for this operator")
            if not self._on_codes(node):
                function(self, node)
        except (NotLowered, *OWN_ERRORS) as reason:
            # A defect, or attributes that make no sense: the definition then says which.
            del self.steps[before:]
            for journal in self._state:
                journal.undo()
            known = isinstance(reason, NotLowered)
            self.host(node, str(reason) if known else f"{FAILED} ({reason!r})")
        self.finish(node)

    def _on_codes(self, node: Node) -> bool:
        """Plan a node on codes, if an input has them and its operator can read them."""
        if node.domain or not any(name in self.quantized for name in node.inputs):
            return False
        integer = INTEGERS.get(node.op)
        return integer is not None and integer(self, node)

    def finish(self, node: Node) -> None:
        """Mark a node as planned: its inputs have one reader less."""
        if id(node) in self.done:
            return
        self.done[id(node)] = node
        for name in dict.fromkeys([*node.inputs, *captured(node)]):
            held = self.quantized[name].codes if name in self.quantized else name
            key = id(self.views[held].buffer) if held in self.views else 0
            if key in self._pending:
                self._pending[key] -= 1
            for large in (name, held) if held != name else (name,):
                if large in self.constants:
                    self._let_go(large)

    def _let_go(self, name: str) -> None:
        """Forget a large constant that every reader has packed or takes as it is."""
        if unread(self.constants)[name].nbytes < _LARGE or name in self.outputs:
            return
        names = [name, *self._floats.get(name, ())]
        if all(id(reader) in self.done for each in names for reader in self.consumers(each)):
            del self.constants[name]
            self.views.pop(name, None)
            self.infos[name] = replace(self.infos[name], value=None, stored=None)

    def results(self) -> None:
        """Bring every graph output into the caller's memory."""
        self._label = "output"
        for name in self.outputs:
            view = self.view(name)
            if view.buffer.kind is Kind.OUTPUT and view.buffer.name == name:
                continue
            info = self.infos[name]
            buffer = Buffer(Kind.OUTPUT, self._bytes(info.dims, info.dtype), name)
            layout = self.like(name) if self.options.any_strides else row_major
            target = View(buffer, 0, info.dtype, info.dims, layout(info.dims))
            if info.dtype.numpy.kind in "OV" and info.dtype is not DType.BFLOAT16:
                node = Node("Identity", [name], [name])
                self.steps.append(HostCall(node, (view,), (target,), (), "element type"))
            else:
                self.copy(view, target)
            self.views[name] = target

    # ---- inside ----

    def host(self, node: Node, reason: str) -> None:
        """Plan a node by its reference definition; outputs of unknown shape stay open."""
        inputs = tuple(self.view(name) if name else None for name in node.inputs)
        captures = tuple((name, self.view(name)) for name in captured(node))
        outputs: list[View | None] = []
        for name in node.outputs:
            known = name and self.info(name).shape is not None
            outputs.append(self.output(name) if known else None)
        self.steps.append(HostCall(node, inputs, tuple(outputs), captures, reason))

    @staticmethod
    def _bytes(shape: Sequence[int], dtype: DType) -> int:
        return prod(shape) * dtype.numpy.itemsize

    def _dequantize(self, found: Quantized, name: str) -> None:
        """Emit the record that makes the floats."""
        codes = self.view(found.codes)
        shape = [1] * len(codes.shape)
        if found.scale.size > 1:
            shape[found.axis] = found.scale.size
        scale, zero = (self.constant(a.reshape(shape)) for a in (found.scale, found.zero_point))
        out = self.temp(codes.shape, DType.FLOAT32, self.like(found.codes))
        self.define(name, out)
        self.elementwise("dequantize_linear", [codes, scale, zero, out])

    def _part_of_concat(self, name: str, accepts: Accepts) -> View | None:
        part = self.part(name)
        if part is None or part.whole in self.halves:
            return None
        whole = part.whole
        if whole not in self.views:
            info = self.infos[whole]
            if len(info.dims) == 4 and part.axis == 1:
                layout: Layout = channels_last
            else:
                layout = row_major
            self.output(whole, layout)
        view = self.views[whole].slice(part.axis, part.start, self.infos[name].dims[part.axis])
        return view if accepts(view) else None

    def _result(self, name: str, layout: Layout, accepts: Accepts) -> View | None:
        if name not in self.outputs:
            return None
        info = self.infos[name]
        buffer = Buffer(Kind.OUTPUT, self._bytes(info.dims, info.dtype), name)
        strides = (layout if self.options.any_strides else row_major)(info.dims)
        view = View(buffer, 0, info.dtype, info.dims, strides)
        return view if accepts(view) else None

    def _reused(self, other: str, info: Info, accepts: Accepts) -> View | None:
        view = self.views.get(other)
        if view is None or view.buffer.kind is not Kind.ARENA or view.shape != info.shape:
            return None
        if view.dtype is not info.dtype or self._pending.get(id(view.buffer)) != 1:
            return None
        if any(size > 1 and step == 0 for size, step in zip(view.shape, view.strides, strict=True)):
            return None
        return view if accepts(view) else None
