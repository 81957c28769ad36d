"""The command ``compress-bench``: eval, train (`cli_train`), what measures (`cli_engine`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from compress_autograd.data import CharacterStreams, open_dataset, preset
from compress_autograd.data.presets import CHARLM
from compress_tensor import InputError
from compress_tensor.console import run
from compress_tensor.files import write_atomically

from . import cli_engine, cli_train, machine
from .paired import Paired, labels_of, paired
from .quality import Quality, evaluate, evaluate_characters, vocabulary_of
from .runtimes import Runtime, load

app = typer.Typer(
    help="Measures accuracy, latency and size of a network, ours and other runtimes'.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_out = Console(highlight=False)
_bar = Console(stderr=True, highlight=False)


@app.command("eval")
def eval_(
    model: Annotated[Path, typer.Argument(help="The ONNX file.")],
    data: Annotated[Path, typer.Option(help="Folder or file with labelled data.")],
    preprocess: Annotated[
        str, typer.Option(help="A preset (imagenet, cifar10, speech, ...) or a .json description.")
    ],
    runtime: Annotated[Runtime, typer.Option(help="What runs the model.")] = Runtime.OURS,
    against: Annotated[
        Path | None, typer.Option(help="Another model, run on the same samples and compared.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=256)] = 1,
    batch: Annotated[
        int, typer.Option(min=1, help="Samples per run, where the model is free.")
    ] = 16,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many samples.")] = None,
    output: Annotated[Path | None, typer.Option("-o", help="Write the result as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Measure the accuracy of a model on a whole data set."""
    if against is not None and preprocess == CHARLM:
        raise InputError("--against compares classifiers; evaluate character models one by one")

    def measured(path: Path) -> Quality:
        runner = load(path, runtime, threads)
        with progress_bar(path.name) as update:
            if preprocess == CHARLM:
                streams = CharacterStreams(data, vocabulary_of(path))
                return evaluate_characters(runner, streams, limit=limit, progress=update)
            dataset = open_dataset(data)
            steps = preset(preprocess)
            return evaluate(runner, dataset, steps, batch=batch, limit=limit, progress=update)

    found = measured(model)
    result: dict[str, Any] = {
        "model": str(model),
        "data": str(data),
        "preprocess": preprocess,
        "runtime": runtime.value,
        "threads": threads,
        **found.as_json(),
        "machine": machine.describe(),
    }
    other, difference = None, None
    if against is not None:
        other = measured(against)
        difference = paired(found, other, labels_of(open_dataset(data), found.samples))
        result["against"] = {"model": str(against), **other.as_json(), **asdict(difference)}
    text = json.dumps(result, indent=2)
    if output is not None:
        with write_atomically(output) as file:
            file.write(text.encode() + b"\n")
    if as_json:
        print(text)
    else:
        _show(model, runtime, found)
        if against is not None and other is not None and difference is not None:
            _show(against, runtime, other)
            _show_paired(difference)


@contextmanager
def progress_bar(label: str) -> Iterator[Any]:
    """Show done, total and the time left on standard error, if that is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_bar, disable=not _bar.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(model: Path, runtime: Runtime, found: Quality) -> None:
    table = Table(title=f"{model.name} in {runtime.value}")
    for name in ("samples", "top-1", "95 % interval", "top-5", "bits per character"):
        table.add_column(name, justify="right")
    low, high = found.interval
    table.add_row(
        str(found.samples),
        f"{found.top1:.2%}",
        f"{low:.2%} .. {high:.2%}",
        "" if found.top5 is None else f"{found.top5:.2%}",
        "" if found.bits is None else f"{found.bits:.4f}",
    )
    _out.print(table)


def _show_paired(found: Paired) -> None:
    low, high = (f"{100 * end:+.2f}" for end in found.interval)
    _out.print(
        f"difference {100 * found.difference:+.2f} points, 95 % interval {low} .. {high}; "
        f"{found.gained} samples gained, {found.lost} lost, same answer for {found.agree:.2%}; "
        f"McNemar p = {found.p_value:.3f}",
        markup=False,
    )


app.command("train")(cli_train.train)
app.command("zoo")(cli_engine.zoo)
app.command("kernels")(cli_engine.kernels)
app.command("models")(cli_engine.models)
app.command("compare")(cli_engine.compare_)
app.command("profile")(cli_engine.profile_)
app.command("tables")(cli_engine.tables)


def main() -> None:
    """Run the command line."""
    run(lambda: app(standalone_mode=False))
