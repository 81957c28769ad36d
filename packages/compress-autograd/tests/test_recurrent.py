"""Recurrent layers in training: kernels in float32 against composed steps in float64, and torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import compress_autograd as ca
import compress_tensor as ct
from compress_tensor import InputError, ShapeError, Tensor
from compress_tensor.eager import run_many

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def real(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def operands(kind: str, sides: int, n: int = 19, layout: int = 0) -> list[Any]:
    """Return all operands of a layer with 4 steps, 5 sequences and 6 inputs."""
    rows = GATES[kind] * n
    x = real(0, 5, 4, 6) if layout else real(0, 4, 5, 6)
    state = (5, sides, n) if layout else (sides, 5, n)
    found = [x, real(1, sides, rows, 6) * 0.4, real(2, sides, rows, n) / n**0.5]
    found += [real(3, sides, 2 * rows), np.array([4, 0, 2, 1, 3], np.int32), real(4, *state)]
    return [*found, real(5, *state), real(6, sides, 3 * n)] if kind == "LSTM" else found


def gradients(
    kind: str, given: list[Any], dtype: Any, **attributes: Any
) -> tuple[list[Any], list[Any]]:
    """Return results, and gradients of a weighted sum of all of them."""
    leaves: list[Any] = [
        None if a is None else Tensor(a.astype(dtype) if a.dtype.kind == "f" else a) for a in given
    ]
    for leaf in leaves:
        if leaf is not None and leaf.dtype in (ct.DType.FLOAT32, ct.DType.FLOAT64):
            leaf.requires_grad = True
    pairs = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in attributes.items())
    results = run_many(kind, leaves, pairs, 3 if kind == "LSTM" else 2)
    total: Any = 0.0
    for n, y in enumerate(results):
        total = total + ct.sum(y * Tensor(real(7 + n, *y.shape).astype(dtype)))
    total.backward()
    grads = [None if t is None or t.grad is None else t.grad.numpy() for t in leaves]
    return [y.numpy() for y in results], grads


def compare(kind: str, given: list[Any], **attributes: Any) -> None:
    mine, exact = (gradients(kind, given, t, **attributes) for t in (np.float32, np.float64))
    for one, two in zip([*mine[0], *mine[1]], [*exact[0], *exact[1]], strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            scale = max(float(np.abs(two).max()), 1.0)
            np.testing.assert_allclose(one, two, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", GATES)
def test_gradients_are_those_of_the_composed_steps(kind: str, direction: str, layout: int) -> None:
    sides = 2 if direction == "bidirectional" else 1
    given = operands(kind, sides, layout=layout)
    flags = {"LSTM": "input_forget", "GRU": "linear_before_reset"}
    common = {"direction": direction, "layout": layout, "hidden_size": 19}
    compare(kind, given, **common)
    compare(kind, given[:3], **common)
    if kind in flags:
        compare(kind, given, **common, **{flags[kind]: 1})


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("LSTM", {"activations": ["Relu", "Sigmoid", "Tanh"]}),
        ("GRU", {"activations": ["Tanh", "Relu"]}),
        ("RNN", {"activations": ["Relu"]}),
        ("RNN", {"activations": ["Softsign"]}),
        ("LSTM", {"clip": 0.5}),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"], "activation_alpha": [0.3]}),
    ],
    ids=str,
)
def test_other_activations(kind: str, more: dict[str, Any]) -> None:
    compare(kind, operands(kind, 1), **more)


def test_only_what_is_followed_has_a_gradient() -> None:
    x, w, r = (Tensor(a.astype(np.float32)) for a in operands("LSTM", 1)[:3])
    r.requires_grad = True
    (y,) = run_many("LSTM", [x, w, r], (), 1)
    ct.sum(y * y).backward()

    assert r.grad is not None
    assert x.grad is None


def test_derivatives_of_derivatives() -> None:
    """The kernels have none; the composed rule computes them."""
    given = [Tensor(a.astype(np.float32)) for a in operands("GRU", 1, 3)[:3]]
    wide = [Tensor(a) for a in operands("GRU", 1, 3)[:3]]
    found = []
    for leaves in (given, wide):
        for leaf in leaves:
            leaf.requires_grad = True
        loss = ct.sum(run_many("GRU", leaves, (), 1)[0] ** 2.0)
        vectors = [ct.ones(leaf.shape, dtype=leaf.dtype) for leaf in leaves]
        found.append(ca.hessian_vector_product(loss, leaves, vectors))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-3, atol=1e-3)


def test_what_does_not_fit_is_refused_as_without_a_tape() -> None:
    x, w, r = (Tensor(a.astype(np.float32)) for a in operands("LSTM", 1)[:3])
    messages = []
    for followed in (False, True):
        x.requires_grad = followed
        with pytest.raises(ShapeError) as caught:
            run_many("LSTM", [x, r, r], (), 1)
        messages.append(str(caught.value))
        with pytest.raises(InputError, match="sequence length 9"):
            lengths = Tensor(np.array([9, 1, 1, 1, 1], np.int32))
            run_many("LSTM", [x, w, r, None, lengths], (), 1)

    assert messages[0] == messages[1]


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_torch_agrees(kind: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    n, layer = 24, getattr(torch.nn, kind)(7, 24).double()
    x = torch.tensor(real(0, 9, 6, 7), requires_grad=True)
    y, _ = layer(x)
    g = real(1, *y.shape)
    (y * torch.tensor(g)).sum().backward()
    weights = [p.detach().numpy().astype(np.float32) for p in layer.parameters()]
    leaves = [Tensor(a) for a in [x.detach().numpy().astype(np.float32), *weights]]
    for leaf in leaves:
        leaf.requires_grad = True
    run = ct.lstm if kind == "LSTM" else ct.gru
    mine, _ = run(leaves[0], (leaves[1], leaves[2]), (leaves[3], leaves[4]))
    ct.sum(mine * Tensor(g.astype(np.float32))).backward()

    assert mine.shape == (9, 6, n)
    for leaf, theirs in zip(leaves, [x, *layer.parameters()], strict=True):
        exact = theirs.grad.numpy()
        np.testing.assert_allclose(
            leaf.grad.numpy(), exact, rtol=0, atol=1e-5 * max(np.abs(exact).max(), 1)
        )
