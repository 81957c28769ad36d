"""A stored CIFAR-10 network with few bits: quantized after training, or by training."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from compress_autograd.data import Crop, Flip, Loader, open_dataset, preset
from compress_export import read_onnx
from compress_quant import Recipe as Bits
from compress_quant import quantize_static
from compress_quant.calibration import Samples
from compress_quant.qat import convert, prepare_qat, train
from compress_tensor import Graph, compile  # noqa: A004
from compress_tensor.eager import set_num_threads

SEED = 0
QAT_BATCH = 100
CALIBRATION = 128
TRAIN, TEST = "cifar10/train_4000.bin", "cifar10/test_1000.bin"

Cell = dict[str, Any]


def quantized(
    root: Path,
    model: str,
    chosen: Bits,
    threads: int,
    *,
    epochs: int = 0,
    augment: bool = False,
    taught: bool = False,
) -> Cell:
    """Quantize a stored CIFAR-10 network, after training or by training.

    Args:
        root: folder of models and data.
        model: file name.
        chosen: widths and granularity.
        threads: of the engine.
        epochs: of training over 4,000 pictures, as `compress-quant qat` does it by default;
            0: quantize after training.
        augment: crop and flip them.
        taught: by the float network, not by labels.

    Returns:
        Accuracy on the 1,000 test pictures in the integer engine, seconds, threads.
    """
    graph, steps = read_onnx(root / "models" / model), preset("cifar10")
    dataset = open_dataset(root / TRAIN)
    feeds = Samples(graph, dataset, steps, CALIBRATION)
    start = time.perf_counter()
    if not epochs:
        found, _ = quantize_static(graph, feeds, replace(chosen, threads=threads))
    else:
        set_num_threads(threads)
        fake = prepare_qat(graph, feeds, chosen)
        changes = (Crop(4), Flip()) if augment else ()
        loader = Loader(dataset, steps, QAT_BATCH, augment=changes, seed=SEED)
        found, _ = convert(train(fake, loader, epochs=epochs, teacher=graph if taught else None)[0])
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
