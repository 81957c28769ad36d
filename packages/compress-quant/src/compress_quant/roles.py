"""What a node can be in a quantized graph: the tables of operators, and the site of one node."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from compress_tensor import Node

#: move values without changing them; input and output share a scale
MOVES = frozenset(
    {
        *("MaxPool", "GlobalMaxPool", "Concat", "Reshape", "Transpose", "Flatten", "Slice"),
        *("Squeeze", "Unsqueeze", "Identity", "Split", "Expand", "Gather", "Pad", "Resize"),
        *("DepthToSpace", "SpaceToDepth", "Tile"),
    }
)
COMBINES = frozenset({"Add", "Mul"})
POOLS = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean", "Resize"})
#: functions of one value: 256 codes in, so a table of 256 codes says all
TABLES = frozenset(
    {
        *("Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "Gelu", "HardSwish", "HardSigmoid"),
        *("Elu", "Selu", "Celu", "Softplus", "Softsign", "Mish", "Erf", "Neg", "Abs"),
    }
)
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
#: rows of a constant: only the constant becomes codes
LOOKUPS = frozenset({"Gather"})
TAIL = frozenset({"Relu", "Clip"})


class Kind(str, Enum):
    """What a quantized node does."""

    PRODUCT = "product"
    COMBINE = "combine"
    MOVE = "move"
    POOL = "pool"
    TABLE = "table"
    LOOKUP = "lookup"


@dataclass
class Site:
    """A node that computes in integers.

    Attributes:
        node: it.
        kind: what it does.
        activations: positions of the inputs that are codes at run time.
        weight: position of the constant that is quantized, or None.
        axis: of the weight, one scale per index; None: one scale.
        bias: the node (this one, or the Add behind a MatMul) and position of a constant bias.
        tail: nodes behind it that it swallows, in order.
    """

    node: Node
    kind: Kind
    activations: list[int]
    weight: int | None = None
    axis: int | None = None
    bias: tuple[Node, int] | None = None
    tail: list[Node] = field(default_factory=list)

    @property
    def reads(self) -> list[str]:
        """The values it reads as codes."""
        return [self.node.inputs[i] for i in self.activations]

    @property
    def makes(self) -> list[str]:
        """The values at its end."""
        last = self.tail[-1] if self.tail else self.node
        return [name for name in last.outputs if name]
