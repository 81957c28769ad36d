"""Recurrent layers in training against their definitions in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compress_tensor import ShapeError, Tensor, get_num_threads, set_num_threads
from compress_tensor.eager import run_many

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
DEFAULTS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"], "RNN": ["tanh"]}
PARTS = {"LSTM": 7, "GRU": 5, "RNN": 2}


def real(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def operands(kind: str, sides: int, shape: tuple[int, int, int, int], *, full: bool) -> list[Any]:
    """Return X, R, W, B, lengths, first states and peepholes for (time, batch, inputs, hidden)."""
    time, batch, inputs, n = shape
    rows = GATES[kind] * n
    found = [real(0, time, batch, inputs), real(2, sides, rows, n) / n**0.5]
    found += [real(1, sides, rows, inputs) * 0.5]
    if not full:
        return [*found, None, None, None, None, None]
    lengths = np.random.default_rng(3).integers(0, time + 1, batch).astype(np.int32)
    found += [real(4, sides, 2 * rows), lengths, real(5, sides, batch, n)]
    return [
        *found,
        *([real(6, sides, batch, n), real(7, sides, 3 * n)] if kind == "LSTM" else [None] * 2),
    ]


def both(op: str, arrays: list[Any], outputs: int, attributes: Any) -> list[list[Any]]:
    """Return results in float32 and float64."""
    found = []
    for dtype in (np.float32, np.float64):
        given = [
            None if a is None else Tensor(a.astype(dtype) if a.dtype.kind == "f" else a)
            for a in arrays
        ]
        found.append([t.numpy() for t in run_many(op, given, attributes, outputs)])
    return found


def close(mine: Any, exact: Any) -> None:
    scale = max(float(np.abs(exact).max(initial=0)), 1.0)
    np.testing.assert_allclose(mine, exact, rtol=0, atol=2e-5 * scale)


CASES = [
    (kind, direction, flag, full, names)
    for kind in GATES
    for direction, flag, full, names in (
        ("forward", 0, False, None),
        ("reverse", 1, True, None),
        ("bidirectional", 0, True, None),
        ("bidirectional", 1, False, "relu"),
    )
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("shape", [(5, 3, 4, 7), (3, 17, 20, 33)], ids=str)
def test_forward_and_back(case: Any, shape: tuple[int, int, int, int]) -> None:
    kind, direction, flag, full, name = case
    sides = 2 if direction == "bidirectional" else 1
    names = DEFAULTS[kind] * sides
    if name is not None:
        names[-1] = name
    attributes = (
        ("kind", kind), ("direction", direction), ("flag", flag), ("activations", tuple(names)),
    )  # fmt: skip
    given = operands(kind, sides, shape, full=full)
    third = kind == "LSTM"
    mine, exact = both("compress::RecurrentForward", given, 3 + third, attributes)
    for a, b in zip(mine, exact, strict=True):
        close(a, b)
    grads = [real(8 + n, *mine[n].shape) if full or n == 0 else None for n in (0, 1)]
    grads.append(real(11, *mine[1].shape) if third else None)
    saved = exact[2].astype(np.float32)
    back = [saved, given[1], given[7], given[4], *grads]
    more = third or (kind == "GRU" and flag)
    for a, b in zip(*both("compress::RecurrentGrad", back, 3 + more, attributes), strict=True):
        close(a, b)


@pytest.mark.parametrize("flag", [0, 1])
@pytest.mark.parametrize("kind", GATES)
def test_threads_and_neighbours_change_nothing(kind: str, flag: int) -> None:
    """Forty sequences are divided among threads, five are worked on by all together."""
    attributes = (
        ("kind", kind), ("flag", flag), ("direction", "bidirectional"),
        ("activations", tuple(DEFAULTS[kind] * 2)),
    )  # fmt: skip
    x, r, w, b, lengths, *_ = operands(kind, 2, (30, 40, 9, 40), full=True)
    before, found = get_num_threads(), []

    def compute(count: int) -> list[bytes]:
        given = [Tensor(a) for a in (x[:, :count], r, w, b, lengths[:count])]
        kept = run_many("compress::RecurrentForward", given, attributes, 3 + (kind == "LSTM"))
        more = [kept[2], given[1], None, given[4], kept[0] * 1.0]
        results = 4 if kind == "LSTM" or (kind == "GRU" and flag) else 3
        back = run_many("compress::RecurrentGrad", more, attributes, results)
        return [t.numpy()[..., :5, :].tobytes() for t in [*kept, *back]]

    try:
        for threads in (1, 2, 3, 8):
            set_num_threads(threads)
            found += [compute(40), compute(5)]
    finally:
        set_num_threads(before)

    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("kind", GATES)
def test_without_weights_the_input_is_what_they_would_give(kind: str, direction: str) -> None:
    x, r, w, *more = operands(kind, 1, (5, 7, 6, 19), full=True)
    attributes = (("kind", kind), ("direction", direction), ("activations", tuple(DEFAULTS[kind])))
    outputs = 3 + (kind == "LSTM")
    wide = x.astype(np.float64) @ w[0].astype(np.float64).T
    strided = np.ascontiguousarray(wide.transpose(2, 1, 0)).astype(np.float32)
    views = [Tensor(wide.astype(np.float32)), Tensor(strided).transpose(2, 1, 0)]
    (_, exact) = both("compress::RecurrentForward", [x, r, w, *more], outputs, attributes)
    rest = [None if a is None else Tensor(a) for a in (r, None, *more)]
    for view in views:
        mine = run_many("compress::RecurrentForward", [view, *rest], attributes, outputs)
        for a, b in zip(mine, exact, strict=True):
            close(a.numpy(), b)
    with pytest.raises(ShapeError, match="without W"):
        run_many("compress::RecurrentForward", [Tensor(x), *rest], attributes, outputs)
