"""Why deep networks lose accuracy: noise from layer to layer, and what training brings back.

``python -m compress_bench.suite_depth`` writes docs/results/error-accumulation.json as results
come (an interrupted run goes on) and the tables beside it; docs/error-accumulation.md explains
them.  Data are looked for in COMPRESS_DATA.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from compress_autograd.data import open_dataset, preset
from compress_export import read_onnx
from compress_quant import Recipe
from compress_quant.calibration import Samples
from compress_quant.depth import noise_by_depth
from compress_tensor import FileError
from compress_tensor.console import run
from compress_tensor.files import write_atomically

from . import machine
from .qat_trial import CALIBRATION, TRAIN, Cell, accuracy, quantized
from .results import Results
from .training.run import default_data

MODEL = "resnet56_cifar10.onnx"
WIDTHS = (8, 6, 4, 3)
TRAINED = (4, 3)
NAME = "error-accumulation"


def noise(root: Path, bits: int, threads: int) -> Cell:
    """Measure the noise behind every residual addition."""
    graph = read_onnx(root / "models" / MODEL)
    feeds = Samples(graph, open_dataset(root / TRAIN), preset("cifar10"), CALIBRATION)
    recipe = Recipe(weight_bits=bits, activation_bits=bits, threads=threads)
    found = noise_by_depth(graph, feeds, recipe)
    return {
        "values": list(found.values),
        "own": found.own.tolist(),
        "walk": found.walk.tolist(),
        "independent": found.independent.tolist(),
        "measured": found.decibels.tolist(),
    }


def cells(root: Path, threads: int) -> dict[str, Callable[[], Cell]]:
    """Return what is measured, by key."""

    def original() -> Cell:
        return {"value": accuracy(root, read_onnx(root / "models" / MODEL), threads)}

    found: dict[str, Callable[[], Cell]] = {"accuracy float": original}
    for bits in WIDTHS:
        found[f"noise {bits}"] = partial(noise, root, bits, threads)
        found[f"accuracy after {bits}"] = partial(
            quantized, root, MODEL, bits, threads, trained=False
        )
    for bits in TRAINED:
        found[f"accuracy during {bits}"] = partial(
            quantized, root, MODEL, bits, threads, trained=True
        )
    return found


def markdown(state: Mapping[str, Any]) -> str:
    """Return the tables of what was measured."""
    held: Mapping[str, Any] = state["cells"]
    described = ", ".join(f"{name} {value}" for name, value in state["machine"].items())
    lines = [
        "# Noise from layer to layer",
        "",
        "Made by `python -m compress_bench.suite_depth`; explained in ../error-accumulation.md.",
        f"Machine: {described}.",
        "",
        "## Accuracy of ResNet56 on 1,000 test pictures",
        "",
        "| bits of weights and activations | quantized after training | with training | float |",
        "| --- | --- | --- | --- |",
    ]
    for bits in WIDTHS:
        keys = (f"accuracy after {bits}", f"accuracy during {bits}", "accuracy float")
        texts = [f"{held[key]['value']:.1%}" if key in held else "" for key in keys]
        lines.append("| " + " | ".join([str(bits), *texts]) + " |")
    for bits in WIDTHS:
        cell = held.get(f"noise {bits}")
        if cell is not None:
            lines += ["", f"## Signal to noise in decibels, {bits} bits", "", *_noise(cell)]
    return "\n".join(lines) + "\n"


def _noise(cell: Mapping[str, Any]) -> list[str]:
    kinds = ("own", "walk", "independent", "measured")
    lines = [
        "| behind | this block alone | random walk | sum of single blocks | measured |",
        "| --- | --- | --- | --- | --- |",
    ]
    for n, name in enumerate(cell["values"]):
        numbers = " | ".join(f"{cell[kind][n]:.1f}" for kind in kinds)
        lines.append(f"| {n + 1}: {name} | {numbers} |")
    return lines


def suite() -> None:
    """Measure what is missing, write results and tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    root = default_data(os.environ.get("COMPRESS_DATA"), "")
    if not root.is_dir():
        raise FileError(f"{root} does not exist; set COMPRESS_DATA to the folder with the data")
    console = Console(stderr=True, highlight=False)
    results = Results(given.out / f"{NAME}.json", NAME, machine.describe(("numpy",)))
    for key, measure in cells(root, given.threads).items():
        if key not in results.cells:
            console.print(key)
            results.keep(key, measure())
    with write_atomically(given.out / f"{NAME}.md") as file:
        file.write(markdown(results.state).encode())


if __name__ == "__main__":
    run(suite)
