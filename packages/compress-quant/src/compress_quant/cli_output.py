"""What the commands of compress-quant write and print."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from compress_tensor import InputError
from compress_tensor.files import write_atomically

from .certificate import Certificate
from .ledger import FLOAT, Ledger

_out = Console(highlight=False)


def json_bytes(value: Any) -> bytes:
    """Return plain data as a JSON file."""
    return json.dumps(value, indent=1).encode() + b"\n"


def check_outputs(model: Path, outputs: Sequence[Path]) -> None:
    """Refuse early what would fail after minutes of work."""
    real = [os.path.realpath(path) for path in (model, *outputs)]
    if len(set(real)) < len(real):
        twice = next(p for p in outputs if real.count(os.path.realpath(p)) > 1)
        raise InputError(f"{twice} is named twice, or is the model itself; choose another name")
    for path in outputs:
        folder = Path(os.path.realpath(path)).parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise InputError(f"{path} cannot be written: {folder} is not a folder one may write to")


def write(files: dict[Path, bytes]) -> None:
    """Write all files or none."""
    with ExitStack() as stack:
        opened = [stack.enter_context(write_atomically(path)) for path in files]
        for file, content in zip(opened, files.values(), strict=True):
            file.write(content)
        for file in opened:  # a full disk shows here, before any name is taken
            file.flush()
            os.fsync(file.fileno())


def show(
    decided: Ledger,
    found: Certificate | None,
    model: Path,
    output: Path,
    more: Sequence[str] = (),
) -> None:
    """Print ledger, certificate and sizes."""
    table = Table("node", "operator", "form", "how, or why not")
    for d in decided.decisions:
        style = "yellow" if d.form == FLOAT and d in decided.left_in_floats() else None
        table.add_row(escape(d.node), d.op, d.form, escape(d.how or d.why), style=style)
    _out.print(table)
    _out.print(decided.summary(), markup=False)
    for way, decibels in decided.tried.items():
        _out.print(f"  tried {way}: {decibels:.1f} dB", markup=False)
    for warning in decided.warnings:
        _out.print(f"warning: {warning}", markup=False)
    for line in found.lines() if found else ():
        _out.print(line, markup=False)
    for line in more:
        _out.print(line, markup=False)
    before, after = model.stat().st_size, output.stat().st_size
    _out.print(f"{output}: {after / 1e6:.2f} MB, was {before / 1e6:.2f} MB", markup=False)
