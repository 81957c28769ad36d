"""Files for the target tensorrt are taken by TensorRT's parser and build engines, without a GPU."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from compress_autograd.data import CharacterStreams, open_dataset, preset
from compress_export import read_onnx, write_onnx
from compress_export.tensorrt_build import build_engine
from compress_quant.recipe import Recipe
from compress_quant.static import quantize_static
from compress_quant.target import Target
from compress_tensor import Builder, DType, MissingExtraError

pytestmark = pytest.mark.tensorrt

DATA = os.environ.get("COMPRESS_DATA")
SAMPLES = 8
MODELS = {
    "resnet20_cifar10": ("cifar10/train_4000.bin", "cifar10"),
    "resnet32_cifar10": ("cifar10/train_4000.bin", "cifar10"),
    "resnet56_cifar10": ("cifar10/train_4000.bin", "cifar10"),
    "resnet8_mlperf_cifar10": ("cifar10/train_4000.bin", "cifar10-raw"),
    "squeezenet1.1_imagenet": ("imagenet_samples", "imagenet"),
    "mobilenetv2_imagenet": ("imagenet_samples", "imagenet-pm1"),
    "kwt1_speechcommands": ("speech_commands", "speech"),
}


def built(graph, feeds, path):
    """Quantize, write, build; returns what TensorRT refused."""
    quantized, _ = quantize_static(graph, feeds, Recipe(target=Target.TENSORRT))
    write_onnx(quantized, path)
    try:
        return build_engine(path)
    except MissingExtraError as missing:
        pytest.skip(str(missing))


def test_a_small_network_builds(tmp_path):
    """Convolution, residual, pooling, product: no data from outside needed."""
    rng = np.random.default_rng(0)

    def weights(*shape):
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    b = Builder("small")
    x = b.input("input", DType.FLOAT32, ("N", 3, 16, 16))
    h = b.relu(b.conv(x, weights(16, 3, 3, 3), weights(16), pads=[1, 1, 1, 1]))
    h = b.relu(b.conv(h, weights(16, 16, 3, 3), weights(16), pads=[1, 1, 1, 1]) + h)
    h = b.flatten(b.global_average_pool(b.max_pool(h, kernel_shape=[2, 2], strides=[2, 2])))
    b.output("output", b.gemm(h, weights(10, 16), weights(10), transB=1))
    feeds = [{"input": rng.standard_normal((1, 3, 16, 16)).astype(np.float32)} for _ in range(4)]
    found = built(b.graph(), feeds, tmp_path / "small.onnx")

    assert found.errors == ()
    assert found.engine_bytes > 0


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="COMPRESS_DATA is not set")
@pytest.mark.parametrize("model", MODELS)
def test_real_models_build(model, tmp_path):
    """Every real classifier, calibrated on a few samples."""
    root = Path(DATA or "")
    data, steps = open_dataset(root / MODELS[model][0]), preset(MODELS[model][1])
    indices = np.linspace(0, len(data) - 1, SAMPLES).astype(int)
    feeds = [{"input": steps(data.sample(int(i)))[None]} for i in indices]
    graph = read_onnx(root / "models" / f"{model}.onnx")
    found = built(graph, feeds, tmp_path / "model.onnx")

    assert found.errors == ()
    assert found.engine_bytes > 0


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="COMPRESS_DATA is not set")
def test_the_recurrent_model_builds(tmp_path):
    """The character model: LSTMs stay in floats, the head is quantized."""
    root = Path(DATA or "")
    path = root / "models/charrnn_shakespeare.onnx"
    streams = CharacterStreams(
        root / "text/tinyshakespeare.txt", path.with_suffix(".vocab.json"), streams=4
    )
    states = {name: np.zeros((1, 4, 128), np.float32) for name in ("h0", "c0", "h1", "c1")}
    feeds = [{"input": streams.ids[:, i : i + 20], **states} for i in range(0, 80, 20)]
    found = built(read_onnx(path), feeds, tmp_path / "model.onnx")

    assert found.errors == ()
