"""LSTM, GRU and RNN, in every direction and layout."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import ShapeError
from ...graph.graph import Array
from . import activation as act
from .common import accumulated
from .registry import reference

Activation = Callable[[Array], Array]


def _activation(name: str, alpha: float | None, beta: float | None) -> Activation:
    a = alpha if alpha is not None else _ALPHA.get(name.lower(), 1.0)
    b = beta if beta is not None else (0.5 if name.lower() == "hardsigmoid" else 0.0)
    table: dict[str, Activation] = {
        "relu": act.relu,
        "tanh": np.tanh,
        "sigmoid": act.sigmoid,
        "affine": lambda x: x * x.dtype.type(a) + x.dtype.type(b),
        "leakyrelu": lambda x: act.leaky_relu(x, alpha=a),
        "thresholdedrelu": lambda x: act.thresholded_relu(x, alpha=a),
        "scaledtanh": lambda x: x.dtype.type(a) * np.tanh(x.dtype.type(b) * x),
        "hardsigmoid": lambda x: act.hard_sigmoid(x, alpha=a, beta=b),
        "elu": lambda x: act.elu(x, alpha=a),
        "softsign": act.softsign,
        "softplus": act.softplus,
    }
    if name.lower() not in table:
        raise ShapeError(f"recurrent activation {name!r} is unknown")
    return table[name.lower()]


_ALPHA = {"leakyrelu": 0.01, "hardsigmoid": 0.2}


@dataclass
class _Cells:
    """What the three operators share: sequences (time, batch, input) and per-direction data."""

    X: Array
    sequence_lens: Array
    directions: Sequence[bool]  # reversed?
    functions: list[list[Activation]]
    clip: float | None

    def cut(self, values: Array) -> Array:
        """Clip what goes into an activation."""
        return values if self.clip is None else np.clip(values, -self.clip, self.clip)

    def steps(self, reverse: bool) -> Iterator[tuple[Array, Array]]:
        """Yield, step by step, each sequence's time index and whether it is still running."""
        for t in range(self.X.shape[0]):
            active = t < self.sequence_lens
            yield np.where(active & reverse, self.sequence_lens - 1 - t, t), active


def _cells(
    X: Array,
    R: Array,
    sequence_lens: Array | None,
    activations: Sequence[str] | None,
    defaults: Sequence[str],
    activation_alpha: Sequence[float] | None,
    activation_beta: Sequence[float] | None,
    direction: str,
    layout: int,
    clip: float | None,
) -> _Cells:
    directions = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    if direction not in directions:
        raise ShapeError(f"direction {direction!r} is unknown")
    sides = directions[direction]
    if R.shape[0] != len(sides):
        raise ShapeError(f"recurrent weights {R.shape} do not fit direction {direction!r}")
    if layout:
        X = X.transpose(1, 0, 2)
    if sequence_lens is None:
        sequence_lens = np.full(X.shape[1], X.shape[0])
    names = list(activations or list(defaults) * len(sides))
    names += names[: len(defaults)] * (len(sides) - len(names) // len(defaults))
    alphas, betas = list(activation_alpha or []), list(activation_beta or [])
    functions: list[Activation] = []
    for name in names:
        uses_alpha = name.lower() in {*_ALPHA, "affine", "thresholdedrelu", "scaledtanh", "elu"}
        uses_beta = name.lower() in {"affine", "scaledtanh", "hardsigmoid"}
        alpha = alphas.pop(0) if alphas and uses_alpha else None
        beta = betas.pop(0) if betas and uses_beta else None
        functions.append(_activation(name, alpha, beta))
    per = len(defaults)
    grouped = [functions[i * per : (i + 1) * per] for i in range(len(sides))]
    return _Cells(X, sequence_lens.astype(np.int64), sides, grouped, clip)


def _initial(given: Array | None, cells: _Cells, hidden: int, layout: int) -> Array:
    shape = (len(cells.directions), cells.X.shape[1], hidden)
    if given is None:
        return np.zeros(shape, cells.X.dtype)
    return given.transpose(1, 0, 2) if layout else given


def _outputs(Y: Array, *states: Array, layout: int) -> tuple[Array, ...]:
    if not layout:
        return (Y, *states)
    return (Y.transpose(2, 0, 1, 3), *(s.transpose(1, 0, 2) for s in states))


Step = Callable[[Array, Sequence[Array]], Sequence[Array]]


def _run(
    cells: _Cells, side: int, step: Step, projected: Array, states: list[Array], Y: Array
) -> list[Array]:
    """Run one direction; ``states[0]`` is the hidden state and is written into Y."""
    batch = np.arange(cells.X.shape[1])
    for time, active in cells.steps(cells.directions[side]):
        new = step(projected[time, batch], states)
        keep = active[:, None]
        states = [np.where(keep, n, s) for n, s in zip(new, states, strict=True)]
        Y[time[active], side, batch[active]] = states[0][active]
    return states


@reference("LSTM")
@accumulated
def lstm(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    initial_c: Array | None = None,
    P: Array | None = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
) -> tuple[Array, ...]:
    """Return the hidden states of all steps, the last ones, and the last cell states."""
    hidden = R.shape[2]
    cells = _cells(
        X,
        R,
        sequence_lens,
        activations,
        ("Sigmoid", "Tanh", "Tanh"),
        activation_alpha,
        activation_beta,
        direction,
        layout,
        clip,
    )
    h, c = _initial(initial_h, cells, hidden, layout), _initial(initial_c, cells, hidden, layout)
    Y = np.zeros((*cells.X.shape[:1], len(h), cells.X.shape[1], hidden), X.dtype)
    last: list[list[Array]] = []
    for side, (f, g, k) in enumerate(cells.functions):
        peep = np.zeros((3, hidden), X.dtype) if P is None else P[side].reshape(3, hidden)
        projected = cells.X @ W[side].T
        if B is not None:
            projected = projected + (B[side, : 4 * hidden] + B[side, 4 * hidden :])
        recurrent = R[side].T
        cut = cells.cut

        def step(x: Array, states: Sequence[Array]) -> Sequence[Array]:
            h, c = states
            i, o, forget, cell = np.split(x + h @ recurrent, 4, axis=1)  # noqa: B023
            i = f(cut(i + peep[0] * c))  # noqa: B023
            forget = 1 - i if input_forget else f(cut(forget + peep[2] * c))  # noqa: B023
            c = forget * c + i * g(cut(cell))  # noqa: B023
            o = f(cut(o + peep[1] * c))  # noqa: B023
            return o * k(c), c  # noqa: B023

        last.append(_run(cells, side, step, projected, [h[side], c[side]], Y))
    Y_h = np.stack([states[0] for states in last])
    Y_c = np.stack([states[1] for states in last])
    return _outputs(Y, Y_h, Y_c, layout=layout)


@reference("GRU")
@accumulated
def gru(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> tuple[Array, ...]:
    """Return the hidden states of all steps, and the last ones."""
    hidden = R.shape[2]
    cells = _cells(
        X,
        R,
        sequence_lens,
        activations,
        ("Sigmoid", "Tanh"),
        activation_alpha,
        activation_beta,
        direction,
        layout,
        clip,
    )
    h = _initial(initial_h, cells, hidden, layout)
    Y = np.zeros((*cells.X.shape[:1], len(h), cells.X.shape[1], hidden), X.dtype)
    last: list[Array] = []
    for side, (f, g) in enumerate(cells.functions):
        bias = np.zeros(6 * hidden, X.dtype) if B is None else B[side]
        projected = cells.X @ W[side].T + bias[: 3 * hidden]
        gates, candidate = R[side, : 2 * hidden].T, R[side, 2 * hidden :].T
        gate_bias, bias_h = bias[3 * hidden : 5 * hidden], bias[5 * hidden :]
        cut = cells.cut

        def step(x: Array, states: Sequence[Array]) -> Sequence[Array]:
            h = states[0]
            both = f(cut(x[:, : 2 * hidden] + h @ gates + gate_bias))  # noqa: B023
            z, r = both[:, :hidden], both[:, hidden:]
            if linear_before_reset:
                inner = r * (h @ candidate + bias_h)  # noqa: B023
            else:
                inner = (r * h) @ candidate + bias_h  # noqa: B023
            new = g(cut(x[:, 2 * hidden :] + inner))  # noqa: B023
            return [(1 - z) * new + z * h]

        last.append(_run(cells, side, step, projected, [h[side]], Y)[0])
    return _outputs(Y, np.stack(last), layout=layout)


@reference("RNN")
@accumulated
def rnn(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
) -> tuple[Array, ...]:
    """Return the hidden states of all steps, and the last ones."""
    hidden = R.shape[2]
    if direction != "bidirectional" and activations:
        activations = activations[:1]
    cells = _cells(
        X,
        R,
        sequence_lens,
        activations,
        ("Tanh",),
        activation_alpha,
        activation_beta,
        direction,
        layout,
        clip,
    )
    h = _initial(initial_h, cells, hidden, layout)
    Y = np.zeros((*cells.X.shape[:1], len(h), cells.X.shape[1], hidden), X.dtype)
    last: list[Array] = []
    for side, (f,) in enumerate(cells.functions):
        projected = cells.X @ W[side].T
        if B is not None:
            projected = projected + (B[side, :hidden] + B[side, hidden:])
        recurrent = R[side].T
        cut = cells.cut

        def step(x: Array, states: Sequence[Array]) -> Sequence[Array]:
            return [f(cut(x + states[0] @ recurrent))]  # noqa: B023

        last.append(_run(cells, side, step, projected, [h[side]], Y)[0])
    return _outputs(Y, np.stack(last), layout=layout)
