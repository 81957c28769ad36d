"""The networks of the zoo: sizes as published, outputs as in onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from compress_bench.zoo import NETWORKS, Blank, Seeded, build, feeds_for, front_end, network
from compress_bench.zoo.mobile import efficientnet_b0, mobilenet_v2
from compress_bench.zoo.recurrent import lstm_model
from compress_bench.zoo.registry import parameters
from compress_bench.zoo.resnet import resnet, resnet_cifar
from compress_bench.zoo.settle import settle
from compress_bench.zoo.transformer import BERT_BASE, BERT_SMALL, VIT_BASE, bert, keyword, vit
from compress_quant import Recipe, quantize_static
from compress_tensor import InputError, compile  # noqa: A004

#: the same code at sizes that a test can afford
SMALL = {
    "resnet18": partial(resnet, blocks=(1, 1, 1, 1), bottleneck=False, size=48),
    "resnet50": partial(resnet, blocks=(2, 1, 1, 1), bottleneck=True, size=48),
    "mobilenetv2": partial(mobilenet_v2, size=64),
    "efficientnet-b0": partial(efficientnet_b0, size=64),
    "bert": partial(bert, shape=replace(BERT_BASE, layers=1), sequence=12, vocabulary=500),
    "text_classifier": partial(bert, shape=BERT_SMALL, sequence=9, vocabulary=99, classes=2),
    "vit": partial(vit, shape=replace(VIT_BASE, layers=1), size=48),
    "kwt": partial(keyword, audio=True),
    "lstm": partial(lstm_model, vocabulary=70, embedding=24, hidden=40, steps="T"),
    "resnet20": partial(resnet_cifar, depth=8),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_counts(name):
    """As published; for small networks of our own, as their sizes give."""
    assert network(name).parameters == parameters(build(name, weights=Blank()))


@pytest.mark.parametrize("name", SMALL)
def test_like_onnxruntime(name, tmp_path):
    """Our engine and onnxruntime agree on the written file, and activations are of size 1."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from compress_export import write_onnx

    graph = SMALL[name](Seeded(0))
    graph = settle(graph, feeds_for(graph, 32)) if "net" in name else graph
    feeds = feeds_for(graph, 3, seed=2, T=5)
    if "attention_mask" in feeds:
        feeds["attention_mask"][1, 4:] = 0
    write_onnx(graph, tmp_path / "it.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "it.onnx", providers=["CPUExecutionProvider"])
    expected = session.run(None, feeds)
    found = compile(graph, threads=1).run(feeds)

    for value, array in zip(graph.outputs, expected, strict=True):
        scale = float(np.abs(array).max())
        assert array.shape == found[value.name].shape
        assert 1e-3 < scale < 100
        # Rounding errors of some dozen layers in float32, measured at 2e-5 at most.
        assert np.abs(found[value.name] - array).max() <= 1e-4 * scale


@pytest.mark.parametrize("name", [name for name in SMALL if name != "efficientnet-b0"])  # slow
def test_int8_takes_no_more_records(name):
    """Quantized, a network runs no more kernels than before."""
    graph = SMALL[name](Seeded(0))
    graph = settle(graph, feeds_for(graph, 8)) if "net" in name else graph
    samples = [feeds_for(graph, 2, T=5)]
    quantized, _ = quantize_static(graph, samples, Recipe(threads=1, least_decibels=-np.inf))

    for batch in (1, 3):
        feeds = feeds_for(graph, batch, seed=9, T=5)
        before, after = (
            [record.kernel for record, _ in compile(each, threads=1).profile(feeds)]
            for each in (graph, quantized)
        )
        assert any(kernel.endswith("_s8") for kernel in after)
        assert len(after) <= len(before)


def test_the_same_seed_gives_the_same_weights():
    """And another seed gives others."""
    one, two = build("resnet20", 3), build("resnet20", 3)
    other = build("resnet20", 4)

    assert all(two.constants[n].tobytes() == a.tobytes() for n, a in one.constants.items())
    name = "conv1.weight"
    assert other.constants[name].tobytes() != one.constants[name].tobytes()


def test_statistics_fit_the_data():
    """After settling, what a normalisation makes has mean beta and deviation gamma."""
    graph = resnet_cifar(Seeded(0), depth=8)
    feeds = feeds_for(graph, 8)
    settled = settle(graph, feeds)
    node = [n for n in settled.nodes if n.op == "BatchNormalization"][-1]
    found = compile(settled, threads=1, outputs=[node.outputs[0]]).run(feeds)[node.outputs[0]]
    gamma, beta = (settled.constants[n] for n in node.inputs[1:3])

    assert np.allclose(found.mean((0, 2, 3)), beta, atol=1e-3)
    assert np.allclose(found.std((0, 2, 3)), np.abs(gamma), atol=1e-3)


def test_masked_tokens_do_not_matter():
    """What stands behind the mask changes nothing before it."""
    graph = bert(Seeded(0), BERT_SMALL, 8, vocabulary=50)
    session, feeds = compile(graph, threads=1), feeds_for(graph, 2)
    feeds["attention_mask"][:, 5:] = 0
    expected = session.run(feeds)["last_hidden_state"][:, :5]
    feeds["input_ids"][:, 5:] = 1

    assert expected.tobytes() == session.run(feeds)["last_hidden_state"][:, :5].tobytes()


def test_normal_weights_are_cut():
    """No weight is beyond two deviations, and the rest keeps its shape."""
    found = Seeded(1).normal((40000,), 0.5)

    assert np.abs(found).max() <= 1.0
    assert found.std() == pytest.approx(0.5 * 0.8796, rel=0.02)  # of a normal cut at 2


def test_small_networks_start_from_the_beginning():
    """Scales are 1, shifts 0, statistics 0 and 1; the weights themselves are random."""
    graph = build("resnet20")
    for node in graph.nodes:
        if node.op == "BatchNormalization":
            parts = [graph.constants[name] for name in node.inputs[1:]]
            assert [1.0, 0.0, 0.0, 1.0] == [float(p.mean()) for p in parts]
            assert not any(p.std() for p in parts)

    assert graph.constants["conv1.weight"].std() == pytest.approx((2 / 27) ** 0.5, rel=0.1)


def test_front_end_like_numpy():
    """Power spectra as numpy.fft gives them; the cosine transform is orthonormal."""
    frame = np.random.default_rng(0).standard_normal(480).astype(np.float32)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480)
    expected = np.abs(np.fft.rfft(frame * window, 512)) ** 2
    found = (frame @ front_end.fourier(257)) ** 2

    assert np.allclose(expected, found[:257] + found[257:], rtol=1e-4, atol=1e-4)
    assert np.allclose(np.eye(40), front_end.cosine(40) @ front_end.cosine(40).T, atol=1e-6)
    assert (front_end.mel(257, 40).max(axis=0) > 0.3).all()


def test_unknown_name_and_size():
    """One sentence each."""
    with pytest.raises(InputError, match="the zoo has no 'alexnet'"):
        build("alexnet")
    with pytest.raises(InputError, match="images"):
        build("lstm-lm", size=64)
