"""LSTM, GRU and RNN in training: gates are kept, and kernels go back through time.

The kernels give the gradients of what goes into the gates at every step; those of weights and
inputs are products over all steps at once.  What the kernels do not take (other activations,
clip, float64, second derivatives) is done by the rules of `recurrent`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import compress_tensor as ct
from compress_tensor import DType, ShapeError, Tensor
from compress_tensor.backend.reference.recurrent_gradient import (
    ACTIVATIONS,
    FUNCTIONS,
    GATES,
    SAVED,
)
from compress_tensor.eager import run_many

from .. import tape
from ..backward import pull
from ..function import Function
from .recurrent import DEFAULTS, gru, lstm, rnn
from .registry import definition

#: the operators
KINDS = ("LSTM", "GRU", "RNN")
_COMPOSED: dict[str, Callable[..., Any]] = {"LSTM": lstm, "GRU": gru, "RNN": rnn}
_FLAGS = {"LSTM": "input_forget", "GRU": "linear_before_reset"}


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    return parts[0].unsqueeze(0) if len(parts) == 1 else ct.stack(parts, 0)


def _swapped(state: Tensor | None, layout: int) -> Tensor | None:
    return state.swapaxes(0, 1) if layout and state is not None else state


class _Layer(Function):
    """One call of an operator.

    Args:
        kind: the operator.
        attributes: all of them.
        names: of the activations, for every direction.
    """

    def __init__(self, kind: str, attributes: dict[str, Any], names: Sequence[str]) -> None:
        super().__init__()
        self.kind = kind
        self.attributes = attributes
        self.layout = attributes["layout"]
        self.flag = attributes[_FLAGS[kind]] if kind in _FLAGS else 0
        self.pairs = (
            ("kind", kind),
            ("activations", tuple(names)),
            ("direction", attributes["direction"]),
            ("flag", self.flag),
        )
        self.lengths: Any = None

    def forward(self, *given: Any) -> tuple[Tensor, ...]:
        """Return Y, Y_h and, of an LSTM, Y_c."""
        operands: list[Any] = [*given, *[None] * (8 - len(given))]
        x, w, r, b, self.lengths, h, c, p = operands
        x, h, c = (_swapped(each, self.layout) for each in (x, h, c))
        operands = [x, r, w, b, self.lengths, h, c, p]
        outputs = 4 if self.kind == "LSTM" else 3
        y, y_h, kept, *y_c = run_many("compress::RecurrentForward", operands, self.pairs, outputs)
        self.save(*(each if n != 4 else None for n, each in enumerate(given)), kept)
        if self.layout:
            y = y.transpose(2, 0, 1, 3)
        return (y, *(each.swapaxes(0, 1) if self.layout else each for each in (y_h, *y_c)))

    def vjp(self, *gs: Tensor | None) -> Any:
        """Return the gradients of all operands."""
        *given, kept = self.saved
        if tape.is_grad_enabled():
            attributes, operands = self.attributes, list(given)
            operands[4:5] = [self.lengths] * len(operands[4:5])
            function = _COMPOSED[self.kind]
            return pull(lambda *x: function(attributes, *x), operands, self.needs, gs)
        x, w, r, *more = given
        p = more[4] if len(more) > 4 else None
        g = gs[0]
        if g is not None and self.layout:
            g = g.transpose(1, 2, 0, 3)
        states = [_swapped(each, self.layout) for each in (*gs[1:], None, None)]
        operands = [kept, r, p, self.lengths, g, *states[:2]]
        outputs = 4 if self.kind == "LSTM" or (self.kind == "GRU" and self.flag) else 3
        z, first, sums, *third = run_many("compress::RecurrentGrad", operands, self.pairs, outputs)
        fresh = third.pop() if self.kind == "GRU" and third else None
        found = self._products(_swapped(x, self.layout), w, kept, z, fresh)
        found.append(self._bias(sums) if self.needs[3:4] == [True] else None)
        found += [None, *(_swapped(each, self.layout) for each in (first, *third))]
        if p is not None:
            found.append(_peepholes(kept, z) if self.needs[7] else None)
        return found[: len(given)]

    def _products(
        self, x: Any, w: Tensor | None, kept: Tensor, z: Tensor, fresh: Tensor | None
    ) -> list[Any]:
        """Return the gradients of X, W and R, given those of the gates."""
        sides, count, batch, width = z.shape
        rows, n, needs = count * batch, width // GATES[self.kind], self.needs
        flat = x.reshape((rows, x.shape[2]))
        dx: Any = None
        dw, dr = [], []
        for side in range(sides):
            zh, held = z[side].reshape((rows, width)), kept[side].reshape((rows, -1))
            zx = zh
            if fresh is not None:
                zx = ct.concat([zh.narrow(1, 0, 2 * n), fresh[side].reshape((rows, n))], 1)
            if needs[0]:
                part = zx if w is None else ct.matmul(zx, w[side])
                dx = part if dx is None else dx + part
            if w is None:
                if needs[2]:
                    dr.append(self._recurrent(zh, held))
            elif needs[1] or needs[2]:
                part_w, part_r = self._weights(zx, zh, flat, held)
                dw.append(part_w)
                dr.append(part_r)
        parts = [_stacked(each) if each else None for each in (dw, dr)]
        return [_swapped(None if dx is None else dx.reshape(x.shape), self.layout), *parts]

    def _weights(self, zx: Tensor, zh: Tensor, x: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of W and R of one direction."""
        if self.kind == "GRU":
            return ct.matmul(zx.T, x), self._recurrent(zh, held)
        n, width = held.shape[1] // SAVED[self.kind], x.shape[1]
        before = held.narrow(1, held.shape[1] - n, n)
        both = ct.matmul(zh.T, ct.concat([x, before], 1))  # transposed once for both
        return both.narrow(1, 0, width), both.narrow(1, width, n)

    def _recurrent(self, zh: Tensor, held: Tensor) -> Tensor:
        """Return the gradient of R of one direction."""
        n = held.shape[1] // SAVED[self.kind]
        before = held.narrow(1, held.shape[1] - n, n)
        if self.kind != "GRU" or self.flag:
            return ct.matmul(zh.T, before)
        gates = ct.matmul(zh.narrow(1, 0, 2 * n).T, before)
        candidate = ct.matmul(zh.narrow(1, 2 * n, n).T, held.narrow(1, 3 * n, n))
        return ct.concat([gates, candidate], 0)

    def _bias(self, sums: Tensor) -> Tensor:
        """Return the gradient of B from sums over time, (directions, batch, gates * hidden)."""
        total = ct.sum(sums, 1)
        if self.kind != "GRU" or not self.flag:
            return ct.concat([total, total], 1)
        n = total.shape[1] // 4
        gates, fresh = total.narrow(1, 0, 2 * n), total.narrow(1, 3 * n, n)
        return ct.concat([gates, fresh, total.narrow(1, 0, 3 * n)], 1)


def _peepholes(kept: Tensor, z: Tensor) -> Tensor:
    """Return the gradient of P, which i and f multiply with c before the step, o with c after."""
    i, _, f, g, _, before, _ = ct.split(kept, kept.shape[-1] // SAVED["LSTM"], -1)
    zi, zo, zf, _ = ct.split(z, z.shape[-1] // 4, -1)
    now = f * before + i * g
    return ct.concat([ct.sum(a * b, (1, 2)) for a, b in ((zi, before), (zo, now), (zf, before))], 1)


def _activations(kind: str, attributes: dict[str, Any]) -> list[str]:
    """Return the names of the activations of all directions, in lower case."""
    sides = 2 if attributes["direction"] == "bidirectional" else 1
    default, count = DEFAULTS[kind], ACTIVATIONS[kind]
    names = list(attributes["activations"] or list(default) * sides)[: sides * count]
    names += names[:count] * (sides - len(names) // count)
    return [name.lower() for name in names]


def kept_bytes(op: str, inputs: Sequence[Any]) -> int:
    """Return the bytes of the rows that a recurrent operator keeps for going back; others: 0."""
    if op not in SAVED:
        return 0
    (rows, width), (sides, _, n) = inputs[0].shape[:2], inputs[2].shape
    return int(4 * rows * width * sides * SAVED[op] * n)


def _training(kind: str) -> Callable[[Sequence[Any], Any, int], list[Tensor] | None]:
    def version(inputs: Sequence[Any], pairs: Any, outputs: int) -> list[Tensor] | None:
        floats = [t for n, t in enumerate(inputs) if n != 4 and t is not None]
        if not all(isinstance(t, Tensor) and t.dtype is DType.FLOAT32 for t in floats):
            return None
        attributes = definition(kind).attributes(
            {k: list(v) if isinstance(v, tuple) else v for k, v in pairs}, kind
        )
        names = _activations(kind, attributes)
        lengths = inputs[4] if len(inputs) > 4 else None
        narrow = lengths is None or lengths.dtype in (DType.INT32, np.dtype(np.int32))
        if attributes["clip"] or not set(names) <= set(FUNCTIONS) or not narrow:
            return None
        if not inputs[0].size:
            return None
        try:
            found = _Layer(kind, attributes, names)(*inputs)
        except ShapeError:
            return None  # the operator itself says it in its own words
        return list(found[:outputs])

    return version


tape.TRAINING.update({kind: _training(kind) for kind in KINDS})
