"""The command ``compress-quant``: static, qat."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from compress_autograd.data import open_dataset, preset
from compress_export import read_onnx
from compress_export.onnx_write import to_bytes
from compress_tensor.console import run

from .calibration import Samples
from .certificate import certify
from .cli_output import check_outputs, json_bytes, show, write
from .cli_qat import qat
from .observe import Observer, parse_bytes
from .recipe import Recipe
from .recipe_file import load_recipe
from .static import quantize_static
from .target import Target

app = typer.Typer(
    help="Quantizes networks to small integers, and proves that the result is good.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)

SAMPLES = 256  #: where --samples does not say more; the ledger says how certain that is


@app.command()
def static(
    model: Annotated[Path, typer.Argument(help="The float ONNX file.")],
    data: Annotated[Path, typer.Option(help="Folder or file with calibration samples.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX file to write.")],
    preprocess: Annotated[
        str, typer.Option(help="A preset (imagenet, cifar10, speech, ...) or a .json description.")
    ] = "none",
    samples: Annotated[
        int, typer.Option(min=1, help="Calibration samples, spread evenly over the data.")
    ] = SAMPLES,
    memory: Annotated[str, typer.Option(help="Limit while observing, as in 512MB.")] = "",
    observer: Annotated[Observer | None, typer.Option(help="How ranges are chosen.")] = None,
    percentile: Annotated[float | None, typer.Option(help="Of that observer, in percent.")] = None,
    target: Annotated[Target | None, typer.Option(help="Who will run the file.")] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Node to leave in floats (pattern; may be repeated).")
    ] = None,
    op_types: Annotated[
        str, typer.Option(help="Quantize only these operators, as in Conv,Add.")
    ] = "",
    recipe: Annotated[Path | None, typer.Option(help="YAML file; options override it.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail if a product stays in floats unasked.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, max=256)] = 1,
    ledger: Annotated[Path | None, typer.Option(help="Where the decisions go as JSON.")] = None,
    certificate: Annotated[
        bool, typer.Option(help="Prove parity and write it beside the model.")
    ] = True,
    embed: Annotated[
        bool, typer.Option("--embed", help="Put the certificate into the file's metadata too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Quantize a network to INT8 with calibration data."""
    chosen = load_recipe(recipe) if recipe is not None else Recipe()
    given: dict[str, Any] = {
        "observer": observer,
        "percentile": percentile,
        "target": target,
        "memory": parse_bytes(memory) if memory else None,
        "exclude": (*chosen.exclude, *exclude) if exclude else None,
        "op_types": _list(op_types) or None,
        "strict": strict or None,
        "threads": threads if threads > 1 else None,
    }
    chosen = dataclasses.replace(chosen, **{k: v for k, v in given.items() if v is not None})
    ledger = ledger or output.with_suffix(".ledger.json")
    proof = output.with_suffix(".certificate.json")
    check_outputs(model, [output, ledger, proof])
    graph = read_onnx(model)
    feeds = Samples(graph, open_dataset(data), preset(preprocess), samples)
    with _bar() as progress:
        quantized, decided = quantize_static(graph, feeds, chosen, progress=progress)
    found = None
    if certificate:
        with _err.status("certificate") as status:
            found = certify(quantized, [feeds.first()], threads=threads, progress=status.update)
        if embed:
            quantized.metadata["compress_certificate"] = json.dumps(found.as_json())
    files: dict[Path, bytes] = {
        output: to_bytes(quantized),
        ledger: json_bytes(decided.as_json()),
    }
    if found is not None:
        files[proof] = json_bytes(found.as_json())
    write(files)
    if as_json:
        report = {"ledger": decided.as_json()}
        report |= {"certificate": found.as_json()} if found else {}
        print(json.dumps(report, indent=2))
    else:
        show(decided, found, model, output)


app.command()(qat)


def main() -> None:
    """Run the command line."""
    run(lambda: app(standalone_mode=False))


def _list(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


@contextmanager
def _bar() -> Iterator[Any]:
    """Show the step, how much is done and the time left on standard error, on a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=_err, disable=not _err.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def progress(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done, total=total)

        yield progress
