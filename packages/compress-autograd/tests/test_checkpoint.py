"""Gradient checkpointing: the budget is kept, gradients are the same bytes, refusals are clear."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from networks import Net, lstm, resnet

from compress_autograd.checkpoint import measure, parse_memory, readable
from compress_autograd.errors import BudgetError
from compress_autograd.loss import mse
from compress_autograd.trainable import Trainable
from compress_tensor import Builder, DType, Graph, InputError


def tower(layers: int = 12, width: int = 32, length: int = 64) -> Graph:
    """Transformer layers with dropout; one matrix is used by all of them."""
    net = Net()
    b = net.b
    h = b.input("input", DType.FLOAT32, ("N", length, width))
    shared = net.weight("shared", width, width, scale=0.1)
    for n in range(layers):
        h = net.norm(h + net.attention(h, f"a{n}", length, width, 4) @ shared, f"n{n}", width)
        up = b.gelu(net.linear(h @ shared, f"u{n}", width, 2 * width))
        h = h + b.dropout(net.linear(up, f"d{n}", 2 * width, width), np.float32(0.1))
    b.output("output", h)
    return b.graph()


FEEDS = {"input": np.random.default_rng(0).standard_normal((8, 64, 32)).astype(np.float32)}


def step(model: Trainable, feeds: Any) -> tuple[dict[str, bytes], int]:
    """Return gradients, loss, statistics and the peak of memory of a step."""
    tracemalloc.start()
    y = next(iter(model(feeds).values()))
    loss = mse(y, np.zeros(y.shape, np.float32))
    loss.backward()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    found = {name: p.grad.numpy().tobytes() for name, p in model.parameters.items()}  # type: ignore[union-attr]
    found |= {name: b.numpy().tobytes() for name, b in model.buffers.items()}
    return {**found, "loss": loss.numpy().tobytes()}, peak


def test_a_step_that_does_not_fit_is_refused_then_fits_by_computing_again() -> None:
    graph = tower()
    wanted, peak = step(Trainable(graph, seed=3), FEEDS)
    budget = peak * 2 // 5
    refused = Trainable(graph, memory=budget, checkpointing=False)
    with pytest.raises(
        BudgetError, match=r"needs .* budget is .* activations .* checkpointing=True"
    ):
        refused(FEEDS)
    model = Trainable(graph, memory=budget, seed=3)
    found, less = step(model, FEEDS)

    assert less < budget
    assert wanted == found
    assert sum(segment.again for segment in model.segments(FEEDS)) > 1
    assert model.generator.position > 0


@pytest.mark.parametrize("share", [0.9, 0.8])
def test_statistics_of_batches_are_noted_once(share: float) -> None:
    graph = resnet(blocks=2, width=8, size=16)
    feeds = {"input": np.random.default_rng(0).standard_normal((32, 3, 16, 16)).astype(np.float32)}
    wanted, peak = step(Trainable(graph), feeds)
    model = Trainable(graph, memory=int(peak * share))
    found, less = step(model, feeds)

    assert less < peak * share
    assert wanted == found


def test_what_is_estimated_is_what_is_taken() -> None:
    model = Trainable(tower())
    costs = measure(model, FEEDS)
    kept = costs.kept(0, len(costs.saved))
    tracemalloc.start()
    y = model(FEEDS)["output"]
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert y.requires_grad
    assert 0.9 < taken / kept < 1.25


def test_a_budget_that_is_too_small_says_what_is_possible() -> None:
    with pytest.raises(BudgetError, match=r"brings it down to .* no further"):
        Trainable(tower(layers=2), memory="300kB")(FEEDS)
    assert [parse_memory(t) for t in ("2GB", "1.5 MiB", 7)] == [2 * 10**9, 3 << 19, 7]
    assert readable(2.5e9) == "2.50 GB"
    with pytest.raises(InputError, match="'much' is no amount of memory"):
        Trainable(tower(layers=1), memory="much")


def test_inference_and_budgets_that_are_large_do_nothing_special() -> None:
    model = Trainable(tower(layers=1), memory="1TB")

    assert [False] == [segment.again for segment in model.segments(FEEDS)]
    assert model.eval()(FEEDS)["output"].requires_grad


def test_values_that_decide_shapes_cross_segments() -> None:
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 64))
    size = b.shape(x)
    h = x
    for n in range(6):
        w = b.constant(np.eye(64, dtype=np.float32) * 0.9, f"w{n}")
        h = b.reshape(b.tanh(h @ w), size)
    b.output("y", h)
    graph, feeds = b.graph(), {"x": np.ones((2000, 64), np.float32)}
    wanted, peak = step(Trainable(graph), feeds)
    model = Trainable(graph, memory=int(peak * 0.8))
    found, _ = step(model, feeds)

    assert any(segment.again for segment in model.segments(feeds))
    assert wanted == found


def test_gates_of_recurrent_layers_count() -> None:
    """What the layers keep beside values of the graph is part of the estimate, and of the cuts."""
    feeds = {"input": np.random.default_rng(0).standard_normal((60, 32, 10)).astype(np.float32)}
    graph = lstm(layers=5)
    costs = measure(Trainable(graph), feeds)
    kept = costs.kept(0, len(costs.saved))
    tracemalloc.start()
    y = Trainable(graph)(feeds)["output"]
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del y
    wanted, peak = step(Trainable(graph), feeds)
    model = Trainable(graph, memory=int(peak * 0.8))
    found, less = step(model, feeds)

    assert 0.9 < taken / kept < 1.25
    assert any(segment.again for segment in model.segments(feeds))
    assert less < peak * 0.8
    assert wanted == found
