"""A stored CIFAR-10 network with few bits: quantized after training, or by training."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compress_autograd import Trainable, Trainer
from compress_autograd.data import Loader, open_dataset, preset
from compress_autograd.optim import SGD, cosine
from compress_export import read_onnx
from compress_quant import Recipe as Bits
from compress_quant import quantize_static
from compress_quant.calibration import Samples
from compress_quant.qat import OPERATORS, convert, prepare_qat, trainable_names
from compress_tensor import Graph, compile  # noqa: A004
from compress_tensor.eager import set_num_threads

SEED = 0
#: of training with quantization: epochs, pictures per step, learning rate
QAT_EPOCHS, QAT_BATCH, QAT_LR = 3, 100, 1e-3
CALIBRATION = 128
TRAIN, TEST = "cifar10/train_4000.bin", "cifar10/test_1000.bin"

Cell = dict[str, Any]


def quantized(root: Path, model: str, bits: int, threads: int, *, trained: bool) -> Cell:
    """Quantize a stored CIFAR-10 network, after training or by training.

    Args:
        root: folder of models and data.
        model: file name.
        bits: of weights (per channel) and activations (per tensor); 8 at the ends of the network.
        threads: of the engine.
        trained: with 3 epochs over 4,000 pictures, as `compress-quant qat` does it by default.

    Returns:
        Accuracy on the 1,000 test pictures in the integer engine, seconds, threads.
    """
    graph, steps = read_onnx(root / "models" / model), preset("cifar10")
    dataset = open_dataset(root / TRAIN)
    chosen = Bits(weight_bits=bits, activation_bits=bits)
    feeds = Samples(graph, dataset, steps, CALIBRATION)
    start = time.perf_counter()
    if not trained:
        found, _ = quantize_static(graph, feeds, replace(chosen, threads=threads))
    else:
        set_num_threads(threads)
        fake = prepare_qat(graph, feeds, chosen)
        network = Trainable(fake, operators=OPERATORS, parameters=trainable_names(fake))
        loader = Loader(dataset, steps, QAT_BATCH, seed=SEED)
        rates = cosine(QAT_LR, QAT_EPOCHS * len(loader))
        Trainer(network, SGD(network.parameters, rates, 0.9), loader, epochs=QAT_EPOCHS).fit()
        found, _ = convert(network.graph())
    seconds = time.perf_counter() - start
    return {"value": accuracy(root, found, threads), "seconds": seconds, "threads": threads}


def accuracy(root: Path, graph: Graph, threads: int) -> float:
    """Return the share of right answers on the 1,000 test pictures."""
    test, steps = open_dataset(root / TEST), preset("cifar10")
    session = compile(graph, threads=threads)
    (name,) = (value.name for value in session.inputs)
    right = 0
    for start in range(0, len(test), 100):
        rows = range(start, min(start + 100, len(test)))
        scores = session.run({name: np.stack([steps(test.sample(i)) for i in rows])})
        answers = next(iter(scores.values())).argmax(axis=1)
        right += int((answers == [test.label(i) for i in rows]).sum())
    return right / len(test)
