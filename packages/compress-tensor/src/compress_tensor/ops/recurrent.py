"""LSTM and GRU layers with torch's weights: (gates * hidden, inputs), gates i f g o and r z n."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..eager import run_many
from ..errors import ShapeError
from ..tensor import Tensor
from .movement import concat
from .product import _floats

_LSTM = (0, 3, 1, 2)  #: torch's i f g o in ONNX's order i o f c
_GRU = (1, 0, 2)  #: torch's r z n in ONNX's order z r h


def _ordered(weight: Tensor, order: Sequence[int]) -> Tensor:
    if weight.shape[0] % len(order):
        raise ShapeError(f"{weight.shape[0]} rows are not {len(order)} gates")
    hidden = weight.shape[0] // len(order)
    return concat([weight.narrow(0, gate * hidden, hidden) for gate in order], 0)


def _run(
    op: str, operands: Sequence[Any], order: Sequence[int], outputs: int, *flags: tuple[str, Any]
) -> list[Tensor]:
    x, w, r, b_w, b_r, *states = _floats(*operands)
    if x.ndim != 3 or w.ndim != 2 or r.ndim != 2:
        raise ShapeError(
            f"{op.lower()}: x must be (time, batch, inputs) and weights matrices, not shapes "
            f"{list(x.shape)}, {list(w.shape)}, {list(r.shape)}"
        )
    bias = None
    if b_w is not None and b_r is not None:
        bias = concat([_ordered(b_w, order), _ordered(b_r, order)], 0).unsqueeze(0)
    weights = [_ordered(each, order).unsqueeze(0) for each in (w, r)]
    first = [None if state is None else state.unsqueeze(0) for state in states]
    attributes = (("hidden_size", r.shape[1]), *flags)
    found = run_many(op, (x, *weights, bias, None, *first), attributes, outputs)
    return [found[0].squeeze(1), *(each.squeeze(0) for each in found[1:])]


def lstm(
    x: Any,
    weights: tuple[Any, Any],
    biases: tuple[Any, Any] | None = None,
    state: tuple[Any, Any] | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the outputs of one LSTM layer and its last state.

    Args:
        x: (time, batch, inputs).
        weights: of the input (4 hidden, inputs) and of the state (4 hidden, hidden).
        biases: of the input and of the state, (4 hidden,) each.
        state: h and c to start with, (batch, hidden); zeros by default.

    Returns:
        (time, batch, hidden), and h and c after the last step.
    """
    operands = (x, *weights, *(biases or (None, None)), *(state or (None, None)))
    y, h, c = _run("LSTM", operands, _LSTM, 3)
    return y, (h, c)


def gru(
    x: Any,
    weights: tuple[Any, Any],
    biases: tuple[Any, Any] | None = None,
    state: Any = None,
) -> tuple[Tensor, Tensor]:
    """Return the outputs of one GRU layer and its last state.

    Args:
        x: (time, batch, inputs).
        weights: of the input (3 hidden, inputs) and of the state (3 hidden, hidden).
        biases: of the input and of the state, (3 hidden,) each.
        state: h to start with, (batch, hidden); zeros by default.

    Returns:
        (time, batch, hidden), and h after the last step.
    """
    operands = (x, *weights, *(biases or (None, None)), state)
    y, h = _run("GRU", operands, _GRU, 2, ("linear_before_reset", 1))
    return y, h


__all__ = [
    "gru",
    "lstm",
]
