"""Placement, insertion and the whole of static quantization on small networks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from compress_quant import (
    Activations,
    Observer,
    Override,
    Recipe,
    Target,
    When,
    quantize_static,
)
from compress_quant.equalize import equalize
from compress_quant.ledger import LedgerError
from compress_quant.place import Choice, place
from compress_quant.prepare import prepare
from compress_tensor import Builder, DType, Graph, InputError, Node, Value, compile  # noqa: A004
from compress_tensor.graph.interpret import interpret


@pytest.fixture
def rng():
    return np.random.default_rng(22)


def weights(rng, *shape):
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def residual(rng, channels=8):
    """Conv, Relu, two Conv with a residual Add and Relu, pooling, Gemm."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 3, 8, 8))
    bias = rng.normal(size=channels).astype(np.float32)
    pads = {"pads": [1, 1, 1, 1]}
    h = b.relu(b.conv(x, weights(rng, channels, 3, 3, 3), bias, **pads, name="c1"), name="r1")
    k = b.relu(b.conv(h, weights(rng, channels, channels, 3, 3), **pads, name="c2"), name="r2")
    k = b.conv(k, weights(rng, channels, channels, 3, 3), bias, **pads, name="c3")
    h = b.relu(b.add(h, k, name="a"), name="r3")
    h = b.flatten(b.global_average_pool(h, name="g"), name="f")
    b.output("y", b.gemm(h, weights(rng, 5, channels), transB=1, name="l"))
    return b.graph()


def samples(rng, n=8, shape=(3, 8, 8)):
    return [{"x": rng.normal(size=(2, *shape)).astype(np.float32)} for _ in range(n)]


def ops(graph):
    return Counter(node.op for node in graph.nodes)


def coded(graph):
    """Return the values that have codes."""
    return {node.inputs[0] for node in graph.nodes if node.op == "QuantizeLinear"}


def decibels(graph, quantized, feeds):
    a = [interpret(graph, f)["y"].astype(np.float64) for f in feeds]
    b = [interpret(quantized, f)["y"] for f in feeds]
    noise = sum(((p - q) ** 2).sum() for p, q in zip(a, b, strict=True))
    return 10 * np.log10(sum((p**2).sum() for p in a) / noise)


def test_a_residual_network_stays_in_integers(rng):
    """Codes after Relu, before Add on both sides, none on the float output."""
    graph, feeds = residual(rng), samples(rng)
    quantized, ledger = quantize_static(graph, feeds)

    assert {"x", "r1", "r2", "c3", "r3", "g", "f"} == coded(quantized)
    assert all(d.form == "int8" for d in ledger.decisions if d.op not in ("Identity",))
    assert decibels(graph, quantized, feeds) > 25
    assert decibels(graph, quantized, feeds) == pytest.approx(ledger.decibels, abs=0.5)
    by = {node.outputs[0]: node for node in quantized.nodes}
    bias = by[by["c1"].inputs[2]]
    assert quantized.constants[bias.inputs[0]].dtype == np.int32
    assert bias.attributes == {"axis": 0}
    assert len(bias.inputs) == 2


def test_bias_is_in_units_of_both_scales(rng):
    """int32 codes times scale of x times scale of w, in float32."""
    graph = residual(rng)
    quantized, _ = quantize_static(graph, samples(rng), Recipe(bias_correction=When.OFF))
    by = {node.outputs[0]: node for node in quantized.nodes}
    x, w, b = (by[name] for name in by["c3"].inputs)
    scale = {n.op + str(i): quantized.constants[n.inputs[1]] for i, n in enumerate((x, w, b))}
    original = graph.constants[next(n for n in graph.nodes if n.outputs[0] == "c3").inputs[2]]

    assert np.array_equal(
        scale["DequantizeLinear0"] * scale["DequantizeLinear1"], scale["DequantizeLinear2"]
    )
    codes = quantized.constants[b.inputs[0]]
    off = np.abs(codes * scale["DequantizeLinear2"].astype(np.float64) - original)
    assert (off <= scale["DequantizeLinear2"] * 0.51).all()


def test_batch_normalization_is_folded_first(rng):
    """Nothing is left of it."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 3, 8, 8))
    h = b.conv(x, weights(rng, 4, 3, 3, 3), name="c")
    one = np.ones(4, np.float32)
    h = b.batch_normalization(h, one, one, one, one, name="n")
    b.output("y", b.relu(h, name="r"))
    quantized, _ = quantize_static(b.graph(), samples(rng))

    assert "BatchNormalization" not in ops(quantized)


def test_constants_per_channel_go_into_the_convolution(rng):
    """A bias and a scale that are nodes of their own; a table that is none stays."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 3, 8, 8))
    h = b.conv(x, weights(rng, 4, 3, 3, 3), name="c")
    h = b.add(h * rng.normal(size=(4, 1, 1)).astype(np.float32), np.ones((1, 4, 1, 1), np.float32))
    h = b.relu(h, name="r")
    h = b.add(b.conv(h, weights(rng, 4, 4, 1, 1), name="d"), weights(rng, 4, 6, 6), name="table")
    b.output("y", h)
    graph = b.graph()
    found, feeds = prepare(graph), samples(rng)

    assert {"Conv": 2, "Relu": 1, "Add": 1, "Identity": 1} == dict(ops(found))
    a, c = (interpret(g, feeds[0])["y"] for g in (graph, found))
    assert np.abs(a - c).max() <= 1e-5 * np.abs(a).max()


def test_moving_operators_share_scales(rng):
    """MaxPool, Concat, Transpose: one scale for all they read and make."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 3, 8, 8))
    one = b.conv(x, weights(rng, 4, 3, 1, 1), name="c1")
    two = b.conv(x, weights(rng, 4, 3, 1, 1) * 9, name="c2")
    h = b.concat(one, b.max_pool(two, kernel_shape=[1, 1], name="p"), axis=1, name="k")
    h = b.transpose(h, perm=[0, 1, 3, 2], name="t")
    b.output("y", b.conv(h, weights(rng, 4, 8, 1, 1), name="c3"))
    quantized, _ = quantize_static(b.graph(), samples(rng))
    scales = {n.inputs[0]: n.inputs[1] for n in quantized.nodes if n.op == "QuantizeLinear"}

    assert len({scales[name] for name in ("c1", "c2", "p", "k", "t")}) == 1
    assert scales["x"] != scales["k"]


def test_activations_and_pools_between_products_have_codes(rng):
    """Each kind of follower; those that no product reads stay in floats."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 3, 8, 8))
    h = b.conv(x, weights(rng, 4, 3, 1, 1), name="c1")
    for method in ("sigmoid", "tanh", "leaky_relu", "hard_swish", "gelu"):
        h = getattr(b, method)(h, name=method)
    h = b.average_pool(h, kernel_shape=[2, 2], name="pool")
    h = b.mul(h, b.sigmoid(h, name="gate"), name="gated")
    h = b.conv(h, weights(rng, 4, 4, 1, 1), name="c2")
    b.output("y", b.sigmoid(h, name="last"))
    quantized, ledger = quantize_static(b.graph(), samples(rng))
    form = {d.node: d.form for d in ledger.decisions}

    assert {"sigmoid", "tanh", "leaky_relu", "hard_swish", "gelu", "pool", "gate", "gated"} <= (
        coded(quantized)
    )
    assert "float" == form["last"]


def test_attention_has_a_symmetric_right_side(rng):
    """Products of two activations; Softmax in floats between them."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 6, 8))
    q, k, v = (b.matmul(x, weights(rng, 8, 8), name=n) for n in "qkv")
    scores = b.matmul(q, b.transpose(k, perm=[0, 2, 1], name="kt"), name="s")
    h = b.matmul(b.softmax(b.mul(scores, 0.35, name="m"), name="p"), v, name="o")
    b.output("y", b.add(b.matmul(h, weights(rng, 8, 8), name="w"),
                        rng.normal(size=8).astype(np.float32), name="wb"))  # fmt: skip
    graph, feeds = b.graph(), samples(rng, shape=(6, 8))
    quantized, ledger = quantize_static(graph, feeds)
    zero = {
        n.inputs[0]: quantized.constants[n.inputs[2]]
        for n in quantized.nodes
        if n.op == "QuantizeLinear"
    }

    assert {"x", "q", "k", "kt", "v", "p", "o"} == set(zero)
    assert all(zero[n].dtype == np.int8 and not zero[n] for n in ("k", "kt", "v"))
    assert zero["p"].dtype == np.uint8
    assert all(d.form == "int8" for d in ledger.decisions if d.op == "MatMul")
    by = {node.outputs[0]: node for node in quantized.nodes}
    bias = by[next(n for n in by["wb"].inputs if n != "w")]
    assert quantized.constants[bias.inputs[0]].dtype == np.int32
    assert decibels(graph, quantized, feeds) > 25


def test_transposed_and_depthwise_convolutions(rng):
    """Per channel along the right axis."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 3, 8, 8))
    bias = rng.normal(size=6).astype(np.float32)
    wide = weights(rng, 3, 6, 2, 2) * np.exp(rng.normal(size=(1, 6, 1, 1))).astype(np.float32)
    h = b.conv_transpose(x, wide, bias, strides=[2, 2], name="t")
    deep = weights(rng, 6, 1, 3, 3) * np.exp(rng.normal(size=(6, 1, 1, 1)) * 3).astype(np.float32)
    h = b.conv(h, deep, bias, group=6, name="d")
    b.output("y", b.conv(h, weights(rng, 4, 6, 1, 1), name="c"))
    graph, feeds = b.graph(), samples(rng)
    quantized, _ = quantize_static(graph, feeds)
    by = {node.outputs[0]: node for node in quantized.nodes}

    assert 1 == by[by["t"].inputs[1]].attributes["axis"]
    assert 0 == by[by["d"].inputs[1]].attributes["axis"]
    assert decibels(graph, quantized, feeds) > 25


def hostile(rng):
    """A power spectrum, its logarithm, then layers: quantized blindly, the logarithm sees noise."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 64))
    spectrum = b.matmul(x, weights(rng, 64, 64), name="spectrum")
    power = b.mul(spectrum, spectrum, name="power")
    mel = b.matmul(power, np.abs(weights(rng, 64, 16)), name="mel")
    h = b.log(b.add(mel, 1e-9, name="offset"), name="log")
    for i in range(3):
        h = b.relu(b.matmul(h, weights(rng, 16, 16), name=f"layer{i}"), name=f"relu{i}")
    b.output("y", b.matmul(h, weights(rng, 16, 4), name="head"))
    loud = np.exp(rng.uniform(-12, 2, (64, 1)))
    data = [{"x": (rng.normal(size=(64, 64)) * loud).astype(np.float32)}]
    return b.graph(), data


def test_what_spans_many_orders_of_magnitude_is_found_by_measurement(rng):
    """The front end stays in floats and the ledger says why; the layers compute in integers."""
    graph, feeds = hostile(rng)
    blind, _ = quantize_static(graph, feeds, Recipe(least_decibels=-np.inf))
    quantized, ledger = quantize_static(graph, feeds)
    form = {d.node: d for d in ledger.decisions}

    assert decibels(graph, blind, feeds) < 15
    assert decibels(graph, quantized, feeds) > 20
    assert form["mel"].form == "float" or form["spectrum"].form == "float"
    assert all(form[f"layer{i}"].form == "int8" for i in range(3))
    reason = next(d.why for d in ledger.left_in_floats())
    assert "signal to noise" in reason
    assert "half of the values" in reason
    with pytest.raises(LedgerError, match="stays in floats"):
        quantize_static(graph, feeds, Recipe(strict=True))


def test_exclusions_types_and_overrides(rng):
    """What the recipe says is done, and the ledger repeats it."""
    graph, feeds = residual(rng), samples(rng)
    quantized, ledger = quantize_static(graph, feeds, Recipe(exclude=("c2*",), strict=True))
    form = {d.node: d for d in ledger.decisions}

    assert "float" == form["c2"].form
    assert "excluded by 'c2*'" == form["c2"].why
    assert {"x", "r1", "r2", "c3", "r3", "g", "f"} == coded(quantized)
    only, ledger = quantize_static(graph, feeds, Recipe(op_types=("Gemm",)))
    assert {"f"} == coded(only)
    recipe = Recipe(overrides=(Override("r1", low=0.0, high=51.0), Override("c2", keep_float=True)))
    fixed, ledger = quantize_static(graph, feeds, recipe)
    scale = {n.inputs[0]: n.inputs[1] for n in fixed.nodes if n.op == "QuantizeLinear"}
    assert fixed.constants[scale["r1"]] == np.float32(0.2)
    assert "float" == {d.node: d.form for d in ledger.decisions}["c2"]


def test_tensorrt_gets_symmetric_codes_and_float_biases(rng):
    """No zero points, no int32, no codes between a convolution and its residual Add."""
    quantized, _ = quantize_static(residual(rng), samples(rng), Recipe(target=Target.TENSORRT))
    pairs = [n for n in quantized.nodes if n.op == "QuantizeLinear"]

    assert all(quantized.constants[n.inputs[2]].dtype == np.int8 for n in pairs)
    assert all(not quantized.constants[n.inputs[2]].any() for n in pairs)
    assert not any(a.dtype == np.int32 for a in quantized.constants.values())
    assert "c3" not in coded(quantized)
    assert "r1" in coded(quantized)


def test_signed_activations(rng):
    """s8 with zero points, and without."""
    for kind in (Activations.S8, Activations.S8_SYMMETRIC):
        quantized, _ = quantize_static(residual(rng), samples(rng), Recipe(activations=kind))
        zeros = [quantized.constants[n.inputs[2]] for n in quantized.nodes
                 if n.op == "QuantizeLinear"]  # fmt: skip

        assert all(zero.dtype == np.int8 for zero in zeros)
        assert any(zeros) == (kind is Activations.S8)


@pytest.mark.parametrize("observer", list(Observer))
def test_every_observer_serves(observer, rng):
    """With ordinary data all come near."""
    graph, feeds = residual(rng), samples(rng)
    quantized, _ = quantize_static(graph, feeds, Recipe(observer=observer))

    assert decibels(graph, quantized, feeds) > 10


@pytest.mark.onnx
def test_the_same_bytes_whatever_order_batch_and_threads(rng):
    """Five ways to hand over the same samples give one file."""
    pytest.importorskip("onnx")
    from compress_export.onnx_write import to_bytes

    graph = residual(rng)
    x = rng.normal(size=(48, 3, 8, 8)).astype(np.float32)
    files = set()
    for size, threads in ((48, 1), (1, 2), (5, 1), (7, 2), (16, 1)):
        order = rng.permutation(48)
        data = [{"x": x[order[i : i + size]]} for i in range(0, 48, size)]
        quantized, _ = quantize_static(graph, data, Recipe(threads=threads))
        files.add(to_bytes(quantized))

    assert len(files) == 1


def test_dead_channels_keep_their_bias(rng):
    """A channel of zero weights: its bias is as exact as the others."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 3, 8, 8))
    w = weights(rng, 4, 3, 1, 1)
    w[1] = 0.0
    w[2] *= 1e-30
    bias = np.array([0.5, 0.123456, 0.654321, 0.0], np.float32)
    b.output("y", b.conv(x, w, bias, name="c"))
    graph, feeds = b.graph(), samples(rng)
    quantized, _ = quantize_static(graph, feeds, Recipe(bias_correction=When.OFF))
    y = interpret(quantized, feeds[0])["y"]

    assert y[:, 1] == pytest.approx(0.123456, rel=1e-6)
    assert y[:, 2] == pytest.approx(0.654321, rel=1e-6)


def test_equalization_leaves_the_network_as_it_is(rng):
    """And makes the ranges of both sides of a pair the same."""
    graph = prepare(residual(rng))
    conv = next(n for n in graph.nodes if n.name == "c2")
    graph.constants[conv.inputs[1]] = graph.constants[conv.inputs[1]] * np.exp(
        rng.normal(size=(8, 1, 1, 1)) * 2
    ).astype(np.float32)
    other = equalize(graph)
    x = samples(rng)[0]

    assert other is not None
    a, b = interpret(graph, x)["y"], interpret(other, x)["y"]
    assert np.abs(a - b).max() <= 1e-4 * np.abs(a).max()
    first, second = (other.constants[n.inputs[1]] for n in other.nodes if n.name in ("c2", "c3"))
    assert np.allclose(np.abs(first).max((1, 2, 3)), np.abs(second).max((0, 2, 3)), rtol=1e-3)


def test_equalization_helps_where_channels_differ(rng):
    """It is measured, kept, and needs data that can be read twice."""
    graph = residual(rng)
    nodes = {n.name: n for n in graph.nodes}
    uneven = np.exp(rng.normal(size=8) * 3).astype(np.float32)
    for name, factor in (("c2", uneven.reshape(8, 1, 1, 1)), ("c3", 1 / uneven.reshape(8, 1, 1))):
        key = nodes[name].inputs[1]
        graph.constants[key] = graph.constants[key] * factor
    feeds = samples(rng)
    _, ledger = quantize_static(graph, feeds)
    _, without = quantize_static(graph, feeds, Recipe(equalize=When.OFF))

    assert ledger.tried["equalization"] > ledger.tried["without equalization"] + 3
    assert ledger.decibels > without.decibels + 3
    with pytest.raises(InputError, match="twice"):
        quantize_static(graph, iter(feeds), Recipe(equalize=When.ON))


def test_bias_correction_takes_the_mean_error_away(rng):
    """With it, the mean shift of the first layer is smaller."""
    graph, feeds = residual(rng), samples(rng, 16)
    found = []
    for when in (When.OFF, When.ON):
        quantized, _ = quantize_static(graph, feeds, Recipe(bias_correction=when))
        shift = [
            (compile(quantized).run(f, ["c1"])["c1"] - compile(graph).run(f, ["c1"])["c1"])
            for f in feeds
        ]
        found.append(np.abs(np.mean(np.concatenate(shift), axis=(0, 2, 3))).mean())

    assert found[1] < found[0]


def test_graphs_that_cannot_be_quantized(rng):
    """Each with its sentence."""
    graph, feeds = residual(rng), samples(rng)
    quantized, _ = quantize_static(graph, feeds)
    with pytest.raises(InputError, match="already quantized"):
        quantize_static(quantized, feeds)
    b = Builder()
    b.output("y", b.relu(b.input("x", DType.FLOAT32, ("N", 3))))
    with pytest.raises(InputError, match="nothing to quantize"):
        quantize_static(b.graph(), feeds)
    broken = residual(rng)
    name = next(n.inputs[1] for n in broken.nodes if n.name == "c2")
    broken.constants[name] = np.full_like(broken.constants[name], np.nan)
    with pytest.raises(InputError, match=r"'c2'.*NaN"):
        quantize_static(broken, feeds)
    with pytest.raises(InputError, match="did you mean 'c1'"):
        quantize_static(graph, feeds, Recipe(exclude=("c11",)))
    with pytest.raises(InputError, match="'Convv'"):
        quantize_static(graph, feeds, Recipe(op_types=("Convv",)))
    with pytest.raises(InputError, match="names no node"):
        quantize_static(graph, feeds, Recipe(overrides=(Override("zzz", keep_float=True),)))


def test_constant_inputs_are_no_trouble(rng):
    """All samples zero: scale 1, outputs as the float network's."""
    graph = residual(rng)
    feeds = [{"x": np.zeros((2, 3, 8, 8), np.float32)}]
    quantized, _ = quantize_static(graph, feeds)

    a, b = (interpret(g, feeds[0])["y"] for g in (graph, quantized))
    assert np.abs(a - b).max() <= 0.05 * np.abs(a).max()


def test_names_that_are_taken_are_not_used_again(rng):
    """A graph with a value named like one of ours."""
    graph = Graph(
        nodes=[
            Node("Conv", ["x", "w"], ["x_quantized"], name="c"),
            Node("Relu", ["x_quantized"], ["x_scale"]),
            Node("Conv", ["x_scale", "w2"], ["y"]),
        ],
        inputs=[Value("x", DType.FLOAT32, ("N", 3, 8, 8))],
        outputs=[Value("y", DType.FLOAT32, ("N", 2, 8, 8))],
        constants={"w": weights(rng, 4, 3, 1, 1), "w2": weights(rng, 2, 4, 1, 1)},
    )
    quantized, _ = quantize_static(graph, samples(rng))

    quantized.check()


def test_placement_of_a_broken_choice_is_complete(rng):
    """With any one node excluded the rest is still well formed and near."""
    graph, feeds = residual(rng), samples(rng)
    for name in [n.name for n in graph.nodes if n.op != "Identity"]:
        quantized, _ = quantize_static(graph, feeds, Recipe(exclude=(name,)))
        quantized.check()

        assert decibels(graph, quantized, feeds) > 20
    assert place(prepare(graph), Target.CPU, Choice()).observed[0] == "x"
