"""Random networks with quantized values: QuantizeLinear, DequantizeLinear pairs put in."""

from __future__ import annotations

import numpy as np
from random_networks import Network

from compress_tensor import DType, Graph, Node, Value

#: operator -> axis of the output channels in its constant
WEIGHTED = {"Conv": 0, "ConvTranspose": 1, "MatMul": 1, "Gemm": 0}
#: operators whose results lie on the grid of their input
MOVING = (
    "Relu",
    "Clip",
    "MaxPool",
    "ReduceMax",
    "Reshape",
    "Transpose",
    "Slice",
    "Gather",
    "Split",
)


def quantized(net: Network, share: float) -> tuple[Graph, list[str]]:
    """Return the network with codes between its layers, and the names of its result's codes.

    Args:
        net: the float network, whose values say how wide the ranges are.
        share: of the values inside that get codes; results always do.
    """
    rng, made = net.rng, Quantizer(net)
    results = net.leaves()[-2:]
    made.value("x")
    for node in net.nodes:
        copy = node.copy()
        copy.inputs = [made.renamed.get(name, name) for name in node.inputs]
        if node.op in WEIGHTED and node.inputs[1] in net.constants:
            made.weights(copy, node)
        made.nodes.append(copy)
        for name in node.outputs:
            if name in results or rng.random() < share:
                made.value(name, node)
    codes = [f"{name}_codes" for name in results]
    graph = Graph(
        nodes=made.nodes,
        inputs=[Value("x", DType.FLOAT32, ("N", *net.arrays["x"].shape[1:]))],
        outputs=[Value(name) for name in codes],
        constants=made.constants,
    )
    return graph, codes


class Quantizer:
    """The nodes and constants of the quantized network so far."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.nodes: list[Node] = []
        self.constants = dict(net.constants)
        self.renamed: dict[str, str] = {}
        self.scales: dict[str, np.ndarray] = {}
        self.grids: dict[str, list[str]] = {}

    def constant(self, array: np.ndarray) -> str:
        """Return the name of a new constant."""
        name = f"q{len(self.constants)}"
        self.constants[name] = array
        return name

    def value(self, name: str, node: Node | None = None) -> None:
        """Put codes of 8 bits behind a value, on a grid that covers its range.

        The grid is coarser than those of what it is made from: a step there is no more than one
        here.  The factor keeps sums and means of codes off the borders between codes.
        """
        array, rng = self.net.arrays[name], self.net.rng
        low, high = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
        kind = np.uint8 if rng.random() < 0.75 else np.int8
        least = int(np.iinfo(kind).min)
        below = [float(self.scales[n]) for n in (node.inputs if node else []) if n in self.scales]
        finest = max(below, default=1e-3) * 1.0371
        scale = np.float32(max((high - low) / 255, finest))
        zero = int(np.clip(round(least - low / float(scale)), least, least + 255))
        if kind is np.int8 and rng.integers(2):
            scale, zero = np.float32(max(max(-low, high) / 127, finest)), 0
        self.scales[name] = np.array(scale)
        grid = [self.constant(np.array(scale)), self.constant(np.array(zero, kind))]
        if node is not None and node.op in MOVING and node.inputs[0] in self.grids:
            grid = self.grids[node.inputs[0]]
            self.scales[name] = self.scales[node.inputs[0]]
        self.grids[name] = grid
        self.nodes += [
            Node("QuantizeLinear", [name, *grid], [f"{name}_codes"]),
            Node("DequantizeLinear", [f"{name}_codes", *grid], [f"{name}_again"]),
        ]
        self.renamed[name] = f"{name}_again"

    def weights(self, copy: Node, node: Node) -> None:
        """Store weights as signed bytes, per channel or per tensor, and perhaps the bias as s32."""
        array, rng = self.constants[node.inputs[1]], self.net.rng
        axis = WEIGHTED[node.op]
        given = node.attributes.get("group", 1)
        per_channel = rng.random() < 0.8 and (node.op != "ConvTranspose" or given == 1)
        others = tuple(i for i in range(array.ndim) if i != axis)
        most = np.abs(array).max(axis=others if per_channel else None)
        scale = np.maximum(most / 127, 1e-4).astype(np.float32)
        shape = [-1 if i == axis else 1 for i in range(array.ndim)]
        spread = scale.reshape(shape) if per_channel else scale
        codes = np.clip(np.rint(array / spread), -128, 127).astype(np.int8)
        grid = [self.constant(scale), self.constant(np.zeros(scale.shape, np.int8))]
        name = f"{copy.outputs[0]}_weights"
        attributes = {"axis": axis} if per_channel else {}
        self.nodes.append(
            Node("DequantizeLinear", [self.constant(codes), *grid], [name], attributes)
        )
        copy.inputs[1] = name
        if len(copy.inputs) > 2 and node.inputs[0] in self.scales and rng.integers(2):
            bias_scale = np.atleast_1d(self.scales[node.inputs[0]] * scale).astype(np.float32)
            bias = self.constants[node.inputs[2]]
            found = np.rint(bias / bias_scale).clip(-(2**30), 2**30).astype(np.int32)
            bias_scale = bias_scale if per_channel else bias_scale.reshape(())
            inputs = [self.constant(found), self.constant(bias_scale)]
            given = {"axis": 0} if per_channel else {}
            self.nodes.append(Node("DequantizeLinear", inputs, [f"{name}_bias"], given))
            copy.inputs[2] = f"{name}_bias"
