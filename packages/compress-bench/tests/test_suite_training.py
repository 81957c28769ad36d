"""Comparing training with torch: the twins are the same networks, a step is the same step."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from compress_bench import suite_training
from compress_bench.results import Results
from compress_bench.tables_training import markdown
from compress_bench.training import prepare, recipe
from compress_bench.training.run import Options
from compress_bench.zoo import feeds_for
from compress_tensor import MissingExtraError, compile  # noqa: A004


@pytest.fixture
def data(tmp_path):
    """Return a CIFAR file of 16 pictures and a text, by the network that takes them."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (16, 3073)).astype(np.uint8)
    records[:, 0] = np.arange(16) % 10
    (tmp_path / "p.bin").write_bytes(records.tobytes())
    (tmp_path / "t.txt").write_text("the cat sat on a mat. " * 40)
    return {"resnet20": tmp_path / "p.bin", "char_lstm": tmp_path / "t.txt"}


def _options(data, name):
    test = data[name] if name == "resnet20" else None
    return Options(data[name], test, epochs=2, batch=8)


@pytest.mark.parametrize("name", ["resnet20", "char_lstm"])
def test_the_twin_is_the_same_network(data, name):
    """The same outputs for the same weights, and the weights come back as they were."""
    torch = pytest.importorskip("torch", reason="torch is what we compare with")
    from compress_bench import peers_torch

    chosen = recipe(name)
    graph = prepare(name, chosen, _options(data, name), lambda *_: None).material.graph
    twin = getattr(peers_torch, name)(graph)
    feeds = feeds_for(graph, 3, T=9)
    feeds.update({n: np.zeros_like(a) for n, a in feeds.items() if n != "input"})
    expected = twin.net.eval()(torch.from_numpy(feeds["input"])).detach().numpy()
    found = compile(graph, threads=1).run(feeds)["output"]

    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    for constant, array in twin.back().items():
        assert array.tobytes() == graph.constants[constant].tobytes(), constant


@pytest.mark.parametrize("name", ["resnet20", "char_lstm"])
def test_a_few_steps_are_the_same_steps(data, name):
    """Weights move in the same direction by the same amount, up to rounding."""
    pytest.importorskip("torch", reason="torch is what we compare with")
    from compress_bench.peers_torch import train_torch

    chosen = recipe(name)
    ours = prepare(name, chosen, _options(data, name), lambda *_: None)
    material = prepare(name, chosen, _options(data, name), lambda *_: None).material
    theirs, _ = train_torch(material, chosen, 2, 1, lambda _: None)
    ours.trainer.fit()
    found = ours.model.graph()

    for parameter in ours.model.parameters:
        moved = theirs.constants[parameter] - material.graph.constants[parameter]
        apart = theirs.constants[parameter] - found.constants[parameter]
        assert np.linalg.norm(moved) > 0
        assert np.linalg.norm(apart) <= 0.02 * np.linalg.norm(moved), parameter


def test_suite_without_torch(tmp_path, monkeypatch, capsys):
    """What cannot be measured is said in a sentence; the rest is kept and not measured again."""
    calls = []

    def measured(key):
        calls.append(key)
        if key == "torch":
            raise MissingExtraError("torch is not installed, there is nothing to compare with")
        return {
            "metric": "accuracy",
            "value": 0.5,
            "epochs": 1,
            "seconds": 2.0,
            "threads": 1,
        }

    cells = {f"resnet20 {key}": lambda key=key: measured(key) for key in ("ours", "torch")}
    monkeypatch.setattr(suite_training, "cells", lambda *_: cells)
    monkeypatch.setattr(sys, "argv", ["suite", "--out", str(tmp_path)])
    monkeypatch.setenv("COMPRESS_DATA", str(tmp_path))
    suite_training.suite()
    suite_training.suite()

    assert calls == ["ours", "torch", "torch"]
    assert "nothing to compare with" in capsys.readouterr().out
    assert "| resnet20 | accuracy | 1 | 50.00% | not measured |" in _page(tmp_path)


def test_tables(tmp_path):
    """Differences in points, times relative to the plain step, the refusal in words."""
    results = Results(tmp_path / "training.json", "training", {"processor": "p"})
    for side, value in (("ours", 2.31), ("torch", 2.3)):
        cell = {"metric": "bits per character", "value": value, "epochs": 1, "seconds": 1.0}
        results.keep(f"char_lstm {side}", cell)
    results.keep("quantized fp32", {"value": 0.9})
    results.keep("quantized qat 8", {"value": 0.905, "seconds": 3.0})
    base = {"batch": 1, "sequence": 512, "threads": 1}
    done = {"losses": [0.7], "segments": 4, "peak_resident_bytes": 5e9}
    results.keep("memory refused", base | {"memory": "4GB", "refused": "needs 6 GB"})
    plain = {"memory": None, "seconds": 10.0, "computed_again": 0}
    results.keep("memory plain", base | done | plain)
    results.keep("memory less", base | done | {"memory": "4GB", "seconds": 13, "computed_again": 3})
    page = markdown(json.loads((tmp_path / "training.json").read_text()))

    assert "2.3100 | 2.3000 | +0.0100" in page
    assert "| 8 bits | not measured | 90.50% | 90.00% | +0.50 | 3 |" in page
    assert "| less | 4GB | 3 of 4 | 5.00 | 13.0 | 1.30x | 0.700000 |" in page
    assert "> needs 6 GB" in page


def _page(folder: Path) -> str:
    return (folder / "training.md").read_text()
