"""Noise from layer to layer: errors add in power, like the steps of a random walk."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from compress_autograd.data import open_dataset, preset
from compress_export import read_onnx
from compress_quant import Observer, Recipe
from compress_quant.calibration import Samples
from compress_quant.depth import noise_by_depth, residual_values
from compress_tensor import Builder, DType, InputError

BLOCKS = 12


def residual_network(rng, blocks=BLOCKS, channels=16):
    """Return a chain of residual blocks whose branches are as large at every depth."""
    b = Builder()
    h = b.input("x", DType.FLOAT32, ("N", channels, 8, 8))

    def weights(n, k):
        return (rng.normal(size=(channels, n, k, k)) / np.sqrt(n * k * k)).astype(np.float32)

    for i in range(blocks):
        branch = b.relu(b.conv(h, weights(channels, 3), pads=[1, 1, 1, 1], name=f"a{i}"))
        branch = b.conv(branch, 0.7 * weights(channels, 3), pads=[1, 1, 1, 1], name=f"b{i}")
        h = b.relu(b.add(branch, h, name=f"sum{i}"), name=f"out{i}")
    b.output("y", b.flatten(b.global_average_pool(h)))
    return b.graph()


def feeds_of(rng, n=8, channels=16):
    return [{"x": rng.normal(size=(4, channels, 8, 8)).astype(np.float32)} for _ in range(n)]


def test_errors_of_layers_add_in_power():
    """With 8 bits the whole is the sum of the parts; every block takes a part of what is left."""
    rng = np.random.default_rng(5)
    graph, feeds = residual_network(rng), feeds_of(rng)
    found = noise_by_depth(graph, feeds)

    assert len(found.values) == BLOCKS + 1
    assert found.values[:-1] == tuple(residual_values(graph))
    assert np.array_equal(found.alone, np.triu(found.alone))
    assert (np.diagonal(found.alone)[:-1] > 0).all()
    assert np.abs(found.decibels - found.independent)[:-1].max() < 0.7
    assert (np.diff(found.decibels[:-1]) < 0.2).all()
    assert found.decibels[0] - found.decibels[-2] > 4.0


def test_two_bits_less_are_twelve_decibels():
    """A step four times as wide is sixteen times the power: 6.02 dB a bit (Bennett, 1948)."""
    rng = np.random.default_rng(6)
    graph, feeds = residual_network(rng), feeds_of(rng)
    eight, six = (
        noise_by_depth(
            graph, feeds, Recipe(weight_bits=n, activation_bits=n, edge_bits=n,
                                 observer=Observer.MINMAX)
        )
        for n in (8, 6)
    )  # fmt: skip

    assert np.abs(eight.decibels - six.decibels - 12.04)[:-1].max() < 1.2


def test_values_may_be_named():
    """In the order of the nodes; others are refused."""
    rng = np.random.default_rng(7)
    graph, feeds = residual_network(rng, 3), feeds_of(rng, 2)
    names = residual_values(graph)

    assert noise_by_depth(graph, feeds, values=names[1:]).values == (*names[1:], "y")
    with pytest.raises(InputError, match="in the order"):
        noise_by_depth(graph, feeds, values=names[::-1])
    with pytest.raises(InputError, match="no node makes 'nothing'"):
        noise_by_depth(graph, feeds, values=["nothing"])


@pytest.mark.skipif("COMPRESS_DATA" not in os.environ, reason="COMPRESS_DATA names no data")
def test_resnet56():
    """A real network: 27 blocks, the law within a few decibels, the sum within half of one."""
    root = Path(os.environ["COMPRESS_DATA"])
    graph = read_onnx(root / "models/resnet56_cifar10.onnx")
    data = open_dataset(root / "cifar10/train_4000.bin")
    found = noise_by_depth(graph, Samples(graph, data, preset("cifar10"), 64))
    blocks = found.decibels[:-1]

    assert len(blocks) == 27
    apart = np.abs(found.decibels - found.independent)
    assert apart[:-1].max() < 0.3
    assert apart[-1] < 1.5  # ten numbers a sample
    assert np.abs(found.decibels - found.walk)[:-1].max() < 3.0
    assert blocks[0] - blocks.min() > 10.0
    # averaging over 64 positions takes away what is independent from position to position
    assert found.decibels[-1] > blocks[-1] + 3.0
