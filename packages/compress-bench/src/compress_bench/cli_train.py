"""The command ``compress-bench train``: a network of the zoo, from scratch."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from compress_export import write_onnx
from compress_tensor import FileError, InputError
from compress_tensor.files import write_atomically

from .training import prepare, recipe
from .training.run import Options, default_data

_out = Console(highlight=False, markup=False, soft_wrap=True)


def train(
    name: Annotated[str, typer.Argument(help="resnet20, vit_tiny, text_classifier, ...")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX file to write.")],
    data: Annotated[
        Path | None, typer.Option(help="To train on; by default the recipe's, in COMPRESS_DATA.")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="To measure on; else a part of --data is held out.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="By default the recipe's.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Samples per step.")] = None,
    lr: Annotated[float | None, typer.Option(help="The highest learning rate.")] = None,
    threads: Annotated[
        int, typer.Option(min=1, max=256, help="They change no byte of the result.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order, augmentation.")] = 0,
    memory: Annotated[
        str | None,
        typer.Option(help="What a step may take, as in 2GB; activations are computed again."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint of an interrupted run.")
    ] = False,
    every: Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")] = 100,
) -> None:
    """Train a network of the zoo from scratch, and write it as ONNX."""
    chosen = recipe(name)
    _check_output(output)
    checkpoint = output.with_suffix(".checkpoint")
    root = os.environ.get("COMPRESS_DATA")
    if data is None:
        data = default_data(root, chosen.train)
        if test is None and chosen.test is not None:
            test = default_data(root, chosen.test)
    options = Options(
        data=data,
        test=test,
        epochs=epochs,
        batch=batch,
        lr=lr,
        threads=threads,
        seed=seed,
        memory=memory,
        checkpoint=checkpoint,
        every=every,
    )
    run = prepare(name, chosen, options, _report)
    if not resume:
        checkpoint.unlink(missing_ok=True)
    history = run.trainer.fit()
    write_onnx(run.model.graph(), output)
    written = [output]
    for suffix, text in run.material.files.items():
        written.append(output.with_suffix(suffix))
        with write_atomically(written[-1]) as file:
            file.write(text.encode())
    checkpoint.unlink(missing_ok=True)
    value = _text(run.material.metric, history[-1][run.material.metric])
    _out.print(f"{', '.join(map(str, written))}: {value}")


def _check_output(output: Path) -> None:
    """Refuse before training what could not be written after it.

    Raises:
        InputError: if it is no .onnx file.
        FileError: if its folder does not exist.
    """
    if output.suffix != ".onnx":
        raise InputError(f"{output} must end in .onnx")
    if output.is_dir() or not output.parent.is_dir():
        raise FileError(f"{output} cannot be written: create its folder first")


def _report(epoch: int, found: Mapping[str, float]) -> None:
    """Print the metrics of an epoch; the line of the progress bar is overwritten."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
    _out.print(f"epoch {epoch}: " + ", ".join(_text(*pair) for pair in found.items()))


def _text(metric: str, value: float) -> str:
    return f"{metric} {value:.2%}" if metric == "accuracy" else f"{value:.4f} {metric}"
