"""Calibration of 5,000 images: time and resident memory.

Ours by percentile under a cap of 512 MB, onnxruntime's by minimum and maximum.  Each runs
in a process of its own, so that the largest resident size is its own:
``python -m compress_bench.suite_calibration '{"side": "ours", ...}'`` prints one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from compress_autograd.data import open_dataset, preset
from compress_export import read_onnx
from compress_tensor import FileError, MissingExtraError

from .runtimes import Array

SIDES = ("ours", "onnxruntime")
MEMORY = 512 << 20
BATCH = 16
JOB = {
    "model": "resnet20_cifar10.onnx",
    "data": ["cifar10/train_4000.bin", "cifar10/test_1000.bin"],
    "preprocess": "cifar10",
}


def measure_calibration(root: Path) -> dict[str, Any]:
    """Return seconds, peak resident bytes and samples of both sides, and the cap.

    Raises:
        FileError: if a process breaks down.
    """
    found: dict[str, Any] = {"cap_bytes": MEMORY, **JOB}
    for side in SIDES:
        request = json.dumps({"side": side, "root": str(root)})
        command = [sys.executable, "-m", __name__, request]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise FileError(f"calibration by {side} broke down: {last}")
        found[side] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _feeds(root: Path) -> Iterator[dict[str, Array]]:
    steps = preset(str(JOB["preprocess"]))
    for name in JOB["data"]:
        dataset = open_dataset(root / name)
        for start in range(0, len(dataset), BATCH):
            rows = range(start, min(start + BATCH, len(dataset)))
            yield {"input": np.stack([steps(dataset.sample(i)) for i in rows])}


def _ours(root: Path) -> int:
    from compress_quant.grid import UINT8
    from compress_quant.observe.collect import observe
    from compress_quant.observe.ranges import Observer, range_of
    from compress_quant.place import Choice, place
    from compress_quant.prepare import prepare
    from compress_quant.target import Target

    graph = prepare(read_onnx(root / "models" / str(JOB["model"])))
    placement = place(graph, Target.CPU, Choice((), None))
    found = observe(graph, _feeds(root), placement.observed, memory=MEMORY, threads=2)
    for statistics in found.statistics.values():
        range_of(statistics, Observer.PERCENTILE, UINT8)
    return int(found.samples)


def _onnxruntime(root: Path) -> int:
    try:
        from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
        from onnxruntime.quantization.calibrate import create_calibrator
    except ImportError as error:
        raise MissingExtraError(
            "onnxruntime is not installed; install compress-bench[peers]"
        ) from error

    feeds = _feeds(root)
    samples = 0

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands out the batches."""

        def get_next(self) -> dict[str, Array] | None:
            """Return the next batch, or None."""
            nonlocal samples
            batch = next(feeds, None)
            samples += 0 if batch is None else len(batch["input"])
            return batch

    with tempfile.TemporaryDirectory() as folder:
        calibrator = create_calibrator(
            root / "models" / str(JOB["model"]),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=CalibrationMethod.MinMax,
        )
        calibrator.collect_data(Reader())
        calibrator.compute_data()
    return samples


def peak_resident() -> int:
    """Return the largest resident size of this process in bytes.

    From /proc: what getrusage says includes the parent's size before the exec.
    """
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _main() -> None:
    request = json.loads(sys.argv[1])
    start = time.perf_counter()
    run = _ours if request["side"] == "ours" else _onnxruntime
    samples = run(Path(request["root"]))
    answer = {
        "seconds": time.perf_counter() - start,
        "samples": samples,
        "peak_resident_bytes": peak_resident(),
    }
    Console(highlight=False, markup=False, soft_wrap=True).print(json.dumps(answer))


if __name__ == "__main__":
    _main()
