"""LSTM, GRU and RNN as training needs them: forward with what is kept, and back through time.

Werbos, 1990, "Backpropagation through time: what it does and how to do it".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...graph.graph import Array
from . import activation as act
from .common import accumulated
from .gradient import DOMAIN
from .registry import reference

#: activations whose slope follows from their result, by ONNX's name in lower case
FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "relu": act.relu,
    "sigmoid": act.sigmoid,
    "tanh": np.tanh,
}
_SLOPES: dict[str, Callable[[Array], Array]] = {
    "relu": lambda y: (y > 0).astype(y.dtype),
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y * y,
}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
#: activations of a direction
ACTIVATIONS = {"LSTM": 3, "GRU": 2, "RNN": 1}
#: parts of a kept row: LSTM: i, o, f, g, k(c), c and h before; GRU: z, r, n, then r h before or
#: (linear_before_reset) what r multiplies, h before; RNN: h, h before
SAVED = {"LSTM": 7, "GRU": 5, "RNN": 2}

Rows = list[Array]


def _times(lengths: Array | None, count: int, batch: int, reverse: bool) -> Iterator[Rows]:
    """Yield each step's time of every sequence, and whether it still runs."""
    ends = np.full(batch, count) if lengths is None else lengths.astype(np.int64)
    for step in range(count):
        active = step < ends
        yield [np.where(active & reverse, ends - 1 - step, step), active]


def _lstm(z: Rows, h: Array, c: Array, p: Array, names: Sequence[str], flag: int) -> Rows:
    """Return what is kept, then h and c."""
    first, g, k = (FUNCTIONS[name] for name in names)
    i = first(z[0] + p[0] * c)
    forget = 1 - i if flag else first(z[2] + p[2] * c)
    fresh = g(z[3])
    now = forget * c + i * fresh
    o, cell = first(z[1] + p[1] * now), k(now)
    return [i, o, forget, fresh, cell, c, h, o * cell, now]


def _gru(x: Rows, h: Array, R: Array, bias: Array, names: Sequence[str], flag: int) -> Rows:
    """Return what is kept, then h."""
    f, g = (FUNCTIONS[name] for name in names)
    n = h.shape[1]
    z = f(x[0] + h @ R[:n].T + bias[:n])
    r = f(x[1] + h @ R[n : 2 * n].T + bias[n : 2 * n])
    if flag:
        inner = h @ R[2 * n :].T + bias[2 * n :]
        fresh = g(x[2] + r * inner)
    else:
        inner = r * h
        fresh = g(x[2] + inner @ R[2 * n :].T + bias[2 * n :])
    return [z, r, fresh, inner, h, (1 - z) * fresh + z * h]


@reference("RecurrentForward", DOMAIN)
@accumulated
def recurrent_forward(
    X: Array,
    R: Array,
    W: Array | None = None,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    initial_c: Array | None = None,
    P: Array | None = None,
    *,
    kind: str,
    activations: list[str],
    direction: str = "forward",
    flag: int = 0,
) -> tuple[Array, ...]:
    """Compute LSTM, GRU or RNN (``kind``), and keep what `recurrent_grad` needs.

    Args:
        X: (time, batch, inputs).
        R: as ONNX's operators have it, as the other operands.
        W: None: X is what W x would be, (time, batch, gates * hidden) of one direction.
        kind: the operator.
        activations: of `FUNCTIONS`, for every direction.
        flag: LSTM: input_forget; GRU: linear_before_reset.

    Returns:
        Y, Y_h, the kept rows (directions, time, batch, parts * hidden), of an LSTM also Y_c.
    """
    sides, gates, n = R.shape[0], GATES[kind], R.shape[2]
    count, batch = X.shape[:2]
    where = np.arange(batch)
    Y = np.zeros((count, sides, batch, n), X.dtype)
    saved = np.zeros((sides, count, batch, SAVED[kind] * n), X.dtype)
    none = np.zeros((sides, batch, n), X.dtype)
    last: list[Rows] = []
    for side in range(sides):
        names = activations[side * ACTIVATIONS[kind] :][: ACTIVATIONS[kind]]
        bias = np.zeros(2 * gates * n, X.dtype) if B is None else B[side]
        peep = np.zeros((3, n), X.dtype) if P is None else P[side].reshape(3, n)
        states = [(none if s is None else s)[side] for s in (initial_h, initial_c)]
        reverse = direction == "reverse" or side == 1
        for time, active in _times(sequence_lens, count, batch, reverse):
            h, c = states
            x = X[time, where] if W is None else X[time, where] @ W[side].T
            x = x + bias[: gates * n]
            z = x if kind == "GRU" else x + h @ R[side].T + bias[gates * n :]
            rows = np.split(z, gates, axis=1)
            if kind == "LSTM":
                *kept, h_new, c_new = _lstm(rows, h, c, peep, names, flag)
            elif kind == "GRU":
                *kept, h_new = _gru(rows, h, R[side], bias[3 * n :], names, flag)
                c_new = c
            else:
                h_new, c_new = FUNCTIONS[names[0]](z), c
                kept = [h_new, h]
            keep = active[:, None]
            states = [np.where(keep, h_new, h), np.where(keep, c_new, c)]
            saved[side, time[active], where[active]] = np.concatenate(kept, 1)[active]
            Y[time[active], side, where[active]] = h_new[active]
        last.append(states)
    ends = [np.stack([states[i] for states in last]) for i in range(2)]
    return (Y, ends[0], saved, *ends[1:]) if kind == "LSTM" else (Y, ends[0], saved)


def _lstm_back(
    kept: Rows, dh: Array, dc: Array, p: Array, names: Sequence[str], flag: int
) -> tuple[Rows, Array]:
    """Return the gradients of i, o, f, g before their activations, and of c before."""
    f, g, k = (_SLOPES[name] for name in names)
    i, o, forget, fresh, cell, c, _ = kept
    zo = dh * cell * f(o)
    dc = dc + dh * o * k(cell) + p[1] * zo
    zf = np.zeros_like(zo) if flag else dc * c * f(forget)
    zi = dc * (fresh - c if flag else fresh) * f(i)
    zg = dc * i * g(fresh)
    return [zi, zo, zf, zg], dc * forget + p[0] * zi + p[2] * zf


def _gru_back(
    kept: Rows, dh: Array, R: Array, names: Sequence[str], flag: int
) -> tuple[Rows, Array, Array]:
    """Return the gradients of z, r and R h, of the candidate, and of h before beside products."""
    f, g = (_SLOPES[name] for name in names)
    z, r, fresh, inner, h = kept
    dn = dh * (1 - z) * g(fresh)
    dz = dh * (h - fresh) * f(z)
    if flag:
        return [dz, dn * inner * f(r), dn * r], dn, dh * z
    through = dn @ R[2 * h.shape[1] :]
    return [dz, through * h * f(r), dn], dn, dh * z + through * r


@reference("RecurrentGrad", DOMAIN)
@accumulated
def recurrent_grad(
    saved: Array,
    R: Array,
    P: Array | None = None,
    sequence_lens: Array | None = None,
    G: Array | None = None,
    G_h: Array | None = None,
    G_c: Array | None = None,
    *,
    kind: str,
    activations: list[str],
    direction: str = "forward",
    flag: int = 0,
) -> tuple[Array, ...]:
    """Go back through time.

    Args:
        saved: what `recurrent_forward` kept.
        R: recurrent weights; P: peepholes.
        G: the gradient of Y; G_h and G_c: of the last states (None: 0).

    Returns:
        The gradients of what R h gives each gate, (directions, time, batch, gates * hidden), and
        of initial_h; sums over time of those of gates (and the candidate); of an LSTM the gradient
        of initial_c, of a GRU with linear_before_reset that of what W x gives the candidate,
        (directions, time, batch, hidden).
    """
    sides, count, batch = saved.shape[:3]
    n = R.shape[2]
    where = np.arange(batch)
    dz = np.zeros((sides, count, batch, GATES[kind] * n), saved.dtype)
    fresh = np.zeros((sides, count, batch, n), saved.dtype)
    none = np.zeros((sides, batch, n), saved.dtype)
    first: list[Rows] = []
    for side in range(sides):
        names = activations[side * ACTIVATIONS[kind] :][: ACTIVATIONS[kind]]
        peep = np.zeros((3, n), saved.dtype) if P is None else P[side].reshape(3, n)
        dh, dc = ((none if s is None else s)[side] for s in (G_h, G_c))
        reverse = direction == "reverse" or side == 1
        for time, active in reversed(list(_times(sequence_lens, count, batch, reverse))):
            kept = np.split(saved[side, time, where], SAVED[kind], axis=1)
            here = dh if G is None else dh + G[time, side, where]
            dn, dc_new, rest = here, dc, np.zeros_like(dh)
            if kind == "LSTM":
                rows, dc_new = _lstm_back(kept, here, dc, peep, names, flag)
            elif kind == "GRU":
                rows, dn, rest = _gru_back(kept, here, R[side], names, flag)
            else:
                rows = [here * _SLOPES[names[0]](kept[0])]
            gates = np.concatenate(rows, 1)
            direct = 2 * n if kind == "GRU" and not flag else gates.shape[1]
            dh_new = rest + gates[:, :direct] @ R[side, :direct]
            dz[side, time[active], where[active]] = gates[active]
            fresh[side, time[active], where[active]] = dn[active]
            keep = active[:, None]
            dh, dc = np.where(keep, dh_new, dh), np.where(keep, dc_new, dc)
        first.append([dh, dc])
    dh, dc = (np.stack([states[i] for states in first]) for i in range(2))
    if kind == "LSTM":
        return dz, dh, dz.sum(axis=1), dc
    if kind == "GRU" and flag:
        return dz, dh, np.concatenate([dz, fresh], -1).sum(axis=1), fresh
    return dz, dh, dz.sum(axis=1)
