"""The commands that measure the engine: zoo, kernels, models, compare, profile, tables."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import compress_tensor
from compress_export import read_onnx, write_onnx
from compress_tensor import FileError, InputError
from compress_tensor.files import write_atomically

from . import machine
from .compare import Verdict, compare
from .kinds import USUAL, Kind
from .peak import Unit
from .profile import Line, by_kernel, measure_limits, profile
from .results import Results, read_results
from .shapes import parse
from .subjects import Subject, subjects
from .suite_engine import PACKAGES, Plan, measure_models
from .suite_kernels import measure_kernels
from .tables_engine import markdown, profile_table
from .zoo import NETWORKS, build, network

_out = Console(highlight=False, markup=False, soft_wrap=True)
_bar = Console(stderr=True, highlight=False)
_MOST_LINES = 25

Threads = Annotated[list[int], typer.Option(min=1, max=256, help="Repeat for several.")]
Out = Annotated[
    Path | None, typer.Option("-o", "--out", help="JSON, written as results come; resumes.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]
Fresh = Annotated[bool, typer.Option(help="Forget what --out already has.")]
Samples = Annotated[int, typer.Option(min=5, help="Timed samples of each candidate.")]


def zoo(
    name: Annotated[str | None, typer.Argument(help="A network of the list.")] = None,
    output: Annotated[Path | None, typer.Option("-o", help="The ONNX file to write.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the weights.")] = 0,
    show: Annotated[bool, typer.Option("--list", help="List the networks.")] = False,
) -> None:
    """Write a network of the zoo as an ONNX file, with seeded weights."""
    if show:
        width = max(map(len, NETWORKS))
        for key, entry in NETWORKS.items():
            _out.print(f"{key:{width}}  {entry.parameters:>11,}  {entry.what}")
        return
    if name is None or output is None:
        raise InputError("give a name and -o FILE, or --list")
    network(name)
    write_onnx(build(name, seed), output)
    _out.print(f"{output}: {network(name).what}, {output.stat().st_size / 1e6:.1f} MB")


def kernels(
    shape: Annotated[
        list[str] | None, typer.Argument(help="basic, zoo or MxKxN; both lists by default.")
    ] = None,
    types: Annotated[list[Unit] | None, typer.Option("--type", help="All by default.")] = None,
    threads: Threads = [1, 2],  # noqa: B006 - typer reads it
    samples: Samples = 20,
    out: Out = None,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Time bare matrix products in every library that is installed."""
    shapes = parse(shape or ["basic", "zoo"])
    results = Results(out, "kernels", machine.describe(PACKAGES), fresh=fresh)
    with _progress("kernels") as update:
        measure_kernels(results, shapes, types or list(Unit), threads, samples, update)
    _finish(results, as_json=as_json)


def models(
    model: Annotated[
        list[str] | None, typer.Argument(help="zoo, networks of it, ONNX files; by default zoo.")
    ] = None,
    types: Annotated[
        list[Kind] | None, typer.Option("--type", help="By default fp32, int8 and bf16.")
    ] = None,
    batch: Annotated[list[int], typer.Option(min=1)] = [1, 8],  # noqa: B006
    threads: Threads = [1, 2],  # noqa: B006
    samples: Samples = 20,
    seconds: Annotated[
        float | None, typer.Option(help="Stop a cell early, though not below 5 samples.")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Where networks are kept between runs.")] = None,
    out: Out = None,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Time whole networks in our engine, onnxruntime and OpenVINO."""
    plan = Plan(
        tuple(types or USUAL),
        tuple(batch),
        tuple(threads),
        samples,
        float("inf") if seconds is None else seconds,
    )
    results = Results(out, "models", machine.describe(PACKAGES), fresh=fresh)
    with _progress("models") as update:
        measure_models(results, subjects(model or ["zoo"]), plan, work or _work(), update)
    _finish(results, as_json=as_json)


def compare_(
    old: Annotated[Path, typer.Argument(help="Earlier results.")],
    new: Annotated[Path, typer.Argument(help="Later results.")],
    as_json: AsJson = False,
) -> None:
    """Tell what became slower or faster beyond noise; status 1 if anything is slower."""
    before, after = read_results(old), read_results(new)
    changes = compare(before, after)
    slower = [change for change in changes if change.verdict is Verdict.SLOWER]
    if as_json:
        _out.print(json.dumps([{**_fields(c), "verdict": c.verdict.value} for c in changes]))
    else:
        for change in sorted(changes, key=lambda c: -c.ratio):
            low, high = change.interval
            how = "" if change.rivals else " (no rival in common: times as they are)"
            _out.print(
                f"{change.verdict.value:16} {change.ratio:.3f} [{low:.3f}, {high:.3f}]  "
                f"{change.key}{how}"
            )
        _out.print(f"{len(changes)} cells, {len(slower)} proven slower")
    if slower:
        raise typer.Exit(1)


def _fields(change: Any) -> dict[str, Any]:
    names = ("key", "ratio", "interval", "rivals")
    return {name: getattr(change, name) for name in names}


def profile_(
    model: Annotated[str, typer.Argument(help="An ONNX file or a network of the zoo.")],
    types: Annotated[Kind, typer.Option("--type", help="What to run it in.")] = Kind.FP32,
    batch: Annotated[int, typer.Option(min=1)] = 1,
    threads: Annotated[int, typer.Option(min=1, max=256)] = 1,
    runs: Annotated[int, typer.Option(min=1)] = 10,
    work: Annotated[Path | None, typer.Option(help="As of models.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every operator, not the slowest.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the time of each operator in our engine, beside what the hardware allows."""
    (subject,) = subjects([model])
    lines = profile_of(subject, types, batch, threads, work or _work(), runs)
    if as_json:
        _out.print(json.dumps([{**_line(line)} for line in lines]))
        return
    total = sum(line.seconds for line in lines)
    slowest = sorted(lines, key=lambda line: -line.seconds)
    shown = lines if all_ else slowest[:_MOST_LINES]
    _show("\n".join([*profile_table(by_kernel(lines)), "", *profile_table(shown)]))
    _out.print(f"{len(lines)} records, {total * 1e3:.3f} ms")


def _line(line: Line) -> dict[str, Any]:
    names = ("name", "kernel", "seconds", "share", "limit", "fraction")
    return {name: getattr(line, name) for name in names}


def profile_of(
    subject: Subject, kind: Kind, batch: int, threads: int, work: Path, runs: int = 10
) -> list[Line]:
    """Return every record of a network."""
    graph = read_onnx(subject.path(kind, work))
    session = compress_tensor.compile(graph, threads=threads, **kind.options)
    return profile(session, subject.feeds(graph, batch), measure_limits(threads), runs)


def tables(
    results: Annotated[list[Path], typer.Argument(help="Files that models and kernels wrote.")],
    out: Annotated[Path | None, typer.Option("-o", help="The Markdown file to write.")] = None,
    profiles: Annotated[
        list[str] | None, typer.Option("--profile", help="Profile this network, fp32, along.")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="As of models.")] = None,
) -> None:
    """Write results as Markdown tables; other files of models: other processors, or limited."""
    found: dict[str, list[Any]] = {"models": [], "kernels": []}
    for path in results:
        state = read_results(path)
        if state["kind"] not in found:
            raise FileError(f"{path} has results of {state['kind']}, not of models or kernels")
        found[state["kind"]].append(state)
    whole, kernels = (next(iter(found[kind]), None) for kind in ("models", "kernels"))
    taken = {}
    for each in profiles or []:
        for subject in subjects([each]):
            lines = profile_of(subject, Kind.FP32, 1, 1, work or _work())
            taken[f"{subject.name}, fp32, batch 1, 1 thread"] = by_kernel(lines)
    text = markdown(whole, kernels, taken, found["models"][1:])
    if out is None:
        _out.print(text)
        return
    with write_atomically(out) as file:
        file.write(text.encode())


def _finish(results: Results, *, as_json: bool) -> None:
    results.write()
    if as_json:
        _out.print(results.text())
        return
    state = results.state
    both = (state, None) if state["kind"] == "models" else (None, state)
    _show(markdown(*both))


def _show(text: str) -> None:
    """Print Markdown: drawn on a terminal, as it is into a file."""
    _out.print(Markdown(text) if _out.is_terminal else text)


def _work() -> Path:
    return Path(tempfile.gettempdir()) / f"compress-bench-{os.getuid()}"


@contextmanager
def _progress(label: str) -> Iterator[Any]:
    """Show cells done, how many there are, the time left, and the cell at work."""
    columns: Sequence[Any] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[key]}"),
    )
    with Progress(*columns, console=_bar, disable=not _bar.is_terminal) as bar:
        task = bar.add_task(label, total=None, key="")
        yield lambda done, total, key: bar.update(task, completed=done, total=total, key=key)
