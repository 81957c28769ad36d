"""Trainable: parameters, statistics, dropout, states, graphs that decide shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from networks import lstm, resnet, transformer

import compress_tensor as ct
from compress_autograd.loss import cross_entropy, mse
from compress_autograd.optim import SGD, Adam
from compress_autograd.trainable import Trainable, trainable_constants
from compress_tensor import Builder, DType, Graph, InputError, UnsupportedError
from compress_tensor.graph.interpret import interpret


def small() -> tuple[Graph, dict[str, Any]]:
    graph = resnet(blocks=1, width=4, size=8)
    return graph, {"input": np.random.default_rng(0).standard_normal((6, 3, 8, 8)).astype("f4")}


def trained(steps: int = 3, seed: int = 0) -> Trainable:
    graph, feeds = small()
    model = Trainable(graph, seed=seed)
    optimizer = SGD(model.parameters, 0.1, 0.9)
    for _ in range(steps):
        cross_entropy(model(feeds)["logits"], np.arange(6)).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


@pytest.mark.parametrize("make", [lambda: small()[0], lambda: transformer("bert"), lstm])
def test_in_inference_it_computes_what_the_definitions_do(make: Any) -> None:
    graph = make()
    shapes = {"T": 5, "N": 3}
    dims = [shapes.get(n, n) for n in graph.inputs[0].shape]
    x = np.random.default_rng(0).standard_normal(dims).astype(np.float32)
    wanted = interpret(graph, {"input": x})
    found = Trainable(graph).eval()({"input": x})

    for name, array in wanted.items():
        np.testing.assert_allclose(found[name].numpy(), array, rtol=1e-4, atol=1e-5)


def test_a_graph_that_was_not_trained_comes_back_as_it_was() -> None:
    """The same bytes in the same order; what is frozen is not even copied."""
    graph, _ = small()
    model = Trainable(graph, frozen=["stem.*"])
    found = model.graph()

    assert replace(found, constants={}) == replace(graph, constants={})
    assert list(found.constants) == list(graph.constants)
    for name, array in graph.constants.items():
        assert found.constants[name].dtype == array.dtype
        assert found.constants[name].shape == array.shape
        assert found.constants[name].tobytes() == array.tobytes()
        held = name in model.parameters or name in model.buffers
        assert (found.constants[name] is array) == (not held)


def test_training_makes_the_loss_small_and_the_graph_runs() -> None:
    graph, feeds = small()
    model = trained(30)
    after = model.graph()
    model.eval()
    logits = ct.compile(after).run(feeds)["logits"]

    np.testing.assert_allclose(model(feeds)["logits"].numpy(), logits, rtol=1e-3, atol=1e-4)
    assert (logits.argmax(1) == np.arange(6)).mean() > 0.6
    assert not np.array_equal(graph.constants["stem.mean"], after.constants["stem.mean"])


def test_running_statistics_are_those_of_the_definition() -> None:
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 3, 4))
    arrays = [np.ones(3, np.float32), np.zeros(3, np.float32)] * 2
    names = ["s", "b", "v", "m"]
    c = [b.constant(a, n) for a, n in zip(arrays, names, strict=True)]
    b.output("y", b.batchnormalization(x, c[0], c[1], c[3], c[2], momentum=0.7))
    graph = b.graph()
    values = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)
    model = Trainable(graph)
    model({"x": values})
    graph.nodes[0].attributes["training_mode"] = 1
    graph.nodes[0].outputs += ["rm", "rv"]
    wanted = interpret(graph, {"x": values}, ["rm", "rv"])

    np.testing.assert_allclose(wanted["rm"], model.graph().constants["m"], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(wanted["rv"], model.graph().constants["v"], rtol=1e-5)


def test_the_same_bytes_for_any_number_of_threads_and_in_every_run() -> None:
    before = ct.get_num_threads()
    states = []
    try:
        for threads in (1, 2, 2):
            ct.set_num_threads(threads)
            states.append(trained().state())
    finally:
        ct.set_num_threads(before)

    for other in states[1:]:
        assert {k: v.tobytes() for k, v in states[0].items()} == {
            k: v.tobytes() for k, v in other.items()
        }


def test_which_constants_are_parameters() -> None:
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 4))
    h = x @ b.constant(np.ones((4, 4), np.float32), "w") + b.constant(np.ones(4, np.float32), "b")
    mask = b.constant(np.array([0, 0, 0, -1e9], np.float32), "mask")
    h = b.clip(h / 8.0 + mask, np.float32(-1), np.float32(1))
    b.output("y", b.mul(h, b.constant(np.ones(4, np.float32), "gamma")))
    graph = b.graph()

    assert trainable_constants(graph) == ["w", "b", "gamma"]
    assert list(Trainable(graph, frozen=["g*"]).parameters) == ["w", "b"]
    assert list(Trainable(graph, parameters=["mask"]).parameters) == ["mask"]
    with pytest.raises(InputError, match="'nothing' is no float constant"):
        Trainable(graph, frozen=["nothing"])
    with pytest.raises(InputError, match="input 'z' does not exist"):
        Trainable(graph)({"z": 1})


def test_dropout_draws_from_its_seed_and_goes_on_from_a_state() -> None:
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 100))
    b.output("y", b.dropout(x, np.float32(0.3)))
    graph = b.graph()
    ones = {"x": np.ones((50, 100), np.float32)}
    one, two, other = Trainable(graph, seed=1), Trainable(graph, seed=1), Trainable(graph, seed=2)
    first = one(ones)["y"].numpy()

    assert first.tobytes() == two(ones)["y"].numpy().tobytes()
    assert first.tobytes() != other(ones)["y"].numpy().tobytes()
    assert abs((first == 0).mean() - 0.3) < 0.03
    assert np.allclose(first[first != 0], 1 / 0.7)
    np.testing.assert_array_equal(one.eval()(ones)["y"].numpy(), ones["x"])
    two.load_state(one.state())
    one.train()

    assert one(ones)["y"].numpy().tobytes() == two(ones)["y"].numpy().tobytes()


def test_a_state_of_another_model_is_refused() -> None:
    model = Trainable(small()[0])
    with pytest.raises(InputError, match="only in one of them"):
        model.load_state(Trainable(lstm()).state())
    wrong = model.state()
    wrong["fc.bias"] = np.zeros(3, np.float32)
    with pytest.raises(InputError, match=r"'fc.bias' has shape \[3\]"):
        model.load_state(wrong)


def test_shapes_that_are_computed() -> None:
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 6))
    size = b.concat(b.slice(b.shape(x), np.array([0]), np.array([1])), np.array([2, 3]), axis=0)
    y = b.reshape(x @ b.constant(np.eye(6, dtype=np.float32), "w"), size)
    b.output("y", b.slice(y, np.array([2]), np.array([-4]), np.array([2]), np.array([-1])))
    model = Trainable(b.graph())
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    y = model({"x": values})["y"]
    mse(y, np.zeros(y.shape, np.float32)).backward()

    np.testing.assert_array_equal(values.reshape(4, 2, 3)[:, :, ::-1], y.numpy())
    assert model.parameters["w"].grad is not None


def test_operators_of_ones_own_and_what_cannot_be_trained() -> None:
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 4))
    b.output("y", b.round(x * b.constant(np.ones(4, np.float32), "w")))
    graph = b.graph()
    graph.nodes[1].domain, graph.nodes[1].op = "own", "Through"
    model = Trainable(graph, operators={"own::Through": lambda node, x: x * 3.0})
    y = model({"x": np.ones((1, 4), np.float32)})["y"]
    ct.sum(y).backward()

    np.testing.assert_array_equal(np.full(4, 3), model.parameters["w"].grad.numpy())  # type: ignore[union-attr]
    with pytest.raises(UnsupportedError, match="Through"):
        Trainable(graph)


def test_adam_trains_a_transformer() -> None:
    model = Trainable(transformer("vit", length=5, width=8, heads=2))
    optimizer = Adam(model.parameters, 0.01)
    x = np.random.default_rng(0).standard_normal((4, 5, 8)).astype(np.float32)
    losses = []
    for _ in range(30):
        loss = mse(model({"input": x})["output"], x[:, ::-1].copy())
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    assert losses[-1] < 0.2 * losses[0]
