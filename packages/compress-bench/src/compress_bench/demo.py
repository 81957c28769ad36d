"""The main job on data that needs no download: ``python -m compress_bench.demo``.

Trains a small convolutional network on scikit-learn's bundled handwritten digits, writes it as
ONNX, quantizes it to INT8, and runs both files in our engine and in onnxruntime, side by side.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from compress_autograd import Trainable, Trainer
from compress_autograd.data import Crop, InMemory, Loader
from compress_autograd.optim import AdamW, one_cycle
from compress_export import write_onnx
from compress_quant.static import quantize_static
from compress_tensor import Graph, MissingExtraError
from compress_tensor.console import run
from compress_tensor.files import write_atomically

from . import machine
from .clock import interleave
from .runtimes import ALWAYS, Array, Runner, load
from .statistics import summarize, wilson
from .zoo import Initial
from .zoo.layers import Layers

CHANNELS = ((16, 1), (32, 2), (64, 1))  #: channels and stride of each convolution
EPOCHS, BATCH, LR = 15, 32, 1e-2
SEED = 0
CALIBRATION = 128  #: training images that the quantizer sees


def network() -> Graph:
    """Return three convolutions for pictures of 8 x 8, with the weights training starts from."""
    net = Layers("digits", Initial(SEED))
    x = net.image(8, 1)
    for number, (channels, stride) in enumerate(CHANNELS, 1):
        x = net.batch_norm(net.conv(x, f"conv{number}", channels, 3, stride), f"bn{number}")
        x = net.builder.relu(x)
    return net.finish(net.classifier(net.builder.flatten(x, axis=1), "linear", 10))


def fit() -> tuple[Graph, Array, Array, Array]:
    """Train on three quarters of the digits.

    Returns:
        The graph, calibration images, test images, test labels.

    Raises:
        MissingExtraError: if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise MissingExtraError("the demo needs scikit-learn; install scikit-learn") from error
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    split = train_test_split(images, labels, test_size=0.25, random_state=SEED, stratify=labels)
    train, test, train_labels, test_labels = split
    model = Trainable(network())
    data = Loader(InMemory(train, train_labels), np.asarray, BATCH, augment=[Crop(1)], seed=SEED)
    optimizer = AdamW(model.parameters, one_cycle(LR, EPOCHS * len(data)))
    Trainer(model, optimizer, data, epochs=EPOCHS).fit()
    return model.graph(), train[:CALIBRATION], test, test_labels


def measure(paths: dict[str, Path], images: Array, labels: Array) -> list[dict[str, Any]]:
    """Return a row per file and runtime: accuracy, latency of one image and of all, size."""
    runners: dict[tuple[str, str], Runner] = {
        (kind, runtime.value): load(path, runtime, 1)
        for kind, path in paths.items()
        for runtime in ALWAYS
    }
    rows = []
    one = {f"{k} {r}": _call(runner, images[:1]) for (k, r), runner in runners.items()}
    many = {f"{k} {r}": _call(runner, images) for (k, r), runner in runners.items()}
    single, batch = interleave(one), interleave(many)
    for (kind, runtime), runner in runners.items():
        answers = runner.run({"input": images})["output"].argmax(axis=1)
        hits = int((answers == labels).sum())
        rows.append(
            {
                "model": kind,
                "runtime": runtime,
                "accuracy": hits / len(labels),
                "interval": wilson(hits, len(labels)),
                "us_one_image": summarize(single[f"{kind} {runtime}"]).median * 1e6,
                "us_all_images": summarize(batch[f"{kind} {runtime}"]).median * 1e6,
                "bytes": paths[kind].stat().st_size,
            }
        )
    return rows


def _call(runner: Runner, images: Array) -> Any:
    feeds = {"input": np.ascontiguousarray(images)}
    return lambda: runner.run(feeds)


def demo() -> None:
    """Train, write, measure, print; the model and the table are left in the folder."""
    parser = argparse.ArgumentParser(description="The main job on bundled data.")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for results")
    out = parser.parse_args().out
    console = Console(highlight=False)
    out.mkdir(parents=True, exist_ok=True)
    console.print("training a network on scikit-learn's handwritten digits ...")
    start = time.perf_counter()
    graph, calibration, images, labels = fit()
    console.print(f"{EPOCHS} epochs in {time.perf_counter() - start:.1f} s")
    paths = {"FP32": out / "digits.onnx", "INT8": out / "digits.int8.onnx"}
    write_onnx(graph, paths["FP32"])
    quantized, ledger = quantize_static(graph, [{"input": calibration}])
    write_onnx(quantized, paths["INT8"])
    with write_atomically(out / "ledger.json") as file:
        file.write(json.dumps(ledger.as_json(), indent=2).encode() + b"\n")
    rows = measure(paths, images, labels)
    table = Table(title=f"{len(labels)} test images, one thread")
    columns = ("model", "runtime", "accuracy (95 %)", "1 image", f"{len(labels)} images")
    for name in (*columns, "size"):
        table.add_column(name, justify="left" if name in ("model", "runtime") else "right")
    for row in rows:
        low, high = row["interval"]
        table.add_row(
            row["model"],
            row["runtime"],
            f"{row['accuracy']:.2%} ({100 * low:.1f}-{100 * high:.1f})",
            f"{row['us_one_image']:.1f} us",
            f"{row['us_all_images']:.0f} us",
            f"{row['bytes'] / 1024:.1f} KB",
        )
    console.print(table)
    result = {
        "models": {kind: str(path) for kind, path in paths.items()},
        "rows": rows,
        "machine": machine.describe(),
    }
    with write_atomically(out / "result.json") as file:
        file.write(json.dumps(result, indent=2).encode() + b"\n")
    written = [*paths.values(), out / "ledger.json", out / "result.json"]
    console.print(f"written: {', '.join(map(str, written))}")


if __name__ == "__main__":
    run(demo)
