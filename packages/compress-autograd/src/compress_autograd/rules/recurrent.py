"""Derivatives of LSTM, GRU and RNN through time: the steps on the tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import compress_tensor as ct
from compress_tensor import DType, Tensor
from compress_tensor.eager import run

from .composed import composed

Activation = Callable[[Tensor], Tensor]
#: what a recurrent activation is called as an operator, and which numbers it takes
_ACTIVATIONS = {
    "relu": ("Relu", ()),
    "tanh": ("Tanh", ()),
    "sigmoid": ("Sigmoid", ()),
    "leakyrelu": ("LeakyRelu", (("alpha", 0.01),)),
    "thresholdedrelu": ("ThresholdedRelu", (("alpha", 1.0),)),
    "hardsigmoid": ("HardSigmoid", (("alpha", 0.2), ("beta", 0.5))),
    "elu": ("Elu", (("alpha", 1.0),)),
    "softsign": ("Softsign", ()),
    "softplus": ("Softplus", ()),
    "affine": ("", (("alpha", 1.0), ("beta", 0.0))),
    "scaledtanh": ("", (("alpha", 1.0), ("beta", 0.0))),
}
#: activations of a direction, unless they are named
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


def _functions(a: Any, defaults: Sequence[str], sides: int) -> list[list[Activation]]:
    """Return the activations of each direction."""
    names = list(a["activations"] or list(defaults) * sides)
    names += names[: len(defaults)] * (sides - len(names) // len(defaults))
    left = {"alpha": list(a["activation_alpha"] or []), "beta": list(a["activation_beta"] or [])}
    found = [_activation(name.lower(), left) for name in names]
    per = len(defaults)
    return [found[i * per : (i + 1) * per] for i in range(sides)]


def _activation(name: str, left: dict[str, list[float]]) -> Activation:
    op, wanted = _ACTIVATIONS[name]
    given = tuple((key, left[key].pop(0) if left[key] else value) for key, value in wanted)
    numbers = dict(given)
    if name == "affine":
        return lambda x: x * numbers["alpha"] + numbers["beta"]
    if name == "scaledtanh":
        return lambda x: numbers["alpha"] * ct.tanh(numbers["beta"] * x)
    return lambda x: run(op, (x,), given)


def _cut(x: Tensor, clip: float | None) -> Tensor:
    return x if clip is None else ct.clip(x, -clip, clip)


Step = Callable[[Tensor, list[Tensor]], list[Tensor]]


def _steps(
    projected: Tensor, states: list[Tensor], step: Step, reverse: bool, lengths: Any
) -> tuple[Tensor, list[Tensor]]:
    """Run one direction; returns the hidden states of all steps, and the last states."""
    count = projected.shape[0]
    outputs: list[Any] = [None] * count
    if lengths is not None and reverse:
        attributes = (("batch_axis", 1), ("time_axis", 0))
        projected = run("ReverseSequence", (projected, lengths.astype(DType.INT64)), attributes)
    for n in range(count):
        at = count - 1 - n if reverse and lengths is None else n
        new = step(projected[at], states)
        if lengths is not None:
            running = (lengths > n).unsqueeze(1)
            states = [ct.where(running, a, b) for a, b in zip(new, states, strict=True)]
            outputs[at] = ct.where(running, new[0], 0.0)
        else:
            states = new
            outputs[at] = new[0]
    found = ct.stack(outputs, 0)
    if lengths is not None and reverse:
        attributes = (("batch_axis", 1), ("time_axis", 0))
        found = run("ReverseSequence", (found, lengths.astype(DType.INT64)), attributes)
    return found, states


def _layer(
    a: Any, x: Tensor, given: Sequence[Tensor | None], defaults: Sequence[str], hidden: int,
    lengths: Any, make: Callable[[int, list[Activation], Tensor], tuple[Tensor, Step]],
) -> tuple[Tensor, ...]:  # fmt: skip
    """Run all directions and put the results together, in either layout."""
    sides = 2 if a["direction"] == "bidirectional" else 1
    functions = _functions(a, defaults, sides)
    x = x.swapaxes(0, 1) if a["layout"] else x
    outputs, last = [], []
    for side in range(sides):
        projected, step = make(side, functions[side], x)
        states = []
        for state in given:
            if state is None:
                states.append(ct.zeros((x.shape[1], hidden), dtype=x.dtype))
            else:
                states.append((state.swapaxes(0, 1) if a["layout"] else state)[side])
        reverse = a["direction"] == "reverse" or side == 1
        y, ends = _steps(projected, states, step, reverse, lengths)
        outputs.append(y)
        last.append(ends)
    y = ct.stack(outputs, 1)
    ends = [ct.stack([states[n] for states in last], 0) for n in range(len(given))]
    if a["layout"]:
        y, ends = y.transpose(2, 0, 1, 3), [each.swapaxes(0, 1) for each in ends]
    return (y, *ends)


def _project(x: Tensor, w: Tensor | None, side: int) -> Tensor:
    """Return W x of all steps; without W that is what x is."""
    return x if w is None else ct.matmul(x, w[side].T)


@composed("LSTM")
def lstm(
    a: Any, x: Tensor, W: Tensor | None, R: Tensor, B: Any = None, lengths: Any = None,
    h0: Any = None, c0: Any = None, P: Any = None,
) -> Any:  # fmt: skip
    """Return the hidden states of all steps, the last ones, and the last cell states."""
    hidden, clip = R.shape[2], a["clip"]

    def make(side: int, functions: list[Activation], x: Tensor) -> tuple[Tensor, Step]:
        f, g, k = functions
        projected = _project(x, W, side)
        if B is not None:
            projected = projected + (B[side, : 4 * hidden] + B[side, 4 * hidden :])
        recurrent = R[side].T
        peep = None if P is None else P[side].reshape((3, hidden))

        def gate(z: Tensor, n: int, c: Tensor, row: int) -> Tensor:
            part = z[:, n * hidden : (n + 1) * hidden]
            return f(_cut(part if peep is None else part + peep[row] * c, clip))

        def step(now: Tensor, states: list[Tensor]) -> list[Tensor]:
            h, c = states
            z = now + ct.matmul(h, recurrent)
            i = gate(z, 0, c, 0)
            forget = 1.0 - i if a["input_forget"] else gate(z, 2, c, 2)
            c = forget * c + i * g(_cut(z[:, 3 * hidden :], clip))
            return [gate(z, 1, c, 1) * k(c), c]

        return projected, step

    return _layer(a, x, (h0, c0), DEFAULTS["LSTM"], hidden, lengths, make)


@composed("GRU")
def gru(
    a: Any, x: Tensor, W: Tensor | None, R: Tensor, B: Any = None, lengths: Any = None,
    h0: Any = None,
) -> Any:  # fmt: skip
    """Return the hidden states of all steps, and the last ones."""
    hidden, clip = R.shape[2], a["clip"]

    def make(side: int, functions: list[Activation], x: Tensor) -> tuple[Tensor, Step]:
        f, g = functions
        bias = ct.zeros(6 * hidden, dtype=x.dtype) if B is None else B[side]
        projected = _project(x, W, side) + bias[: 3 * hidden]
        gates, candidate = R[side, : 2 * hidden].T, R[side, 2 * hidden :].T
        gate_bias, inner_bias = bias[3 * hidden : 5 * hidden], bias[5 * hidden :]

        def step(now: Tensor, states: list[Tensor]) -> list[Tensor]:
            (h,) = states
            both = f(_cut(now[:, : 2 * hidden] + ct.matmul(h, gates) + gate_bias, clip))
            z, r = both[:, :hidden], both[:, hidden:]
            if a["linear_before_reset"]:
                inner = r * (ct.matmul(h, candidate) + inner_bias)
            else:
                inner = ct.matmul(r * h, candidate) + inner_bias
            new = g(_cut(now[:, 2 * hidden :] + inner, clip))
            return [(1.0 - z) * new + z * h]

        return projected, step

    return _layer(a, x, (h0,), DEFAULTS["GRU"], hidden, lengths, make)


@composed("RNN")
def rnn(
    a: Any, x: Tensor, W: Tensor | None, R: Tensor, B: Any = None, lengths: Any = None,
    h0: Any = None,
) -> Any:  # fmt: skip
    """Return the hidden states of all steps, and the last ones."""
    hidden = R.shape[2]

    def make(side: int, functions: list[Activation], x: Tensor) -> tuple[Tensor, Step]:
        (f,) = functions
        projected = _project(x, W, side)
        if B is not None:
            projected = projected + (B[side, :hidden] + B[side, hidden:])
        recurrent = R[side].T

        def step(now: Tensor, states: list[Tensor]) -> list[Tensor]:
            return [f(_cut(now + ct.matmul(states[0], recurrent), a["clip"]))]

        return projected, step

    return _layer(a, x, (h0,), DEFAULTS["RNN"], hidden, lengths, make)
