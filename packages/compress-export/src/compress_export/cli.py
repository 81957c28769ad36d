"""The command ``compress-export``: info, check, convert."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from compress_tensor.console import run
from compress_tensor.errors import FileError, InputError
from compress_tensor.graph.graph import Array, Value

from . import parity
from .describe import Description, describe
from .onnx_read import read_onnx
from .onnx_write import write_onnx

app = typer.Typer(
    help="ONNX files to graphs and back, and proof that both compute the same.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_out = Console(highlight=False)
_progress = Console(stderr=True, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Shape = Annotated[
    list[str] | None,
    typer.Option("--shape", help="Shape of an input, as in input=1,3,224,224; may be repeated."),
]


@app.command()
def info(
    file: Annotated[Path, typer.Argument(help="The ONNX file.")],
    shape: Shape = None,
    as_json: Json = False,
) -> None:
    """Say what is in a model and what the engine supports of it."""
    found = describe(read_onnx(file), _shapes(shape))
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        _show(found, file, bound=bool(shape))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The ONNX file.")],
    data: Annotated[
        Path | None, typer.Option(help="An .npz file with an array for every input.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random inputs used without --data.")] = 0,
    shape: Shape = None,
    threads: Annotated[int, typer.Option(min=1, max=256)] = 1,
    tolerance: Annotated[
        float, typer.Option(help="Relative difference that counts as equal.")
    ] = parity.TOLERANCE,
    rows: Annotated[int, typer.Option(help="Rows in the table of differences.")] = 10,
    as_json: Json = False,
) -> int:
    """Compare our engine with onnxruntime, node by node; status 1 if they differ."""
    feeds = None if data is None else _load(data)
    with _progress.status("reading") as status:
        found = parity.check(
            file,
            feeds,
            seed=seed,
            shapes=_shapes(shape),
            threads=threads,
            tolerance=tolerance,
            progress=status.update,
        )
    if as_json:
        print(json.dumps(_parity_json(found), indent=2))
    else:
        _show_parity(found, rows)
    return 0 if found.agrees else 1


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="The ONNX file to read, of any opset.")],
    target: Annotated[Path, typer.Argument(help="The ONNX file to write, opset 21.")],
) -> None:
    """Read a model and write it as opset 21."""
    write_onnx(read_onnx(source), target)


def main() -> None:
    """Run the command line."""
    run(lambda: app(standalone_mode=False))


def _shapes(texts: list[str] | None) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for text in texts or ():
        name, _, sizes = text.rpartition("=")
        try:
            found[name] = [int(size) for size in sizes.split(",") if size]
        except ValueError:
            name = ""
        if not name or any(size < 0 for size in found[name]):
            raise InputError(f"--shape {text!r} is not like input=1,3,224,224")
    return found


def _load(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # numpy and zipfile raise many kinds for damaged files
        raise FileError(f"{path} is not a readable .npz file: {error}") from error


def _type_text(value: Value) -> str:
    dtype = "unknown type" if value.dtype is None else value.dtype.label
    if value.shape is None:
        return f"{dtype}, unknown rank"
    dims = ", ".join("?" if dim is None else str(dim) for dim in value.shape)
    return f"{dtype} [{dims}]"


def _bytes_text(count: int) -> str:
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


def _show(found: Description, file: Path, *, bound: bool) -> None:
    facts = Table(show_header=False, box=None, pad_edge=False)
    facts.add_row("file", f"{escape(str(file))} ({_bytes_text(file.stat().st_size)})")
    for word, values in (("input", found.inputs), ("output", found.outputs)):
        for value in values:
            facts.add_row(word, escape(f"{value.name}: {_type_text(value)}"))
    facts.add_row("parameters", f"{found.parameters:,} ({_bytes_text(found.weight_bytes)})")
    how = "shapes as given" if bound else "open sizes taken as 1"
    facts.add_row("MACs", f"{found.macs:,} ({how})")
    facts.add_row("peak memory", f"{_bytes_text(found.peak_bytes)} of values, {how}; an estimate")
    if found.stopped:
        facts.add_row("", escape(f"incomplete: {found.stopped}"))
    _out.print(facts)
    table = Table("operator", "count", "MACs", "runs as", title=f"{found.nodes} nodes")
    for operator in found.operators:
        macs = f"{operator.macs:,}" if operator.macs else ""
        table.add_row(escape(operator.name), str(operator.count), macs, operator.support)
    _out.print(table)
    for op, labels in found.missing.items():
        _out.print(f"missing: {op} ({', '.join(labels[:5])})", markup=False)


def _show_parity(found: parity.Parity, rows: int) -> None:
    worst = sorted(found.values, key=lambda d: (not d.problem, -d.relative))[:rows]
    for title, differences in (
        ("outputs of the file", found.outputs),
        (f"largest differences of {len(found.values)} values", worst),
    ):
        table = Table(title=title)
        for heading in ("value", "node", "shape", "largest abs", "relative", ""):
            table.add_column(heading, overflow="fold")
        for d in differences:
            mark = d.problem or ("differs" if d.exceeds(found.tolerance) else "")
            shape = "x".join(map(str, d.shape))
            cells = (d.value, d.node, shape, f"{d.absolute:.3g}", f"{d.relative:.3g}", mark)
            table.add_row(*map(escape, cells))
        _out.print(table)
    if found.note:
        _out.print(f"node by node was not possible: {found.note}", markup=False)
    if found.agrees:
        _out.print(f"equal within {found.tolerance:g} relative")
    elif found.first is not None:
        _out.print(f"first difference: {found.first.node}, value {found.first.value}", markup=False)


def _parity_json(found: parity.Parity) -> dict[str, Any]:
    def plain(d: parity.Difference | None) -> dict[str, Any] | None:
        if d is None:
            return None
        made: dict[str, Any] = {name: getattr(d, name) for name in d.__dataclass_fields__}
        for name in ("absolute", "relative"):  # JSON has no infinity
            made[name] = made[name] if np.isfinite(made[name]) else None
        return {**made, "shape": list(d.shape), "differs": d.exceeds(found.tolerance)}

    return {
        "agrees": found.agrees,
        "tolerance": found.tolerance,
        "first": plain(found.first),
        "outputs": [plain(d) for d in found.outputs],
        "values": [plain(d) for d in found.values],
        "note": found.note,
    }
