"""LSTM, GRU and RNN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ...dtype import DType
from ...graph.graph import Array, Node
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View
from ..weights import Empty
from . import half_products
from .elementwise import UNARY
from .matrix import floats, pack, packed_matrix

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_FUNCTIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
_DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
DIRECTIONS = {"forward": 0, "reverse": 1, "bidirectional": 2}
#: alpha and beta that ONNX gives an activation which names none
_PARAMETERS = {
    "LeakyRelu": (0.01, 0.0),
    "ThresholdedRelu": (1.0, 0.0),
    "Affine": (1.0, 0.0),
    "ScaledTanh": (1.0, 1.0),
    "HardSigmoid": (0.2, 0.5),
    "Elu": (1.0, 0.0),
}
CODES = {name.lower(): code for name, (code, _) in UNARY.items()} | {
    "affine": 40,
    "scaledtanh": 41,
}


@lower("LSTM", "GRU", "RNN")
def recurrent(ctx: Lowering, node: Node) -> None:
    """Plan a whole recurrent layer as one record."""
    op = node.op
    names = [ctx.optional(node, i) for i in range(8 if op == "LSTM" else 6)]
    floats(ctx, *names[:4], *names[5:])
    attributes = ctx.attributes(node)
    direction = str(attributes["direction"])
    require(direction in DIRECTIONS, f"direction {direction}")
    half = ctx.options.half and not any(name in ctx.quantized for name in names[1:3])
    w, r = (packed_weights(ctx, name, _GATES[op], half=half) for name in names[1:3])
    layout = int(attributes["layout"])
    x = ctx.view(names[0])
    x = x.transpose((1, 0, 2)) if layout else x
    parts: list[View | None] = [ctx.contiguous(ctx.view(names[3])) if names[3] else None]
    parts.append(lengths(ctx, names[4]))
    for name in names[5:7]:
        state = ctx.view(name) if name else None
        parts.append(state.transpose((1, 0, 2)) if layout and state is not None else state)
    if op == "LSTM":
        parts.append(ctx.contiguous(ctx.view(names[7])) if names[7] else None)
    outputs: list[View | None] = []
    for i in range(3 if op == "LSTM" else 2):
        name = node.outputs[i] if i < len(node.outputs) else ""
        out = ctx.output(name) if name else None
        if out is not None and layout:
            # Y is [batch, time, direction, hidden], the states [batch, direction, hidden].
            out = out.transpose((1, 2, 0, 3) if i == 0 else (1, 0, 2))
        outputs.append(out)
    clip = attributes["clip"]
    flag = {"LSTM": "input_forget", "GRU": "linear_before_reset"}.get(op)
    args: list[int | float] = [DIRECTIONS[direction], float(clip or 0.0)]
    args.append(int(attributes[flag]) if flag else 0)
    args += _activations(op, attributes, 2 if direction == "bidirectional" else 1)
    args.append(ctx.info(names[2]).dims[-1])
    if x.size or any(out is not None and out.size for out in outputs):
        ctx.emit(op.lower(), [x, w, r, *parts, *outputs], args)


def packed_weights(ctx: Lowering, name: str, gates: int, *, half: bool) -> View:
    """Return [D, gates * H, K] packed as the right side of a product, whole panels per gate.

    That is float32 [D, panels, K, 16], or with ``half`` bfloat16 [D, panels, 1, pairs, 16, 2].
    """
    if not ctx.is_known(name):
        b = _by_gate(ctx.view(name).shape, gates, partial(ctx.reshaped, ctx.view(name)))
        packed = half_products.packed_matrix(ctx, b) if half else packed_matrix(ctx, b)
        return ctx.reshaped(packed, _together(packed.shape, gates))

    def make(empty: Empty) -> Array:
        value = ctx.known(name)
        b = _by_gate(value.shape, gates, value.reshape)
        found = half_products.pack(b[:, None], empty) if half else pack(b, empty)
        return found.reshape(_together(found.shape, gates))

    return ctx.packed(name, ("recurrent", half), make)


def _by_gate(shape: Sequence[int], gates: int, reshaped: Callable[[Sequence[int]], Any]) -> Any:
    """Return [D, gates * H, K] as right sides [D * gates, K, H], so that each has whole panels."""
    directions, rows, k = shape
    return reshaped((directions * gates, rows // gates, k)).transpose((0, 2, 1))


def _together(packed: Sequence[int], gates: int) -> tuple[int, ...]:
    """Return the shape in which a direction has the panels of all its gates."""
    return (packed[0] // gates, gates * packed[1], *packed[2:])


def lengths(ctx: Lowering, name: str) -> View | None:
    """Return the lengths of sequences, if there are any."""
    if not name:
        return None
    require(ctx.info(name).dtype is DType.INT32, "type of sequence_lens")
    return ctx.view(name)


def _activations(op: str, attributes: dict[str, Any], directions: int) -> list[int | float]:
    """Return function number, alpha and beta of each activation of each direction."""
    given = list(attributes["activations"] or _DEFAULTS[op] * directions)
    require(len(given) == _FUNCTIONS[op] * directions, "number of activations")
    alphas = list(attributes["activation_alpha"] or [])
    betas = list(attributes["activation_beta"] or [])
    canonical = {name.lower(): name for name in [*UNARY, "Affine", "ScaledTanh"]}
    words: list[int | float] = []
    for name in given:
        code = CODES.get(name.lower())
        require((code is not None and code != 2) or name.lower() == "elu", f"activation {name}")
        assert code is not None
        alpha, beta = _PARAMETERS.get(canonical[name.lower()], (0.0, 0.0))
        takes_alpha = canonical[name.lower()] in _PARAMETERS
        takes_beta = canonical[name.lower()] in ("Affine", "ScaledTanh", "HardSigmoid")
        alpha = float(alphas.pop(0)) if takes_alpha and alphas else alpha
        beta = float(betas.pop(0)) if takes_beta and betas else beta
        words += [code, float(alpha), float(beta)]
    return words
