"""Start-up and memory of a runtime, in a process that does nothing else.

    python -m compress_bench.startup RUNTIME MODEL FEEDS THREADS TYPE SIZES

prints JSON: seconds to load and compile, seconds of the first run, resident bytes before loading
(interpreter and libraries imported) and at their peak.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compress_export import read_onnx
from compress_tensor import UnsupportedError
from compress_tensor.native.library import core

from .kinds import Kind
from .runtimes import Runtime, load, sizes_of
from .subjects import load_feeds


def start(
    runtime: Runtime, model: Path, feeds: Path, threads: int, kind: Kind = Kind.FP32
) -> dict[str, Any]:
    """Return what a process of its own measures.

    Raises:
        UnsupportedError: if that process fails.
    """
    # What onnxruntime is told of open sizes is found here: reading the file for them is our work.
    sizes: dict[str, int] = {}
    if runtime is Runtime.ONNXRUNTIME:
        sizes = sizes_of(read_onnx(model).inputs, load_feeds(feeds))
    words = (runtime.value, str(model), str(feeds), str(threads), kind.value, json.dumps(sizes))
    return alone("compress_bench.startup", words, f"{runtime.value} does not start")


def alone(module: str, words: Sequence[str], failure: str) -> dict[str, Any]:
    """Return the JSON that a module prints, run in a process of its own.

    Args:
        module: run as ``python -m``.
        words: its arguments.
        failure: what to say if it fails, before its last words.

    Raises:
        UnsupportedError: if it does.
    """
    command = [sys.executable, "-m", module, *words]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in made.stdout.splitlines() if line.startswith("{")]
    if made.returncode or not lines:
        last = (made.stderr.strip().splitlines() or ["no output"])[-1]
        raise UnsupportedError(f"{failure}: {last}")
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def resident(field: str) -> int:
    """Return VmRSS or VmHWM in bytes (Linux), else 0.

    getrusage's maximum would not do: it is inherited from the process that started this one.
    """
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def _main() -> None:
    runtime, model, given, threads, kind, open_sizes = sys.argv[1:]
    feeds, sizes = load_feeds(Path(given)), json.loads(open_sizes)
    if runtime == Runtime.ONNXRUNTIME.value:
        import onnxruntime  # noqa: F401
    elif runtime == Runtime.OPENVINO.value:
        import openvino  # noqa: F401
    else:
        core()  # as those load theirs when they are imported
    before = resident("VmRSS")
    begin = time.perf_counter()
    given_runtime, count = Runtime(runtime), int(threads)
    runner = load(Path(model), given_runtime, count, feeds=feeds, kind=Kind(kind), sizes=sizes)
    loaded = time.perf_counter()
    runner.run(feeds)
    ready = time.perf_counter()
    found = {"load": loaded - begin, "first": ready - loaded}
    found |= {"before": before, "peak": resident("VmHWM")}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    _main()
