"""Everything that this project claims of its engine, measured in one run.

    python -m compress_bench.suite [--data FOLDER] [--out docs/results]

For every model in FOLDER/models: accuracy on its whole data set in our engine and in onnxruntime,
largest difference of the outputs, the same bytes over runs, threads and batches, latency at one
and two threads.  For every file in FOLDER/zoo: runs like onnxruntime, or what is missing.
Results are kept as they come (``foundation.json``): an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console

from compress_tensor import CompressError, InputError
from compress_tensor.console import run
from compress_tensor.files import write_atomically

from . import machine
from .cli import progress_bar
from .suite_models import MODELS, measure_model
from .suite_zoo import measure_zoo, zoo_files
from .tables import markdown

NAME = "foundation"


def suite() -> None:
    """Measure what is not measured yet, then write the tables."""
    parser = argparse.ArgumentParser(description="Measure the engine on real models.")
    parser.add_argument("--data", type=Path, default=os.environ.get("COMPRESS_DATA"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    given = parser.parse_args()
    if given.data is None:
        raise InputError("give --data, or set COMPRESS_DATA to the folder of models and data")
    root = Path(given.data)
    if not (root / "models").is_dir():
        raise InputError(f"{root} has no folder models")
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / f"{NAME}.json"
    state = _load(path) if path.is_file() and not given.fresh else {}
    if state.get("machine") != machine.describe():
        state = {"machine": machine.describe(), "models": {}, "zoo": {}}
    console = Console(stderr=True, highlight=False)
    for job in MODELS:
        if job.file in state["models"]:
            continue
        console.print(f"measuring {job.file}")
        with progress_bar(job.file) as update:
            state["models"][job.file] = measure_model(root, job, update)
        _save(path, state)
    for file in zoo_files(root):
        name = str(file.relative_to(root / "zoo"))
        if name in state["zoo"]:
            continue
        console.print(f"measuring {name}")
        try:
            state["zoo"][name] = measure_zoo(file)
        except CompressError as error:
            state["zoo"][name] = {"missing": str(error)}
        _save(path, state)
    text = markdown(state)
    with write_atomically(given.out / f"{NAME}.md") as written:
        written.write(text.encode())
    Console(highlight=False, markup=False, soft_wrap=True).print(text)


def _load(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError:
        return {}
    return found


def _save(path: Path, state: dict[str, Any]) -> None:
    with write_atomically(path) as file:
        file.write(json.dumps(state, indent=1).encode() + b"\n")


if __name__ == "__main__":
    run(suite)
