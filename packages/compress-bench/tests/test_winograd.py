"""Real networks classify the same with fewer multiplications."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from compress_autograd.data import open_dataset, preset
from compress_bench.kinds import Kind
from compress_bench.quality import evaluate
from compress_bench.runtimes import Runtime, load


@pytest.mark.skipif("COMPRESS_DATA" not in os.environ, reason="COMPRESS_DATA names no data")
def test_resnet20_classifies_as_before():
    """1000 labelled images: no answer changes with any tile, and scores by roundings alone.

    Scores are of size 40: over 20 layers they differ by about 10 units in the last place.
    """
    root = Path(os.environ["COMPRESS_DATA"])
    data, steps = open_dataset(root / "cifar10/test_1000.bin"), preset("cifar10")
    direct, *fewer = (
        evaluate(
            load(root / "models/resnet20_cifar10.onnx", Runtime.OURS, 1, kind=kind),
            data,
            steps,
            batch=250,
            keep_outputs=True,
        )
        for kind in (Kind.DIRECT, Kind.FP32, Kind.WINOGRAD)
    )

    for found in fewer:
        assert (0.915, 1000) == (found.top1, found.samples)
        assert np.array_equal(direct.answers, found.answers)
        assert 0 < np.abs(direct.outputs - found.outputs).max() < 1e-4
