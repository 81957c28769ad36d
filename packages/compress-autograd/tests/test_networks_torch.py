"""Gradients of whole networks against torch, the same networks written there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from networks import lstm, resnet, transformer

from compress_autograd.loss import cross_entropy, kl_divergence, mse
from compress_autograd.trainable import Trainable
from compress_tensor import Tensor

torch = pytest.importorskip("torch", reason="torch is the oracle")
F = torch.nn.functional
LIMIT = 1e-5  #: relative error of a gradient, by its norm


def twins(graph: Any) -> tuple[Trainable, dict[str, Any]]:
    """Return a network and its weights in torch, in float64: the exact gradients."""
    model = Trainable(graph)
    held = {
        n: torch.tensor(a, dtype=torch.float64)
        for n, a in graph.constants.items()
        if a.dtype == np.float32
    }
    for name in model.parameters:
        held[name].requires_grad = True
    return model, held


def compare(model: Trainable, held: dict[str, Any]) -> None:
    wanted = {name: held[name].grad.numpy() for name in model.parameters}
    largest = max(float(np.linalg.norm(g)) for g in wanted.values())
    for name, p in model.parameters.items():
        assert p.grad is not None, name
        size = float(np.linalg.norm(wanted[name]))
        size = size if size > 1e-9 * largest else largest  # 0 by symmetry: the bias of keys
        error = np.linalg.norm(p.grad.numpy() - wanted[name]) / size

        assert error < LIMIT, f"{name}: {error:.2e}"


def test_resnet20() -> None:
    graph = resnet()
    model, w = twins(graph)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 3, 32, 32)).astype(np.float32)
    labels = rng.integers(0, 10, 16)
    cross_entropy(model({"input": x})["logits"], labels).backward()

    def conv_bn(h: Any, name: str, stride: int = 1) -> Any:
        k = w[f"{name}.weight"]
        h = F.conv2d(h, k, stride=stride, padding=k.shape[2] // 2)
        return F.batch_norm(h, None, None, w[f"{name}.scale"], w[f"{name}.bias"], True)

    h = F.relu(conv_bn(torch.tensor(x, dtype=torch.float64), "stem"))
    for stage in range(3):
        for block in range(3):
            name, stride = f"s{stage}.b{block}", 2 if stage and not block else 1
            y = conv_bn(F.relu(conv_bn(h, f"{name}.1", stride)), f"{name}.2")
            h = F.relu(y + (conv_bn(h, f"{name}.0", stride) if f"{name}.0.weight" in w else h))
    out = F.linear(h.mean((2, 3)), w["fc.weight"], w["fc.bias"])
    F.cross_entropy(out, torch.tensor(labels)).backward()
    compare(model, w)


@pytest.mark.parametrize("kind", ["vit", "bert"])
def test_transformers(kind: str) -> None:
    model, w = twins(transformer(kind))
    x = np.random.default_rng(0).standard_normal((3, 17, 48)).astype(np.float32)
    y = model({"input": x})["output"]
    mse(y, np.zeros(y.shape, np.float32)).backward()

    def linear(h: Any, name: str) -> Any:
        return h @ w[f"{name}.weight"] + w[f"{name}.bias"]

    def norm(h: Any, name: str) -> Any:
        return F.layer_norm(h, (48,), w[f"{name}.scale"], w[f"{name}.bias"])

    def attend(h: Any) -> Any:
        q, k, v = (linear(h, f"a.{p}").reshape(3, 17, 4, 12).transpose(1, 2) for p in "qkv")
        return linear(
            F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(3, 17, 48), "a.out"
        )

    def mlp(h: Any) -> Any:
        return linear(F.gelu(linear(h, "up")), "down")

    h = torch.tensor(x, dtype=torch.float64)
    if kind == "vit":
        h = h + attend(norm(h, "n1"))
        h = h + mlp(norm(h, "n2"))
    else:
        h = norm(h + attend(h), "n1")
        h = norm(h + mlp(h), "n2")
    (h * h).mean().backward()
    compare(model, w)


def test_two_layers_of_lstm() -> None:
    model, w = twins(lstm())
    x = np.random.default_rng(0).standard_normal((12, 4, 10)).astype(np.float32)
    y = model({"input": x})["output"]
    mse(y, np.zeros(y.shape, np.float32)).backward()
    h = torch.tensor(x, dtype=torch.float64)
    order = [0, 2, 3, 1]  # ONNX's i o f c as torch's i f g o
    for n in range(2):
        cell = torch.nn.LSTM(h.shape[2], 16).double()
        both = w[f"b{n}"].reshape(2, 4, 16)[:, order].reshape(2, 64)
        weights = [w[f"{k}{n}"].reshape(4, 16, -1)[order].reshape(64, -1) for k in "wr"]
        names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
        given = dict(zip(names, [*weights, *both], strict=True))
        h = torch.func.functional_call(cell, given, (h,))[0]
    (h * h).mean().backward()
    compare(model, w)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(5, 7), (2, 4, 3, 2)])
def test_cross_entropy(shape: tuple[int, ...], smoothing: float) -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal(shape).astype(np.float32)
    labels = rng.integers(0, shape[1], shape[:1] + shape[2:])
    labels.reshape(-1)[0] = -100
    mine, theirs = Tensor(scores), torch.tensor(scores, requires_grad=True)
    mine.requires_grad = True
    loss = cross_entropy(mine, labels, label_smoothing=smoothing, ignore_index=-100)
    loss.backward()
    wanted = F.cross_entropy(theirs, torch.tensor(labels), label_smoothing=smoothing)
    wanted.backward()

    assert abs(loss.item() - wanted.item()) < 1e-6 * abs(wanted.item())
    np.testing.assert_allclose(theirs.grad.numpy(), mine.grad.numpy(), rtol=1e-5, atol=1e-7)  # type: ignore[union-attr]


def test_kl_divergence() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((5, 7)).astype(np.float32) for _ in range(2))
    mine, theirs = Tensor(a), torch.tensor(a, requires_grad=True)
    mine.requires_grad = True
    loss = kl_divergence(mine, b, temperature=3.0)
    loss.backward()
    wanted = 9 * F.kl_div(
        F.log_softmax(theirs / 3, 1), F.softmax(torch.tensor(b) / 3, 1), reduction="batchmean"
    )
    wanted.backward()

    assert abs(loss.item() - wanted.item()) < 1e-5 * abs(wanted.item())
    np.testing.assert_allclose(theirs.grad.numpy(), mine.grad.numpy(), rtol=1e-5, atol=1e-6)  # type: ignore[union-attr]
