"""Quantization-aware training: gradients, insertion, conversion, and that it recovers accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from compress_autograd import Trainable, cross_entropy
from compress_autograd.optim import SGD
from compress_quant import Observer, Recipe, When, quantize_static
from compress_quant.qat import OPERATORS, FakeQuantize, Method, convert, prepare_qat, scale_names
from compress_tensor import Builder, DType, InputError, Tensor, Value, compile  # noqa: A004
from compress_tensor.graph.interpret import interpret


@pytest.fixture
def rng():
    return np.random.default_rng(31)


def weights(rng, *shape):
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def network(rng, channels=8):
    """Convolutions with batch normalisation and a residual, pooling, Gemm."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 3, 8, 8))

    def block(h, name, inputs):
        h = b.conv(h, weights(rng, channels, inputs, 3, 3), pads=[1, 1, 1, 1], name=f"{name}c")
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        return b.batch_normalization(h, ones * 1.1, zeros + 0.2, zeros, ones, name=f"{name}n")

    h = b.relu(block(x, "a", 3), name="r1")
    k = b.relu(block(h, "b", channels), name="r2")
    h = b.relu(b.add(block(k, "c", channels), h, name="s"), name="r3")
    h = b.flatten(b.global_average_pool(h, name="g"), name="f")
    bias = rng.normal(size=4).astype(np.float32)
    b.output("y", b.gemm(h, weights(rng, 4, channels), bias, transB=1, name="l"))
    return b.graph()


def feeds_of(rng, n=6):
    return [{"x": rng.normal(size=(4, 3, 8, 8)).astype(np.float32)} for _ in range(n)]


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_fake_quantize_is_quantizing_and_its_surrogate_has_these_gradients(axis, rng):
    """Forward: the grid.  Backward: differences of x clip(v) s with the rounding frozen."""
    low, high = -5, 9
    x = (rng.normal(size=(6, 7, 3)) * 2).astype(np.float32)
    shape = [1, 1, 1]
    if axis is not None:
        shape[axis] = x.shape[axis]
    s = rng.uniform(0.2, 0.5, shape).astype(np.float32)
    g = rng.normal(size=x.shape).astype(np.float32)
    given, scale = Tensor(x), Tensor(s.reshape(-1))
    given.requires_grad = scale.requires_grad = True

    y = FakeQuantize(low, high, axis)(given, scale)
    y.backward(Tensor(g))

    v = x / s
    assert np.array_equal(np.clip(np.rint(v), low, high).astype(np.float32) * s, y.numpy())
    inside = (v >= low) & (v <= high)
    assert np.array_equal(np.where(inside, g, 0), given.grad.numpy())
    residual = np.where(inside, np.rint(v) - v, 0).astype(np.float64)

    def loss(step):  # in float64, v frozen inside where it matters: s (v + residual)
        codes = np.where(inside, x / step + residual, np.clip(v, low, high))
        return (g * step * codes).sum()

    others = tuple(i for i in range(3) if i != axis)
    wanted = g * np.where(inside, residual, np.clip(v, low, high))
    wanted = wanted.sum(axis=others if axis is not None else None).reshape(-1)
    factor = 1 / np.sqrt(x.size / scale.size * high)
    assert np.allclose(wanted * factor, scale.grad.numpy(), rtol=1e-4, atol=1e-5)
    h = 1e-6
    total = (loss(s.astype(np.float64) + h) - loss(s.astype(np.float64) - h)) / (2 * h)
    assert np.isclose(total, wanted.sum(), rtol=1e-4)


@pytest.mark.parametrize("method", list(Method))
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_integers_give_the_codes_of_training(bits, method, rng):
    """Every code of the converted graph, in our engine, against the fake-quantized values."""
    feeds = feeds_of(rng)
    recipe = Recipe(weight_bits=bits, activation_bits=bits)
    fake = prepare_qat(network(rng), feeds, recipe, method)
    nodes = [n for n in fake.nodes if n.op == "FakeQuantize" and n.attributes.get("batched")]
    fake.outputs = [*fake.outputs, *(Value(n.outputs[0]) for n in nodes)]
    expected = Trainable(fake, operators=OPERATORS).eval()(feeds[0])
    fake.outputs = fake.outputs[: -len(nodes)]

    quantized, ledger = convert(fake)

    assert not ledger.left_in_floats()
    coded = [n for n in quantized.nodes if n.op == "QuantizeLinear"]
    names = [n.outputs[0] for n in coded]
    found = compile(quantized).run(feeds[0], outputs=names)
    assert len(nodes) == len(coded)
    for node, code in zip(nodes, coded, strict=True):
        step, zero = (quantized.constants[name] for name in code.inputs[1:])
        wanted = np.rint(expected[node.outputs[0]].numpy() / step) + zero
        apart = np.abs(found[code.outputs[0]].astype(np.int32) - wanted)
        assert apart.max() <= 1
        assert np.count_nonzero(apart) <= 1e-3 * apart.size
        assert wanted.min() >= 0
    narrow = [a for a in quantized.constants.values() if a.dtype == np.int8 and a.ndim == 4]
    assert min(int(np.abs(a).max()) for a in narrow) <= (1 << (bits - 1)) - 1


@pytest.mark.parametrize("per_channel", [True, False])
def test_conversion_without_training_is_quantizing_after_training(per_channel, rng):
    """The same nodes and the same codes, where both have the same ranges."""
    graph, feeds = network(rng), feeds_of(rng)
    recipe = Recipe(
        equalize=When.OFF,
        bias_correction=When.OFF,
        observer=Observer.MSE,
        least_decibels=-1e9,
        per_channel=per_channel,
    )
    after, _ = quantize_static(graph, feeds, recipe)
    during, _ = convert(prepare_qat(graph, feeds, recipe, Method.STE))

    assert [(n.op, n.inputs, n.outputs) for n in after.nodes] == [
        (n.op, n.inputs, n.outputs) for n in during.nodes
    ]
    assert set(after.constants) == set(during.constants)
    for name, array in after.constants.items():
        assert array.tobytes() == during.constants[name].tobytes(), name


def test_training_brings_back_what_two_bits_lose(rng):
    """It learns to be its float self again with 2-bit weights; twice gives the same bytes."""
    graph = network(rng)
    feeds = feeds_of(rng, 16)
    labels = [compile(graph).run(f)["y"].argmax(axis=1) for f in feeds]
    recipe = Recipe(weight_bits=2, activation_bits=4)

    def hits(made):
        session = compile(made)
        return sum(int((session.run(f)["y"].argmax(axis=1) == y).sum())
                   for f, y in zip(feeds, labels, strict=True))  # fmt: skip

    def trained():
        fake = prepare_qat(graph, feeds, recipe)
        model = Trainable(fake, operators=OPERATORS, parameters=trainable(fake))
        optimizer = SGD(model.parameters, lr=0.01, momentum=0.9)
        for _ in range(12):
            for f, y in zip(feeds, labels, strict=True):
                optimizer.zero_grad()
                cross_entropy(model(f)["y"], y).backward()
                optimizer.step()
        return fake, model.graph()

    fake, made = trained()
    before, after = hits(convert(fake)[0]), hits(convert(made)[0])

    assert after > before
    assert after >= 0.9 * sum(len(y) for y in labels)
    again = trained()[1]
    assert all(made.constants[n].tobytes() == a.tobytes() for n, a in again.constants.items())


def trainable(fake):
    """Return weights, biases, and the learned scales."""
    scales = set(scale_names(fake))
    return [
        n for n, a in fake.constants.items() if a.dtype == np.float32 and (a.ndim or n in scales)
    ]


def test_only_what_was_prepared_can_be_converted(rng):
    """One sentence for another graph, and for weights that training ruined."""
    graph, feeds = network(rng), feeds_of(rng)
    with pytest.raises(InputError, match="not made by prepare_qat"):
        convert(graph)
    fake = prepare_qat(graph, feeds)
    name = next(
        n.inputs[0] for n in fake.nodes if n.op == "FakeQuantize" and "axis" in n.attributes
    )
    fake.constants[name] = np.full_like(fake.constants[name], np.nan)
    with pytest.raises(InputError, match=f"{name}.*earlier checkpoint"):
        convert(fake)


def test_one_scale_per_weight(rng):
    """Where channels differ by a factor of a hundred, one scale for all of them costs accuracy."""
    graph, feeds = network(rng), feeds_of(rng)
    second = [n for n in graph.nodes if n.op == "Conv"][1]
    weight = graph.constants[second.inputs[1]]
    spread = np.logspace(-2, 0, len(weight), dtype=np.float32)
    graph.constants[second.inputs[1]] = weight * spread[:, None, None, None]
    noise = []
    for per_channel in (True, False):
        recipe = Recipe(
            weight_bits=4,
            equalize=When.OFF,
            bias_correction=When.OFF,
            per_channel=per_channel,
        )
        quantized, _ = quantize_static(graph, feeds, recipe)
        held = quantized.constants
        kernels = [n for n in quantized.nodes if held.get(n.inputs[0], weight[0]).ndim == 4]
        assert {held[n.inputs[1]].size for n in kernels} == {8 if per_channel else 1}
        session = compile(quantized)
        found = session.run(feeds[0])
        expected = interpret(quantized, feeds[0])
        for name, array in expected.items():
            assert np.allclose(found[name], array, atol=1e-5)
        original = interpret(graph, feeds[0])
        noise.append(sum(float(np.square(found[n] - original[n]).sum()) for n in original))
    assert noise[0] < 0.8 * noise[1]
