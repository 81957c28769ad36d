"""How many samples suffice is measured: the ledger's uncertainty is the error that is there."""

from __future__ import annotations

import numpy as np
import pytest

from compress_quant import Observer, Recipe, quantize_static
from compress_quant.recipe import When
from compress_tensor import Builder, DType


def network(rng):
    """Return two layers with a Relu between."""
    b = Builder("net")
    x = b.input("x", DType.FLOAT32, ("N", 16))
    h = b.relu(b.gemm(x, rng.standard_normal((16, 32)).astype(np.float32), name="first"))
    b.output("y", b.gemm(h, rng.standard_normal((32, 4)).astype(np.float32), name="second"))
    return b.graph()


def scales(graph):
    """Return the scale of every quantized activation by the name of what is quantized."""
    found = {}
    for node in graph.nodes:
        if node.op == "QuantizeLinear":
            found[node.inputs[0]] = float(graph.constants[node.inputs[1]].reshape(-1)[0])
    return found


@pytest.mark.parametrize("observer", [Observer.PERCENTILE, Observer.MINMAX])
def test_the_reported_uncertainty_is_the_error_that_is_there(observer):
    """More samples leave less uncertainty, and scales are as wrong as the ledger says."""
    rng = np.random.default_rng(2)
    graph = network(rng)
    recipe = Recipe(observer=observer, bias_correction=When.OFF, equalize=When.OFF)

    def quantized(n):
        feeds = [{"x": rng.standard_normal((1, 16)).astype(np.float32)} for _ in range(n)]
        return quantize_static(graph, feeds, recipe)

    truth = scales(quantized(4096)[0])
    reported, errors = [], []
    for n in (16, 64, 256):
        said, was = [], []
        for _ in range(8):
            result, ledger = quantized(n)
            found = scales(result)
            said.append(ledger.uncertainty[0])
            was.append(np.median([abs(found[v] / truth[v] - 1) for v in truth]))
        reported.append(float(np.median(said)))
        errors.append(float(np.median(was)))

    assert reported[0] > reported[2] > 0
    assert errors[0] > errors[2]
    # The span of a half against that of the other is what one more doubling would change;
    # 4,096 samples are four to eight doublings away.
    for said_so, was_so, doublings in zip(reported, errors, (8, 6, 4), strict=True):
        assert was_so < (doublings + 2) * said_so
