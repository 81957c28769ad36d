"""The exported file does not depend on the processor, and real models keep their accuracy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

ROOT = Path(os.environ.get("COMPRESS_DATA", "/absent"))

SCRIPT = """
import hashlib, sys
import numpy as np
from compress_export.onnx_write import to_bytes
from compress_quant import Recipe, quantize_static
from compress_tensor import Builder, DType

rng = np.random.default_rng(0)
b = Builder()
x = b.input("x", DType.FLOAT32, ("N", 3, 12, 12))
h = x
for i in range(3):
    w = rng.normal(size=(16, h.shape[1], 3, 3)).astype(np.float32) * 0.2
    h = b.relu(b.conv(h, w, np.ones(16, np.float32), pads=[1, 1, 1, 1]))
h = b.flatten(b.global_average_pool(h))
b.output("y", b.gemm(h, rng.normal(size=(5, 16)).astype(np.float32), transB=1))
data = rng.normal(size=(20, 3, 12, 12)).astype(np.float32)
made, _ = quantize_static(b.graph(), [{"x": data}], Recipe(threads=int(sys.argv[1])))
print(hashlib.sha256(to_bytes(made)).hexdigest())
"""


def digest(isa, *numbers, script=SCRIPT):
    """Return the hash of the exported file, made in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, numbers)],
        env={**os.environ, "COMPRESS_ISA": isa},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_file_is_the_same_on_every_instruction_set():
    """Bytes, for one and two threads."""
    found = {digest(isa, threads) for isa, threads in (("scalar", 1), ("avx2", 1), ("", 2))}

    assert len(found) == 1


REAL = """
import hashlib, os, sys
from pathlib import Path
import numpy as np
from compress_autograd.data import open_dataset, preset
from compress_export import read_onnx
from compress_export.onnx_write import to_bytes
from compress_quant import Recipe, quantize_static

root, threads, batch, seed = Path(os.environ["COMPRESS_DATA"]), *map(int, sys.argv[1:])
graph = read_onnx(root / "models/resnet8_mlperf_cifar10.onnx")
data, steps = open_dataset(root / "cifar10/train_4000.bin"), preset("cifar10-raw")
order = np.random.default_rng(seed).permutation(96) if seed else np.arange(96)
rows = np.stack([steps(data.sample(int(i))) for i in order])
feeds = [{"input": rows[i : i + batch]} for i in range(0, len(rows), batch)]
made, _ = quantize_static(graph, feeds, Recipe(threads=threads))
print(hashlib.sha256(to_bytes(made)).hexdigest())
"""


@pytest.mark.data
@pytest.mark.skipif(not ROOT.is_dir(), reason="COMPRESS_DATA is not set")
def test_the_file_of_a_real_network_is_the_same_however_it_is_made():
    """Five runs: instruction sets, threads, order and batches of the calibration data."""
    ways = [
        ("", 1, 96, 0),
        ("", 2, 7, 1),
        ("avx2", 1, 16, 2),
        ("avx2", 2, 5, 3),
        ("", 2, 96, 0),
    ]
    found = {digest(isa, *numbers, script=REAL) for isa, *numbers in ways}

    assert len(found) == 1


def accuracy(graph, samples, labels):
    """Return the share of right answers."""
    from compress_tensor import compile  # noqa: A004

    session = compile(graph, threads=2)
    right = 0
    for start in range(0, len(samples), 16):
        part = np.stack(samples[start : start + 16])
        (scores,) = session.run({"input": part}).values()
        right += int((scores.argmax(axis=1) == labels[start : start + 16]).sum())
    return right / len(samples)


@pytest.mark.data
@pytest.mark.skipif(not ROOT.is_dir(), reason="COMPRESS_DATA is not set")
@pytest.mark.parametrize(
    ("model", "preprocess"),
    [("resnet20_cifar10", "cifar10"), ("resnet8_mlperf_cifar10", "cifar10-raw")],
)
def test_real_networks_lose_at_most_half_a_point(model, preprocess):
    """Calibrated on training pictures, measured on all test pictures."""
    from compress_autograd.data import open_dataset, preset
    from compress_export import read_onnx
    from compress_quant import Recipe, quantize_static
    from compress_quant.calibration import Samples

    graph = read_onnx(ROOT / "models" / f"{model}.onnx")
    training = open_dataset(ROOT / "cifar10/train_4000.bin")
    feeds = Samples(graph, training, preset(preprocess), 256)
    quantized, ledger = quantize_static(graph, feeds, Recipe(threads=2, strict=True))
    test, steps = open_dataset(ROOT / "cifar10/test_1000.bin"), preset(preprocess)
    samples = [steps(test.sample(i)) for i in range(len(test))]
    labels = np.array([test.label(i) for i in range(len(test))])

    assert not ledger.left_in_floats()
    assert accuracy(quantized, samples, labels) >= accuracy(graph, samples, labels) - 0.005


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not ROOT.is_dir(), reason="COMPRESS_DATA is not set")
def test_the_audio_front_end_is_found():
    """The nodes named ``frontend*`` that the data's README warns of, and next to nothing else."""
    from compress_autograd.data import open_dataset, preset
    from compress_export import read_onnx
    from compress_quant import Recipe, quantize_static
    from compress_quant.calibration import Samples

    graph = read_onnx(ROOT / "models" / "kwt1_speechcommands.onnx")
    clips = open_dataset(ROOT / "speech_commands")
    feeds = Samples(graph, clips, preset("speech"), 60)
    _, ledger = quantize_static(graph, feeds, Recipe(threads=2))
    found = [d.node for d in ledger.left_in_floats()]

    assert "frontend.magnitude_rdf_tmel_22/MatMul" in found
    assert sum(not name.startswith("frontend") for name in found) <= 1
    assert len(found) <= 6
    assert ledger.decibels > 20
