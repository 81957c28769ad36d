"""Half precision computed in float32: the kernels are float32, the files may be float16.

float16 and bfloat16 values are kept as float32 inside a plan.  They are rounded to their own
type where the graph says so (Cast) and where they leave the plan; other intermediate results are
more precise than a float16 engine's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..backend.reference.registry import evaluate
from ..dtype import DType
from ..graph.graph import Array, Node, captured
from ..graph.rules.registry import Info
from .lower.elementwise import BINARY, UNARY
from .lower.reduce import FUNCTIONS
from .lowering import WIDE

HALVES = frozenset({DType.FLOAT16, DType.BFLOAT16})
_FLOAT = int(DType.FLOAT32)

#: operators whose float32 form differs from their float16 form in rounding only
WIDENED = frozenset(
    {
        *UNARY,
        *FUNCTIONS,
        *(op for op in BINARY if not op.startswith("Bitwise")),
        *("Add", "Sum", "Mean", "Mod", "Where", "Clip", "Gelu", "IsNaN", "IsInf"),
        *("Conv", "ConvTranspose", "MatMul", "Gemm", "MaxPool", "AveragePool"),
        *("GlobalAveragePool", "GlobalMaxPool", "Softmax", "LogSoftmax", "LayerNormalization"),
        *("InstanceNormalization", "GroupNormalization", "BatchNormalization", "LRN"),
        *("LpNormalization", "RMSNormalization", "Identity", "Dropout", "Reshape", "Flatten"),
        *("Squeeze", "Unsqueeze", "Transpose", "Expand", "Slice", "Split", "Concat", "Tile"),
        *("Pad", "DepthToSpace", "SpaceToDepth", "Trilu", "Gather", "GatherElements"),
        *("GatherND", "ScatterElements", "ScatterND", "Resize", "CumSum", "TopK", "ArgMax"),
        *("ArgMin", "LSTM", "GRU", "RNN"),
    }
)


@dataclass
class _Widening:
    infos: dict[str, Info]
    constants: dict[str, Array]
    nodes: list[Node] = field(default_factory=list)
    wide: dict[str, str] = field(default_factory=dict)
    half: set[str] = field(default_factory=set)  #: half values that exist as such

    def is_half(self, name: str) -> bool:
        return bool(name) and self.infos[name].dtype in HALVES

    def widened(self, name: str) -> str:
        """Return the name of the float32 form of a half value, making it if need be."""
        if name not in self.wide:
            wide = name + WIDE
            self.wide[name] = wide
            self._declare(name, wide)
            if name in self.constants:
                (array,) = evaluate("Cast", [self.constants[name]], {"to": _FLOAT})
                self.constants[wide] = array
                self.infos[wide] = replace(self.infos[wide], value=array)
            else:
                self.nodes.append(Node("Cast", [name], [wide], {"to": _FLOAT}))
        return self.wide[name]

    def narrowed(self, name: str) -> str:
        """Return the half value itself, making it from its float32 form if need be."""
        if name in self.wide and name not in self.half and name not in self.constants:
            to = {"to": int(self.infos[name].dtype)}
            self.nodes.append(Node("Cast", [self.wide[name]], [name], to))
            self.half.add(name)
        return name

    def _declare(self, name: str, wide: str) -> None:
        info = self.infos[name]
        self.infos[wide] = Info(DType.FLOAT32, info.shape, None, wide)

    def add(self, node: Node) -> None:
        """Append a node, in float32 where that is allowed."""
        if node.domain or node.op not in WIDENED:
            for name in [*node.inputs, *captured(node)]:
                if self.is_half(name):
                    self.narrowed(name)
            self.nodes.append(node)
            self.half.update(name for name in node.outputs if self.is_half(name))
            return
        copy = node.copy()
        copy.inputs = [self.widened(n) if self.is_half(n) else n for n in node.inputs]
        for i, name in enumerate(node.outputs):
            if self.is_half(name):
                self.wide[name] = copy.outputs[i] = name + WIDE
                self._declare(name, copy.outputs[i])
        self.nodes.append(copy)


def widen(
    nodes: list[Node], infos: dict[str, Info], constants: dict[str, Array], outputs: list[str]
) -> list[Node]:
    """Return the nodes with half-precision arithmetic done in float32.

    Args:
        nodes: specialised; infos and constants are extended with the float32 forms.
        infos: of every value.
        constants: contents known while planning.
        outputs: values that must exist in their own type.
    """
    names = {n for node in nodes for n in [*node.inputs, *node.outputs] if n}
    if not any(infos[name].dtype in HALVES for name in names):
        return nodes
    found = _Widening(infos, constants)
    for node in nodes:
        found.add(node)
    for name in outputs:
        if infos[name].dtype in HALVES:
            found.narrowed(name)
    return found.nodes


__all__ = ["HALVES", "WIDENED", "widen"]
