"""Trainable: a Graph under the tape, its float constants being the parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from compress_tensor import Graph, InputError, Node, Tensor
from compress_tensor.graph.graph import Array
from compress_tensor.graph.stored import unread
from compress_tensor.graph.support import require_operators
from compress_tensor.random import Generator
from compress_tensor.recycle import Kept

from . import fused
from .checkpoint import Segment, parse_memory, plan_segments, run_segments
from .layers import BatchNorm, dropout
from .nodes import Operator, Runner, Value, device, host, steps_of
from .tape import is_grad_enabled, no_grad

#: operands that are never parameters, by operator (None: all of them)
_FIXED: dict[str, tuple[int, ...] | None] = {
    "BatchNormalization": (3, 4),
    "Resize": (1, 2, 3),
    "Pad": (2,),
    **dict.fromkeys(["Clip", "QuantizeLinear", "DequantizeLinear", "Dropout"], (1, 2)),
    **dict.fromkeys(
        ["Div", "Pow", "Where", "Range", "OneHot", "Max", "Min", "RotaryEmbedding"], None
    ),
}
#: operands that are parameters even if they are one number
_WEIGHTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(["Conv", "ConvTranspose", "Gemm"], (1, 2)),
    "MatMul": (0, 1),
    **dict.fromkeys(["LayerNormalization", "InstanceNormalization"], (1, 2)),
    **dict.fromkeys(["BatchNormalization", "GroupNormalization"], (1, 2)),
    **dict.fromkeys(["RMSNormalization", "PRelu"], (1,)),
    **dict.fromkeys(["LSTM", "GRU", "RNN"], (1, 2, 3)),
    "Gather": (0,),
}
_LOWEST = -1e4  #: masks hold such numbers, weights do not


def trainable_constants(graph: Graph) -> list[str]:
    """Return the float constants of a graph that are weights, in the graph's order.

    Every float constant that a node computes with is one, except: single numbers in arithmetic
    (the 8 in ``x / 8``), bounds, scales of quantization and resizing, divisors and exponents,
    running statistics, and masks (numbers below -10,000).
    """
    found: dict[str, bool] = {}
    for node in graph.nodes:
        fixed = _FIXED.get(node.op, ())
        for n, name in enumerate(node.inputs):
            array = graph.constants.get(name)
            if array is None or array.dtype not in (np.float32, np.float64):
                continue
            weight = n in _WEIGHTS.get(node.op, ()) or array.size > 1
            masks = bool(array.size) and not float(array.min()) > _LOWEST
            good = weight and not masks and fixed is not None and n not in fixed
            found[name] = found.get(name, True) and good
    return [name for name in graph.constants if found.get(name)]


class Trainable(Runner):
    """A graph that runs under the tape.

    ::

        model = Trainable(graph)
        optimizer = SGD(model.parameters, lr=0.1, momentum=0.9)
        loss = cross_entropy(model({"input": images})["logits"], labels)
        loss.backward()
        optimizer.step()
        trained = model.graph()

    Args:
        graph: the model; it is not changed.
        parameters: names (or patterns such as ``"*.weight"``) of the constants to train; by
            default those of `trainable_constants`.
        frozen: names or patterns of constants to leave as they are.
        operators: functions of (node, operands) that replace operators, or define those of other
            domains (``"domain::op"``).
        seed: of dropout.
        memory: what weights, gradients and activations of a step may take, in bytes or as in
            ``"2GB"`` (the optimizer's state comes on top); None: as much as there is.
        checkpointing: whether activations are computed again where they do not fit ``memory``;
            gradients are the same bytes.

    Attributes:
        parameters: tensors by name.
        buffers: running statistics of batch normalisations, by name.
        inputs: names of what a call is given.
        outputs: names of what it returns.
        steps: the nodes, some of them fused (see `fused`).
        training: whether batch normalisation takes the batch's statistics, and dropout drops.

    Raises:
        InputError: if a name matches no float constant.
        UnsupportedError: naming every operator without definition.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        parameters: Iterable[str] | None = None,
        frozen: Iterable[str] = (),
        operators: Mapping[str, Operator] | None = None,
        seed: int = 0,
        memory: str | float | None = None,
        checkpointing: bool = True,
    ) -> None:
        own: dict[str, Operator] = {
            "BatchNormalization": self._batch_norm,
            fused.NORMALISED: self._batch_norm,
            "Dropout": self._dropout,
        }
        super().__init__({**own, **fused.OPERATORS, **(operators or {})})
        graph.check()
        if not operators:
            require_operators(graph)
        self._graph = graph.copy()
        self.training = True
        self.generator = Generator(seed)
        self._budget = None if memory is None else parse_memory(memory)
        self._checkpointing = checkpointing
        self._segments: dict[object, list[Segment]] = {}
        self._replaying = False
        self._memory = Kept()  # activations of a step lie where those of the last one did
        names = trainable_constants(graph) if parameters is None else _match(graph, parameters)
        kept = set(_match(graph, frozen))
        self.parameters: dict[str, Tensor] = {}
        for name in names:
            if name not in kept:
                tensor = Tensor(graph.constants[name])
                tensor.requires_grad = True
                self.parameters[name] = tensor
        statistics = {
            name: True
            for node in graph.nodes
            if node.op == "BatchNormalization"
            for name in node.inputs[3:5]
            if name in graph.constants
        }
        self.buffers = {name: Tensor(graph.constants[name]) for name in statistics}
        self.inputs = [value.name for value in graph.inputs]
        self.outputs = [value.name for value in graph.outputs]
        held = {*graph.constants, *self.outputs}
        nodes = fused.fused_nodes(self._graph, self.parameters, operators or {})
        self.steps = steps_of(nodes, held)
        self._fixed: dict[str, Value] = {
            name: array if array.size <= 64 and array.dtype.kind in "iub" else device(array)
            for name, array in graph.constants.items()
            if name not in self.parameters and name not in self.buffers and array.dtype != object
        }
        # What training changes is held once, as a tensor.
        for name in (*self.parameters, *self.buffers):
            self._graph.constants[name] = np.empty(0, np.float32)

    def __call__(self, feeds: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the outputs for inputs (arrays or tensors), recorded on the tape.

        Raises:
            InputError: if an input is missing or unknown.
        """
        values = self.start(feeds)
        if self._budget is None or not is_grad_enabled():
            self.run(self.steps, values)
        else:
            run_segments(self, self.segments(feeds), values)
        return {name: device(values[name]) for name in self.outputs}

    def segments(self, feeds: Mapping[str, Any]) -> list[Segment]:
        """Return how the graph is cut for inputs like these (see `checkpoint`).

        Raises:
            BudgetError: if a step does not fit ``memory``.
        """
        if self._budget is None:
            return [Segment(self.steps, (), (), again=False)]
        key = tuple((name, tuple(np.shape(value))) for name, value in sorted(feeds.items()))
        if key not in self._segments:
            again = self._checkpointing
            self._segments[key] = plan_segments(self, feeds, self._budget, recompute=again)
        return self._segments[key]

    @contextmanager
    def replaying(self, position: int | None = None) -> Iterator[None]:
        """Within this context, running changes neither statistics nor what dropout draws next."""
        before, self.generator = (
            self.generator,
            Generator(
                self.generator.seed, self.generator.position if position is None else position
            ),
        )
        outer, self._replaying = self._replaying, True
        try:
            yield
        finally:
            self.generator, self._replaying = before, outer

    def start(self, feeds: Mapping[str, Any]) -> dict[str, Value]:
        """Return what is known before the first node."""
        for name in [*feeds, *self.inputs]:
            if name not in feeds or name not in self.inputs:
                what = "is missing" if name in self.inputs else "does not exist"
                raise InputError(f"input {name!r} {what}; the inputs are {', '.join(self.inputs)}")
        return {**self._fixed, **self.parameters, **self.buffers, **feeds}

    def train(self, mode: bool = True) -> Trainable:
        """Behave as in training (or not); returns itself."""
        self.training = mode
        return self

    def eval(self) -> Trainable:
        """Behave as in inference; returns itself."""
        return self.train(False)

    def graph(self) -> Graph:
        """Return the graph with the constants as they are now; what is not trained is shared."""
        found = self._graph.copy()
        for name, tensor in {**self.parameters, **self.buffers}.items():
            found.constants[name] = tensor.numpy().copy()
        return found

    def state(self) -> dict[str, Array]:
        """Return everything that training changes, as arrays by name."""
        held = {**self.parameters, **self.buffers}
        found = {name: tensor.numpy().copy() for name, tensor in held.items()}
        found["/dropout"] = np.array([self.generator.seed, self.generator.position], np.uint64)
        return found

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state` returned.

        Raises:
            InputError: if it belongs to another model.
        """
        held = {**self.parameters, **self.buffers}
        if set(state) != {*held, "/dropout"}:
            other = next(iter(sorted(set(state) ^ {*held, "/dropout"})))
            raise InputError(
                f"the state belongs to another model: {other!r} is only in one of them"
            )
        for name, tensor in held.items():
            if state[name].shape != tensor.shape or state[name].dtype != tensor.dtype.numpy:
                raise InputError(
                    f"the state belongs to another model: {name!r} has shape "
                    f"{list(state[name].shape)}, not {list(tensor.shape)}"
                )
        with no_grad():
            for name, tensor in held.items():
                tensor.copy_(state[name])
        seed, position = (int(n) for n in state["/dropout"])
        self.generator = Generator(seed, position)

    def _batch_norm(self, node: Node, *given: Value) -> Any:
        x, scale, bias, mean, variance, *more = (device(v) for v in given)
        epsilon = float(node.attributes.get("epsilon", 1e-5))
        if not self.training:
            factor = scale / (variance + epsilon) ** 0.5
            wide = (-1, *[1] * (x.ndim - 2))
            y = x * factor.reshape(wide) + (bias - mean * factor).reshape(wide)
            return fused.followed(node, y, more)
        inside = all(each.shape == x.shape for each in more)
        layer = BatchNorm(epsilon, relu=inside and fused.has_relu(node))
        y = layer(x, scale, bias, *(more if inside else ()))
        y = y if inside else fused.followed(node, y, more)
        keep = float(node.attributes.get("momentum", 0.9))
        self._note(node.inputs[3], layer.mean, keep)
        self._note(node.inputs[4], layer.variance, keep)
        return y

    def _note(self, name: str, now: Tensor, keep: float) -> None:
        """Let a running statistic follow what a batch had."""
        if name in self.buffers and not self._replaying:
            self.buffers[name] = self.buffers[name] * keep + now * (1 - keep)

    def _dropout(self, node: Node, x: Value, ratio: Value = None, mode: Value = None) -> Any:
        share = 0.5 if ratio is None else float(host(ratio).reshape(-1)[0])
        if not self.training:
            return (device(x),)
        return (dropout(device(x), share, self.generator),)


def _match(graph: Graph, patterns: Iterable[str]) -> list[str]:
    """Return the float constants that names or patterns mean.

    Raises:
        InputError: if one means none.
    """
    held = unread(graph.constants).items()
    floats = [n for n, array in held if array.dtype in (np.float32, np.float64)]
    found: dict[str, bool] = {}
    for pattern in patterns:
        hits = [n for n in floats if n == pattern or fnmatchcase(n, pattern)]
        if not hits:
            raise InputError(f"{pattern!r} is no float constant of the graph")
        found.update(dict.fromkeys(hits, True))
    return [name for name in floats if name in found]
