"""Networks that are not one float32 input and a stack of products: embeddings, half precision."""

from __future__ import annotations

import numpy as np
import pytest

from compress_quant import Recipe, Target, certify, quantize_static
from compress_quant.in_float32 import in_float32
from compress_tensor import Builder, DType, Graph, InputError, Node, Value, compile  # noqa: A004
from compress_tensor.codec import decode, encode


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def text_classifier(rng, table):
    """Embedding, mean over the words, two Gemms."""
    b = Builder()
    ids = b.input("ids", DType.INT64, ("N", 6))
    words = b.gather(table, ids, name="embedding")
    h = b.reduce_mean(words, np.array([1], np.int64), keepdims=0)
    h = b.relu(b.gemm(h, rng.normal(size=(12, table.shape[1])).astype(np.float32), transB=1))
    b.output("y", b.gemm(h, rng.normal(size=(3, 12)).astype(np.float32), transB=1))
    return b.graph()


def sentences(rng, n=12):
    return [{"ids": rng.integers(0, 50, (2, 6))} for _ in range(n)]


def test_an_embedding_becomes_codes(rng):
    """One byte per element in the file; rows move as codes; the network stays what it is."""
    graph = text_classifier(rng, rng.normal(size=(50, 16)).astype(np.float32))
    feeds = sentences(rng)

    quantized, ledger = quantize_static(graph, feeds)

    (gather,) = (node for node in quantized.nodes if node.op == "Gather")
    assert quantized.constants[gather.inputs[0]].dtype == np.uint8
    assert not any(a.shape == (50, 16) and a.dtype == np.float32
                   for a in quantized.constants.values())  # fmt: skip
    (decision,) = (d for d in ledger.decisions if d.op == "Gather")
    assert (decision.form, decision.how) == ("int8", "table u8 -> float")
    assert ledger.decibels > 25
    session = compile(quantized, threads=1)
    assert not [line for line in session.report(feeds[0]) if "reference" in line.how]
    pytest.importorskip("onnxruntime")
    for comparison in certify(quantized, feeds[:1]).comparisons:
        assert comparison.agrees, comparison
        assert not comparison.note, comparison


def test_an_embedding_that_loses_too_much_stays_in_floats(rng):
    """Two outliers decide the scale, the rest is a code or two: the ledger says what is left."""
    table = rng.normal(size=(50, 16)).astype(np.float32) / 100
    table[0, 0], table[1, 0] = 1, -1

    quantized, ledger = quantize_static(text_classifier(rng, table), sentences(rng))

    (decision,) = (d for d in ledger.decisions if d.op == "Gather")
    assert decision.form == "float"
    assert decision.why.startswith("one scale leaves its table 2")
    (gather,) = (node for node in quantized.nodes if node.op == "Gather")
    assert quantized.constants[gather.inputs[0]].dtype == np.float32


def test_tensorrt_and_exclusions_keep_an_embedding_in_floats(rng):
    """TensorRT takes codes between Q and DQ only; whoever is excluded is named so."""
    graph = text_classifier(rng, rng.normal(size=(50, 16)).astype(np.float32))
    for recipe in (Recipe(target=Target.TENSORRT), Recipe(exclude=("embedding",))):
        quantized, _ = quantize_static(graph, sentences(rng), recipe)
        (gather,) = (node for node in quantized.nodes if node.op == "Gather")

        assert quantized.constants[gather.inputs[0]].dtype == np.float32


def narrow(values, dtype):
    """Return float64 values in a half-precision type."""
    values = values.astype(np.float32)
    return values.astype(np.float16) if dtype is DType.FLOAT16 else encode(values, dtype)


def half(dtype, rng):
    """Return a network whose values are all of a half-precision type, with a Cast inside."""

    def constant(*shape):
        return narrow(rng.normal(size=shape) / 3, dtype)

    constants = {"w": constant(8, 3, 3, 3), "b": constant(8), "head": constant(8, 5)}
    nodes = [
        Node("Conv", ["x", "w", "b"], ["c"], {"pads": [1, 1, 1, 1]}),
        Node("Relu", ["c"], ["r"]),
        Node("Cast", ["r"], ["up"], {"to": int(DType.FLOAT32)}),
        Node("Cast", ["up"], ["down"], {"to": int(dtype)}),
        Node("GlobalAveragePool", ["down"], ["g"]),
        Node("Flatten", ["g"], ["f"]),
        Node("MatMul", ["f", "head"], ["y"]),
    ]
    inputs = [Value("x", dtype, ("N", 3, 8, 8))]
    return Graph(nodes=nodes, inputs=inputs, outputs=[Value("y", dtype)], constants=constants)


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.BFLOAT16], ids=lambda d: d.label)
def test_half_precision_is_quantized_from_float32(dtype, rng):
    """The borders keep their types, everything between computes in int8."""
    graph = half(dtype, rng)
    x = [narrow(rng.normal(size=(2, 3, 8, 8)), dtype) for _ in range(6)]

    quantized, ledger = quantize_static(graph, [{"x": each} for each in x])

    assert not ledger.left_in_floats()
    assert (quantized.inputs[0].dtype, quantized.outputs[0].dtype) == (dtype, dtype)
    made = compile(quantized).run({"x": x[0]})["y"]
    assert made.dtype == dtype.numpy
    assert ledger.decibels > 25
    wide = in_float32(graph)
    assert {DType.of(a.dtype) for a in wide.constants.values()} == {DType.FLOAT32}
    expected, found = (
        decode(compile(g).run({"x": x[0]})["y"]).astype(np.float32) for g in (graph, wide)
    )
    # Two roundings of 8 or 11 bits: one in the middle, which float32 has not, one at the end.
    step = 2.0 ** (-7 if dtype is DType.BFLOAT16 else -10)
    assert np.abs(expected - found).max() <= 2 * step * np.abs(expected).max()


def test_a_float32_graph_is_left_alone(rng):
    """Nothing is copied where there is nothing to widen."""
    graph = text_classifier(rng, rng.normal(size=(50, 16)).astype(np.float32))

    assert in_float32(graph) is graph


def test_ids_out_of_range_are_a_sentence(rng):
    """Calibration data may hold anything."""
    graph = text_classifier(rng, rng.normal(size=(50, 16)).astype(np.float32))

    with pytest.raises((InputError, ValueError), match=r"51|range|index"):
        quantize_static(graph, [{"ids": np.full((2, 6), 51)}])
