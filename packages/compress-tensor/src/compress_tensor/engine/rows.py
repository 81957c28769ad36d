"""Which values of a graph are computed row by row: image i of a batch by itself.

A value is *apart* along a dimension if that consists of as many equal pieces as there are rows, and
piece i depends on row i of the inputs alone.  What an operator does to such values is known for
those below; any other is taken to mix rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..backend.reference.common import axes_of, axis_of
from ..backend.reference.movement import slices
from ..backend.reference.pad import pad_amounts
from ..backend.reference.registry import find
from ..graph.graph import Array, Node, captured
from ..graph.rules.registry import Info
from .specialize import Specialized


@dataclass(frozen=True)
class Question:
    """Along which dimension are the outputs of a node apart that reads such values.

    Attributes:
        node: the operator.
        given: its inputs, None where one is omitted.
        along: the dimension along which each is apart, None for one that is the same for all rows.
        out: the shape of its first output.
        attributes: with their defaults.
        rows: how many there are.
    """

    node: Node
    given: Sequence[Info | None]
    along: Sequence[int | None]
    out: tuple[int, ...]
    attributes: Mapping[str, Any]
    rows: int

    def dims(self, i: int) -> tuple[int, ...]:
        """Return the shape of an input that is given."""
        info = self.given[i]
        assert info is not None
        return info.dims

    def numbers(self, i: int) -> list[int] | None:
        """Return the contents of an input that the operator takes its shape from."""
        info = self.given[i] if i < len(self.given) else None
        return None if info is None else [int(n) for n in info.need().reshape(-1)]

    @property
    def first(self) -> int | None:
        """The dimension of the first input, if the others are weights."""
        return self.along[0] if all(axis is None for axis in self.along[1:]) else None

    @property
    def axis(self) -> int:
        """The attribute of that name, counted from the front of the first input."""
        return axis_of(int(self.attributes["axis"]), len(self.dims(0)))


#: None: rows are mixed, or it is not known.
Rule = Callable[[Question], int | None]


def _aligned(q: Question, inputs: Sequence[int], rank: int) -> int | None:
    """Return where rows lie in an output of ``rank``, to which inputs are broadcast."""
    given = [(q.dims(i), q.along[i]) for i in inputs if q.given[i] is not None]
    found = {along + rank - len(dims) for dims, along in given if along is not None}
    if len(found) != 1:
        return None
    (axis,) = found
    behind = rank - axis
    shared = [dims for dims, along in given if along is None and len(dims) >= behind]
    return axis if all(dims[-behind] == 1 for dims in shared) else None


def _elementwise(q: Question) -> int | None:
    return _aligned(q, range(len(q.given)), len(q.out))


def _plane(q: Question) -> int | None:
    """Images come first; a second output would count over the batch, or is for training."""
    return 0 if q.first == 0 and not any(q.node.outputs[1:]) else None


def _other_axis(q: Question) -> int | None:
    """Whether the operator's axis is another one, and stays."""
    return None if q.first == q.axis else q.first


def _behind(q: Question) -> int | None:
    """Whether the operator works on the dimensions from its axis on."""
    return q.first if q.first is not None and q.first < q.axis else None


def _chosen(q: Question) -> int | None:
    if q.first is None or q.first == q.axis:
        return None
    return q.first - int(q.axis < q.first and not q.attributes["keepdims"])


def _quantized(q: Question) -> int | None:
    scale = q.dims(1)
    if prod(scale) == 1:
        return q.first
    return _other_axis(q) if len(scale) == 1 else None


def _in_order(q: Question) -> int | None:
    """Elements stay in their order: rows lie where as many elements are outside of them."""
    if q.first is None or not prod(q.out):
        return None
    outside = prod(q.dims(0)[: q.first])
    places = range(len(q.out))
    return next((i for i in places if prod(q.out[:i]) == outside and q.out[i] % q.rows == 0), None)


def _product(a: int, b: int, scalars: Sequence[int] = ()) -> Rule:
    """Return the rule of a product of inputs ``a`` and ``b``; ``scalars`` count for all rows."""

    def rule(q: Question) -> int | None:
        ranks, rank = [len(q.dims(i)) for i in (a, b)], len(q.out)
        others = [axis for i, axis in enumerate(q.along) if i not in (a, b)]
        if min(ranks) < 2 or any(axis is not None for axis in others):
            return None
        for i in scalars:
            info = q.given[i] if i < len(q.given) else None
            if info is not None and prod(info.dims) != 1:
                return None
        left, right = q.along[a], q.along[b]
        if left == ranks[0] - 2 and right is None:
            return rank - 2
        if any(
            axis is not None and axis >= n - 2 for axis, n in zip((left, right), ranks, strict=True)
        ):
            return None
        return _aligned(q, (a, b), rank)

    return rule


def _gemm(q: Question) -> int | None:
    added = q.given[2] if len(q.given) > 2 else None
    fits = added is None or len(added.dims) < 2 or added.dims[0] == 1
    return 0 if q.first == 0 and not q.attributes["transA"] and fits else None


def _transpose(q: Question) -> int | None:
    order = q.attributes["perm"] or range(len(q.out))[::-1]
    return None if q.first is None else list(order).index(q.first)


def _concat(q: Question) -> int | None:
    same = len(set(q.along)) == 1
    return q.along[0] if same and q.along[0] != q.axis else None


def _gather(q: Question) -> int | None:
    data, indices = q.along
    if data is None:
        return None if indices is None else q.axis + indices
    if indices is not None or data == q.axis:
        return None
    return data + (len(q.dims(1)) - 1 if q.axis < data else 0)


def _slice(q: Question) -> int | None:
    starts, ends = q.numbers(1), q.numbers(2)
    if q.first is None or starts is None or ends is None:
        return None
    taken = slices(q.dims(0), starts, ends, q.numbers(3), q.numbers(4))[q.first]
    whole = (taken.start, taken.stop, taken.step) == (0, q.dims(0)[q.first], 1)
    return q.first if whole else None


def _pad(q: Question) -> int | None:
    pads = q.numbers(1)
    if q.first is None or pads is None:
        return None
    none = pad_amounts(q.dims(0), pads, q.numbers(3))[q.first] == [0, 0]
    return q.first if none else None


def _expand(q: Question) -> int | None:
    if q.first is None:
        return None
    axis = q.first + len(q.out) - len(q.dims(0))
    return axis if q.out[axis] == q.dims(0)[q.first] else None


def _resize(q: Question) -> int | None:
    """Whether the dimension of rows is not among the resized ones."""
    crops = q.attributes["coordinate_transformation_mode"] == "tf_crop_and_resize"
    if q.first is None or crops:
        return None
    rank = len(q.dims(0))
    over = axes_of(q.attributes["axes"] or range(rank), rank)
    scales = q.given[2] if len(q.given) > 2 else None
    if q.first not in over:
        return q.first
    if scales is not None and prod(scales.dims) > 0:
        kept = float(scales.need().reshape(-1)[over.index(q.first)]) == 1.0
    else:
        same = q.dims(0)[q.first] == q.out[q.first]
        kept = q.attributes["keep_aspect_ratio_policy"] == "stretch" and same
    return q.first if kept else None


def _reduction(q: Question) -> int | None:
    axes = axes_of(q.numbers(1) or (), len(q.dims(0)))
    if q.first is None or not axes or q.first in axes:
        return None
    gone = 0 if q.attributes["keepdims"] else sum(axis < q.first for axis in axes)
    return q.first - gone


#: what becomes of rows, by operator
RULES: dict[str, Rule] = {
    **dict.fromkeys(
        [
            *("Abs", "Sign", "Neg", "Relu", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Round"),
            *("Sin", "Sqrt", "Tanh", "Reciprocal", "LeakyRelu", "Elu", "Celu", "Selu"),
            *("HardSigmoid", "HardSwish", "Sigmoid", "Softplus", "Softsign", "Gelu", "Mish"),
            *("Swish", "Identity", "Not", "IsNaN", "IsInf", "Add", "Sub", "Mul", "Div", "Mod"),
            *("And", "Or", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
            *("Pow", "Max", "Min", "Sum", "Mean", "Where", "Clip", "PRelu", "Cast"),
        ],
        _elementwise,
    ),
    **dict.fromkeys(
        [
            *("Conv", "ConvInteger", "QLinearConv", "ConvTranspose", "BatchNormalization"),
            *("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LRN"),
            *("InstanceNormalization", "GroupNormalization", "DepthToSpace", "SpaceToDepth"),
        ],
        _plane,
    ),
    **dict.fromkeys(["Softmax", "LogSoftmax", "TopK", "Split"], _other_axis),
    **dict.fromkeys(["LayerNormalization", "RMSNormalization"], _behind),
    **dict.fromkeys(["ArgMax", "ArgMin"], _chosen),
    **dict.fromkeys(["QuantizeLinear", "DequantizeLinear"], _quantized),
    **dict.fromkeys(["Reshape", "Flatten", "Squeeze", "Unsqueeze"], _in_order),
    **dict.fromkeys(
        ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare"],
        _reduction,
    ),
    "MatMul": _product(0, 1),
    "MatMulInteger": _product(0, 1, (2,)),
    "QLinearMatMul": _product(0, 3, (1, 2, 6, 7)),
    "Gemm": _gemm,
    "Expand": _expand,
    "Resize": _resize,
    "Transpose": _transpose,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    "Pad": _pad,
}

#: inputs that say what shape the output has: they may differ between one row and many
_SHAPES = {("Reshape", 1), ("Expand", 1), ("Resize", 3)}


@dataclass(frozen=True)
class Rows:
    """A graph bound to many rows and to fewer, side by side.

    Attributes:
        many: the graph for all rows.
        few: the same for fewer.
        rows: of ``many``.
        part: rows of ``few``.
    """

    many: Specialized
    few: Specialized
    rows: int
    part: int

    def apart(self, inputs: Sequence[str]) -> dict[str, int] | None:
        """Return the values that are apart, with the dimension along which they are.

        Args:
            inputs: of the graph; those whose first dimension is the number of rows hold them.

        Returns:
            None if rows are mixed somewhere, or it is not known, or ``few`` does not compute
            ``part`` rows as ``many`` does them.
        """
        infos = self.many.infos
        found = {name: 0 for name in inputs if infos[name].dims[:1] == (self.rows,)}
        left = deque(self.few.nodes)
        for node in self.many.nodes:
            folded = all(name in self.few.constants for name in node.outputs if name)
            if not folded and not (left and _same(node, left.popleft())):
                return None
            if not self._read_alike(node, found):
                return None
            if any(name in found for name in node.inputs):
                axis = self._asked(node, found)
            else:
                axis = self._spread(node)
                if axis is None and not folded:
                    continue  # the same for all rows
            if axis is None or not all(self._fits(name, axis) for name in node.outputs if name):
                return None
            found.update((name, axis) for name in node.outputs if name)
        return None if left else found

    def _asked(self, node: Node, found: Mapping[str, int]) -> int | None:
        rule = RULES.get(node.op) if not node.domain else None
        if rule is None:
            return None
        infos = self.many.infos
        given = [infos[name] if name else None for name in node.inputs]
        known = find(node.op, node.domain).attributes(node.attributes, node.label)
        along = [found.get(name) for name in node.inputs]
        return rule(Question(node, given, along, infos[node.outputs[0]].dims, known, self.rows))

    def _spread(self, node: Node) -> int | None:
        """Return along which dimension a node repeats something as often as there are rows."""
        if node.op != "Expand" or node.domain:
            return None
        data, out = self.many.infos[node.inputs[0]].dims, self.many.infos[node.outputs[0]].dims
        axis = _differing(out, self.few.infos[node.outputs[0]].dims)
        own = -1 if axis is None else axis - len(out) + len(data)
        return axis if own < 0 or data[own] == 1 else None

    def _fits(self, name: str, axis: int) -> bool:
        """Whether a value of ``few`` is as large as pieces of that of ``many`` along an axis."""
        many, few = self.many.infos[name].dims, self.few.infos[name].dims
        size = many[axis]
        small = (*many[:axis], size // self.rows * self.part, *many[axis + 1 :])
        return size % self.rows == 0 and few == small

    def _read_alike(self, node: Node, found: dict[str, int]) -> bool:
        """Whether a node reads the same constants in both; one of equal rows counts as apart.

        Such a one is a row that was expanded to the size of the batch while shapes were inferred.
        """
        many, few = self.many.constants, self.few.constants
        for i, name in enumerate(node.inputs):
            if name in found or (name not in many and name not in few):
                continue
            if name not in many or name not in few:
                return False
            a, b = many[name], few[name]
            if a is b or _equal(a, b) or (node.op, i) in _SHAPES:
                continue
            axis = _differing(a.shape, b.shape)
            if axis is None or not self._fits(name, axis) or not self._repeats(a, b, axis):
                return False
            found[name] = axis
        return True

    def _repeats(self, a: Array, b: Array, axis: int) -> bool:
        """Whether arrays consist of equal pieces, one for each row."""
        piece = np.take(a, range(a.shape[axis] // self.rows), axis)
        return all(
            _equal(array, np.concatenate([piece] * times, axis))
            for array, times in ((a, self.rows), (b, self.part))
        )


def _differing(a: Sequence[int], b: Sequence[int]) -> int | None:
    """Return the one dimension in which two shapes differ."""
    if len(a) != len(b):
        return None
    found = [i for i, (m, n) in enumerate(zip(a, b, strict=True)) if m != n]
    return found[0] if len(found) == 1 else None


def _same(node: Node, other: Node) -> bool:
    """Whether two nodes do the same; one that reads values from inside its graphs may not."""
    alike = (node.op, node.inputs, node.outputs) == (other.op, other.inputs, other.outputs)
    mine, theirs = node.attributes, other.attributes
    given = mine.keys() == theirs.keys() and all(mine[key] is theirs[key] for key in mine)
    return alike and given and not captured(node)


def _equal(a: Array, b: Array) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
