"""The main job on data that needs no download: ``python -m compress_bench.demo``.

Fits a small network to scikit-learn's bundled handwritten digits, writes it as ONNX, quantizes it
to INT8, and runs both files in our engine and in onnxruntime, side by side.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from compress_export import write_onnx
from compress_quant.static import quantize_static
from compress_tensor import Builder, DType, Graph, MissingExtraError
from compress_tensor.console import run
from compress_tensor.files import write_atomically

from . import machine
from .clock import interleave
from .runtimes import ALWAYS, Array, Runner, load
from .statistics import summarize, wilson

HIDDEN = 256
SEED = 0
CALIBRATION = 128  #: training images that the quantizer sees


def fit() -> tuple[Graph, Array, Array, Array]:
    """Fit 64-256-10 to three quarters of the digits.

    Returns:
        The graph, calibration images, test images, test labels.

    Raises:
        MissingExtraError: if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
        from sklearn.neural_network import MLPClassifier
    except ImportError as error:
        raise MissingExtraError("the demo needs scikit-learn; install scikit-learn") from error
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    split = train_test_split(images, labels, test_size=0.25, random_state=SEED, stratify=labels)
    train, test, train_labels, test_labels = split
    network = MLPClassifier((HIDDEN,), max_iter=400, random_state=SEED)
    network.fit(train, train_labels)
    b = Builder("digits")
    value = b.input("input", DType.FLOAT32, ("N", 64))
    last = len(network.coefs_) - 1
    for i, (w, bias) in enumerate(zip(network.coefs_, network.intercepts_, strict=True)):
        value = b.gemm(value, w.astype(np.float32), bias.astype(np.float32))
        value = b.softmax(value, axis=1) if i == last else b.relu(value)
    b.output("output", value)
    return b.graph(), train[:CALIBRATION], test, test_labels


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
    """Fit, write, measure, print; the model and the table are left in the folder."""
    parser = argparse.ArgumentParser(description="The main job on bundled data.")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder for results")
    out = parser.parse_args().out
    console = Console(highlight=False)
    out.mkdir(parents=True, exist_ok=True)
    console.print("fitting a network to scikit-learn's handwritten digits ...")
    graph, calibration, images, labels = fit()
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
