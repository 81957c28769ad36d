"""Training from scratch beside torch, training with quantization, and training in little memory.

``python -m compress_bench.suite_training --out docs/results`` writes training.json as results
come (an interrupted run goes on) and training.md.  Data are looked for in COMPRESS_DATA.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from compress_export import read_onnx
from compress_quant import Recipe
from compress_quant.qat.train import EPOCHS as QAT_EPOCHS
from compress_tensor import FileError, MissingExtraError
from compress_tensor.console import run
from compress_tensor.files import write_atomically

from . import machine
from .peers_torch import train_torch
from .qat_trial import accuracy, quantized
from .results import Results
from .suite_memory import CASES, measure_case
from .tables_training import markdown
from .training import prepare, recipe
from .training.run import Options, default_data

SEED = 0
EPOCHS = {"resnet20": 4, "char_lstm": 4}
_MODEL = "resnet20_cifar10.onnx"

_console = Console(highlight=False, markup=False, soft_wrap=True)
Cell = dict[str, Any]


def _options(root: Path, name: str, threads: int, work: Path | None) -> Options:
    wanted = recipe(name)
    return Options(
        data=root / wanted.train,
        test=None if wanted.test is None else root / wanted.test,
        epochs=EPOCHS[name],
        threads=threads,
        seed=SEED,
        checkpoint=None if work is None else work / f"{name}.checkpoint",
    )


def ours(root: Path, name: str, threads: int, work: Path | None) -> Cell:
    """Train a network from scratch with our engine."""
    found = prepare(name, recipe(name), _options(root, name, threads, work), _tell)
    start = time.perf_counter()
    history = found.trainer.fit()
    metric = found.material.metric
    return {
        "metric": metric,
        "value": history[-1][metric],
        "history": history,
        "seconds": time.perf_counter() - start,
        "threads": threads,
        "epochs": EPOCHS[name],
    }


def theirs(root: Path, name: str, threads: int) -> Cell:
    """Train the same network in torch."""
    chosen = recipe(name)
    material = prepare(name, chosen, _options(root, name, threads, None), _tell).material
    graph, seconds = train_torch(material, chosen, EPOCHS[name], threads, _console.print)
    return {
        "metric": material.metric,
        "value": material.measure(graph, threads),
        "seconds": seconds,
        "threads": threads,
        "epochs": EPOCHS[name],
    }


def _tell(epoch: int, found: Any) -> None:
    _console.print(f"epoch {epoch}: {dict(found)}")


def cells(root: Path, threads: int, work: Path) -> dict[str, Callable[[], Cell]]:
    """Return what is measured, by key."""
    found: dict[str, Callable[[], Cell]] = {}
    for name in EPOCHS:
        found[f"{name} ours"] = lambda name=name: ours(root, name, threads, work)  # type: ignore[misc]
        found[f"{name} torch"] = lambda name=name: theirs(root, name, threads)  # type: ignore[misc]
    found["quantized fp32"] = lambda: {
        "value": accuracy(root, read_onnx(root / "models" / _MODEL), threads),
        "threads": threads,
    }
    for bits in (8, 4):
        chosen = Recipe(weight_bits=bits, activation_bits=bits)
        for kind, epochs in (("ptq", 0), ("qat", QAT_EPOCHS)):
            found[f"quantized {kind} {bits}"] = partial(
                quantized, root, _MODEL, chosen, threads, epochs=epochs
            )
    for case in CASES:
        found[f"memory {case}"] = lambda case=case: measure_case(case, threads)  # type: ignore[misc]
    return found


def suite() -> None:
    """Measure what is missing, write results and tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--only", default="", help="cells whose names begin so")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, default=None, help="where checkpoints are kept")
    given = parser.parse_args()
    root = default_data(os.environ.get("COMPRESS_DATA"), "")
    if not root.is_dir():
        raise FileError(f"{root} does not exist; set COMPRESS_DATA to the folder with the data")
    results = Results(given.out / "training.json", "training", machine.describe(("numpy", "torch")))
    work = given.work or given.out
    for key, measure in cells(root, given.threads, work).items():
        if key in results.cells or not key.startswith(given.only):
            continue
        _console.print(key)
        try:
            results.keep(key, measure())
        except MissingExtraError as error:
            _console.print(f"{key}: {error}")
            continue
        (work / f"{key.split()[0]}.checkpoint").unlink(missing_ok=True)
    with write_atomically(given.out / "training.md") as file:
        file.write(markdown(results.state).encode())


if __name__ == "__main__":
    run(suite)
