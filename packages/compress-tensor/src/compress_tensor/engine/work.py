"""What the nodes of a specialised graph compute and move, roughly, before they are planned."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..graph.graph import Node
from ..graph.work import bytes_of, macs_of
from .specialize import Specialized

#: operators that the node before them does on the way, if nobody else reads its result
_ON_THE_WAY = {
    *("Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Gelu", "LeakyRelu", "Tanh"),
    *("QuantizeLinear", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity"),
}


@dataclass(frozen=True)
class Work:
    """Of one node.

    Attributes:
        macs: multiply-accumulates.
        moved: bytes that it reads and writes, without weights.
        weights: bytes of the constants that it multiplies with.
        itemsize: bytes of one element of them.
    """

    macs: int
    moved: int
    weights: int
    itemsize: int


def work_of(part: Specialized) -> list[Work]:
    """Return the work of every node that is not done on the way by the one before it."""
    return _Walk(part).works()


class _Walk:
    def __init__(self, part: Specialized) -> None:
        self.part = part
        self.readers: dict[str, list[Node]] = {}
        self.maker = {name: node for node in part.nodes for name in node.outputs if name}
        for node in part.nodes:
            for name in dict.fromkeys(node.inputs):
                self.readers.setdefault(name, []).append(node)
        self.written: dict[str, int] = {}
        for node in reversed(part.nodes):
            for name in filter(None, node.outputs):
                self.written[name] = self._written(name)

    def _written(self, name: str) -> int:
        """Return the bytes of a result, or of what the node after it makes of it on the way."""
        readers = self.readers.get(name, [])
        if len(readers) == 1 and readers[0].op in _ON_THE_WAY and readers[0].inputs[0] == name:
            return self.written[readers[0].outputs[0]]
        return bytes_of(self.part.infos[name])

    def _stored(self, name: str) -> str:
        """Return the codes of a value that is only dequantized, else its own name."""
        maker = self.maker.get(name)
        return maker.inputs[0] if maker is not None and maker.op == "DequantizeLinear" else name

    def works(self) -> list[Work]:
        """Return the work of every node."""
        infos, constants = self.part.infos, self.part.constants
        found = []
        for node in self.part.nodes:
            if node.op == "DequantizeLinear" or node.op in _ON_THE_WAY:
                continue
            given = [infos[name] if name else None for name in node.inputs]
            macs = macs_of(node, given, [infos[name] for name in node.outputs if name])
            stored = [self._stored(name) for name in dict.fromkeys(node.inputs) if name]
            read = [name for name in stored if name not in constants]
            moved = sum(bytes_of(infos[name]) for name in read)
            moved += sum(self.written[name] for name in node.outputs if name)
            weights = [name for name in stored if name in constants] if macs else []
            largest = max(weights, key=lambda name: prod(infos[name].dims), default="")
            size = infos[largest].dtype.numpy.itemsize if largest else 4
            found.append(Work(macs, moved, bytes_of(infos[largest]) if largest else 0, size))
        return found
