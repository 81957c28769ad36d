"""Static INT8 on real models: ours, the same file in onnxruntime, and what rivals make.

    python -m compress_bench.suite_int8 [--data FOLDER] [--out docs/results] [--only PART]

For every model in FOLDER/models, on its whole data set: FP32, our INT8 in our engine, the
same file in onnxruntime, onnxruntime's own quantize_static (best of its calibrators), NNCF (where
COMPRESS_NNCF_PYTHON names an interpreter that has it), each with the paired difference to FP32;
latency FP32 against INT8 at one and two threads.  Calibration samples are training samples where
there are some; else they come from the evaluation data, for all tools alike, and the table says so.
Results are kept as they come (``int8.json``): an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from compress_export import read_onnx, write_onnx
from compress_quant import Recipe, certify, quantize_static
from compress_tensor import CompressError, InputError
from compress_tensor.console import run
from compress_tensor.files import write_atomically

from . import machine
from .cli import progress_bar
from .clock import interleave
from .paired import paired
from .peers_int8 import CALIBRATORS, nncf_quantize, onnxruntime_static
from .quality import Quality
from .runtimes import ALWAYS, Array, Runtime, load
from .statistics import ratio_interval, summarize
from .suite_calibration import measure_calibration
from .suite_models import MODELS, THREADS, Job, example
from .tables_int8 import markdown
from .trial import Trial, open_trial

NAME = "int8"
#: of onnxruntime, whose histogram calibrators keep every activation in memory
PEER_SAMPLES = 64


def measure(root: Path, job: Job, progress: Callable[[int, int], None]) -> dict[str, Any]:
    """Return all that is measured of one model."""
    with open_trial(root, job) as trial, tempfile.TemporaryDirectory() as folder:
        return _measure(trial, Path(folder), progress)


def _measure(trial: Trial, folder: Path, progress: Callable[[int, int], None]) -> dict[str, Any]:
    graph = read_onnx(trial.path)
    found: dict[str, Any] = {"data": trial.job.data, "calibration": trial.source}
    feeds = trial.calibration(graph)
    made: dict[str, Quality] = {}
    lossy: dict[str, Quality] = {}

    def record(name: str, file: Path, runtime: Runtime) -> None:
        made[name] = trial.quality(file, runtime, progress)
        found[name] = {**made[name].as_json(), **asdict(paired(made[name], made["fp32"], labels))}
        if trial.many is not None:
            lossy[name] = trial.many_quality(file, runtime, progress)
            difference = paired(lossy[name], lossy["fp32"], trial.many_labels)
            found[name]["many"] = {**lossy[name].as_json(), **asdict(difference)}

    labels = trial.labels
    record("fp32", trial.path, Runtime.OURS)
    ours = folder / "ours.onnx"
    start = time.perf_counter()
    quantized, ledger = quantize_static(graph, feeds, Recipe(threads=2))
    found["seconds"] = time.perf_counter() - start
    write_onnx(quantized, ours)
    found["bytes"] = [trial.path.stat().st_size, ours.stat().st_size]
    found["ledger"] = ledger.summary()
    found["floats"] = {d.node: d.why for d in ledger.left_in_floats()}
    record("ours", ours, Runtime.OURS)
    record("ours in onnxruntime", ours, Runtime.ONNXRUNTIME)
    found["certificate"] = certify(quantized, feeds[:1]).as_json()
    _peers(found, record, trial.path, feeds, folder)
    found["rival"] = _against_the_best(made, labels)
    found["latency"] = {str(n): _latency(trial.path, ours, n) for n in THREADS}
    return found


def _against_the_best(made: dict[str, Quality], labels: Array) -> dict[str, Any]:
    """Compare ours with the rival that did best on these very data, which favours the rival."""
    rivals = {n: q for n, q in made.items() if not n.startswith("ours") and n != "fp32"}
    if not rivals:
        return {}
    best = max(rivals, key=lambda name: rivals[name].top1)
    return {"name": best, **asdict(paired(made["ours"], rivals[best], labels))}


def _peers(
    found: dict[str, Any],
    record: Callable[[str, Path, Runtime], None],
    path: Path,
    feeds: list[dict[str, Array]],
    folder: Path,
) -> None:
    few = [feeds[i * len(feeds) // PEER_SAMPLES] for i in range(min(PEER_SAMPLES, len(feeds)))]
    for calibrator in CALIBRATORS:
        target = folder / f"{calibrator}.onnx"
        samples = feeds if calibrator == "MinMax" else few
        key = f"onnxruntime {calibrator}"
        try:
            onnxruntime_static(path, samples, calibrator, target)
            record(key, target, Runtime.ONNXRUNTIME)
        except CompressError as error:
            found[key] = {"missing": str(error)}
    try:
        if nncf_quantize(path, feeds, folder / "nncf.onnx"):
            record("NNCF", folder / "nncf.onnx", Runtime.ONNXRUNTIME)
    except CompressError as error:
        found["NNCF"] = {"missing": str(error)}


def _latency(fp32: Path, int8: Path, threads: int) -> dict[str, Any]:
    """Time one sample in turn: FP32 and INT8, each in our engine and in onnxruntime."""
    feeds = example(read_onnx(fp32).inputs, 1)
    calls: dict[str, Callable[[], object]] = {}
    for form, file in (("fp32", fp32), ("int8", int8)):
        for runtime in ALWAYS:
            runner = load(file, runtime, threads)
            calls[f"{form} {runtime.value}"] = partial(runner.run, feeds)
    seconds = interleave(calls, samples=40)
    found: dict[str, Any] = {k: summarize(v).median * 1e3 for k, v in seconds.items()}
    found["speed-up"] = ratio_interval(seconds["fp32 ours"], seconds["int8 ours"])
    found["against onnxruntime"] = ratio_interval(seconds["int8 onnxruntime"], seconds["int8 ours"])
    return found


def suite() -> None:
    """Measure what is not measured yet, then write the tables."""
    parser = argparse.ArgumentParser(description="Measure static INT8 on real models.")
    parser.add_argument("--data", type=Path, default=os.environ.get("COMPRESS_DATA"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--only", default="", help="models whose file name has this in it")
    parser.add_argument("--fresh", action="store_true", help="forget earlier results")
    given = parser.parse_args()
    if given.data is None:
        raise InputError("give --data, or set COMPRESS_DATA to the folder of models and data")
    root = Path(given.data)
    if not (root / "models").is_dir():
        raise InputError(f"{root} has no folder models")
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / f"{NAME}.json"
    state: dict[str, Any] = {"machine": machine.describe(), "models": {}}
    if path.is_file() and not given.fresh:
        kept = json.loads(path.read_text())
        state = kept if kept.get("machine") == machine.describe() else state
    console = Console(stderr=True, highlight=False)
    for job in MODELS:
        if job.file in state["models"] or given.only not in job.file:
            continue
        console.print(f"measuring {job.file}")
        with progress_bar(job.file) as update:
            state["models"][job.file] = measure(root, job, update)
        _save(path, state)
    if "calibration" not in state and not given.only:
        console.print("measuring calibration of 5,000 images")
        state["calibration"] = measure_calibration(root)
        _save(path, state)
    text = markdown(state)
    with write_atomically(given.out / f"{NAME}.md") as file:
        file.write(text.encode())
    Console(highlight=False, markup=False, soft_wrap=True).print(text)


def _save(path: Path, state: dict[str, Any]) -> None:
    with write_atomically(path) as file:
        file.write(json.dumps(state, indent=1, default=_plain).encode() + b"\n")


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else str(value)


if __name__ == "__main__":
    run(suite)
