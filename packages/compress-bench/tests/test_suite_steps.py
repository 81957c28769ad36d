"""Training steps beside torch: both sides take the same steps, and the page says what was seen."""

from __future__ import annotations

import json

import numpy as np
import pytest

from compress_bench import steps
from compress_bench.results import Results
from compress_bench.suite_steps import markdown
from compress_tensor import InputError


@pytest.mark.parametrize("name", list(steps.SIDES))
def test_both_sides_take_the_same_steps(name):
    """The losses of three steps agree, so weights, batch, optimizer and clipping do."""
    pytest.importorskip("torch", reason="torch is what we compare with")
    found = []
    for side in steps.SIDES[name]:
        given = steps.task(name, batch=4)
        step = steps.steps_of(name, given, side, 1)
        found.append([step() for _ in range(3)])

    assert found[0][0] != found[0][2]
    for other in found[1:]:
        np.testing.assert_allclose(found[0], other, rtol=2e-4)


def test_products_are_counted():
    """A step has three times the products of a forward pass: 41 M for a ResNet-20 picture."""
    assert 2 * 3 * 2 * 40_800_000 == pytest.approx(steps.task("resnet20", 2).operations, rel=0.02)


def test_unknown_network():
    """The message names those that are trained."""
    with pytest.raises(InputError, match=r"'resnet50'.*resnet20, vit_tiny"):
        steps.task("resnet50")


def test_page(tmp_path):
    """The faster layout of torch counts; memory is what a process grows by."""
    results = Results(tmp_path / "steps.json", "steps", {"processor": "p"})
    times = {"ours": [0.1] * 5, "torch": [0.3] * 5, "torch channels_last": [0.2] * 5}
    held = {
        "ours": {"before": 10e6, "peak": 110e6},
        "torch": {"before": 50e6, "peak": 350e6},
        "torch channels_last": {"before": 50e6, "peak": 250e6},
    }
    cell = {"unit": "fp32", "threads": 2, "operations": 10**9, "peak": 1e11, "seconds": times}
    results.keep("resnet20 2", {**cell, "batch": [128, 3, 32, 32], "memory": held})
    page = markdown(json.loads((tmp_path / "steps.json").read_text()))

    assert (
        "| resnet20 | 128x3x32x32 | 2 | 100.0 | 200.0 (torch channels_last) | 2.00 [2.00, 2.00] "
        "| 10% | 100 | 200 |" in page
    )
