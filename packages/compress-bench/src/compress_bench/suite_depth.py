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

NAME = "error-accumulation"
DEPTHS = (20, 32, 56)
DEEPEST = DEPTHS[-1]
#: bits at which the noise of each network is measured
WIDTHS = {20: (8, 4), 32: (8, 4), 56: (8, 6, 4, 3)}


def same(bits: int, *, per_channel: bool = True) -> Recipe:
    """Return a recipe of as many bits for weights as for activations, 8 at the network's ends."""
    return Recipe(weight_bits=bits, activation_bits=bits, per_channel=per_channel)


#: what the deepest network is quantized with, by name
SETUPS = {
    "8 bits": same(8),
    "6 bits": same(6),
    "4 bits": same(4),
    "4 bits, one scale per weight": same(4, per_channel=False),
    "weights 3 bits, activations 8": Recipe(weight_bits=3),
    "3 bits": same(3),
}
#: of these, which are trained, and for how many epochs
TRAINED = {
    "4 bits": 4,
    "4 bits, one scale per weight": 4,
    "weights 3 bits, activations 8": 4,
    "3 bits": 4,
}


def model_of(depth: int) -> str:
    """Return the file name of a network."""
    return f"resnet{depth}_cifar10.onnx"


def noise(root: Path, depth: int, recipe: Recipe) -> Cell:
    """Measure the noise behind every residual addition."""
    graph = read_onnx(root / "models" / model_of(depth))
    feeds = Samples(graph, open_dataset(root / TRAIN), preset("cifar10"), CALIBRATION)
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

    def original(depth: int) -> Cell:
        graph = read_onnx(root / "models" / model_of(depth))
        return {"value": accuracy(root, graph, threads)}

    found: dict[str, Callable[[], Cell]] = {}
    for depth, widths in WIDTHS.items():
        found[f"{depth} float"] = partial(original, depth)
        for bits in widths:
            found[f"{depth} noise {bits}"] = partial(noise, root, depth, same(bits))
            found[f"{depth} after {bits} bits"] = partial(
                quantized, root, model_of(depth), same(bits), threads
            )
    for name, recipe in SETUPS.items():
        deepest = partial(quantized, root, model_of(DEEPEST), recipe, threads)
        found[f"{DEEPEST} after {name}"] = deepest
        if name in TRAINED:
            for key, taught in (("during", False), ("taught", True)):
                found[f"{DEEPEST} {key} {name}"] = partial(
                    deepest, epochs=TRAINED[name], augment=True, taught=taught
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
        *_depths(held),
        *_setups(held),
    ]
    for bits in WIDTHS[DEEPEST]:
        cell = held.get(f"{DEEPEST} noise {bits}")
        if cell is not None:
            title = f"## ResNet{DEEPEST}, {bits} bits: signal to noise in decibels"
            lines += [title, "", *_noise(cell), ""]
    return "\n".join(lines).rstrip() + "\n"


def _depths(held: Mapping[str, Any]) -> list[str]:
    lines = [
        "## Deeper is noisier",
        "",
        "Signal to noise in decibels: of single blocks, and behind the last block.",
        "",
        "| network | bits | blocks | single | random walk | measured | output | float | accuracy |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for depth, widths in WIDTHS.items():
        for bits in widths:
            keys = (f"{depth} noise {bits}", f"{depth} float", f"{depth} after {bits} bits")
            if not all(key in held for key in keys):
                continue
            found, base, after = (held[key] for key in keys)
            own, walk = found["own"][:-1], found["walk"][-2]
            lines.append(
                f"| ResNet{depth} | {bits} | {len(own)} | {min(own):.1f} to {max(own):.1f} | "
                f"{walk:.1f} | {found['measured'][-2]:.1f} | {found['measured'][-1]:.1f} | "
                f"{base['value']:.1%} | {after['value']:.1%} |"
            )
    return [*lines, ""]


def _setups(held: Mapping[str, Any]) -> list[str]:
    base = held.get(f"{DEEPEST} float")
    if base is None:
        return []
    lines = [
        f"## ResNet{DEEPEST}: what training brings back",
        "",
        f"Accuracy on 1,000 test pictures in the integer engine; {base['value']:.1%} in floats.",
        "Weights per output channel unless it says otherwise, activations per tensor, 8 bits at",
        "the network's ends.  Training: the defaults of `compress-quant qat` over 4,000 pictures,",
        "cropped and flipped, by their labels or by the float network's scores (`--distill`).",
        "",
        "| | after training | points | by labels | points | by scores | points | epochs |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in SETUPS:
        found = [held.get(f"{DEEPEST} {way} {name}") for way in ("after", "during", "taught")]
        texts = []
        for cell in found:
            apart = "" if cell is None else f"{100 * (cell['value'] - base['value']):+.1f}"
            texts += ["" if cell is None else f"{cell['value']:.1%}", apart]
        texts.append(str(TRAINED.get(name, "")))
        lines.append(f"| {name} | " + " | ".join(texts) + " |")
    return [*lines, ""]


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
    parser.add_argument("--only", default="", help="cells whose names begin so")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    root = default_data(os.environ.get("COMPRESS_DATA"), "")
    if not root.is_dir():
        raise FileError(f"{root} does not exist; set COMPRESS_DATA to the folder with the data")
    console = Console(stderr=True, highlight=False)
    results = Results(given.out / f"{NAME}.json", NAME, machine.describe(("numpy",)))
    for key, measure in cells(root, given.threads).items():
        if key.startswith(given.only) and key not in results.cells:
            console.print(key)
            results.keep(key, measure())
    with write_atomically(given.out / f"{NAME}.md") as file:
        file.write(markdown(results.state).encode())


if __name__ == "__main__":
    run(suite)
