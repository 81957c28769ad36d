"""Bare products against everybody: one child process per number of threads.

The libraries take their threads from the environment when they are loaded, and some settings that
a machine may have (OPENBLAS_CORETYPE, OPENBLAS_L2_SIZE) would slow numpy down: a child starts
without them.  It prints a line of JSON per cell.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from compress_tensor import CompressError, InputError

from .peak import Unit
from .products import Shape, candidates, operations
from .race import race
from .results import Results

#: told the cells done, how many there are, and which comes next
Progress = Callable[[int, int, str], None]

_UNSET = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OMP_WAIT_POLICY", "MKL_DEBUG_CPU_TYPE")
#: OpenBLAS's threads spin for 2^26 cycles, 18 ms, after a product: they took a core from whatever
#: was measured next (a product in two threads twice as slow, ours and others').  2^20: 0.3 ms.
_SHORT_SPIN = {"OPENBLAS_THREAD_TIMEOUT": "20"}
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def key_of(shape: Shape, unit: Unit, threads: int) -> str:
    """Return the name of a cell."""
    return f"{unit.value} {'x'.join(map(str, shape))} {threads}t"


def measure_kernels(
    results: Results,
    shapes: Sequence[Shape],
    units: Sequence[Unit],
    threads: Sequence[int],
    samples: int,
    progress: Progress,
) -> None:
    """Measure every cell that ``results`` lacks.

    Raises:
        InputError: if a child fails.
    """
    wanted = [(s, u, t) for t in threads for u in units for s in shapes]
    left = [w for w in wanted if "seconds" not in results.cells.get(key_of(*w), {})]
    done = len(wanted) - len(left)
    for count in threads:
        jobs = [(s, u) for s, u, t in left if t == count]
        for key, cell in _child(jobs, count, samples):
            results.keep(key, cell)
            done += 1
            progress(done, len(wanted), key)


def _child(
    jobs: Sequence[tuple[Shape, Unit]], threads: int, samples: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the cells as a process of its own measures them."""
    if not jobs:
        return
    environment = {k: v for k, v in os.environ.items() if k not in _UNSET}
    environment |= dict.fromkeys(_THREADS, str(threads))
    environment |= {"KMP_BLOCKTIME": "1", "MKL_DYNAMIC": "FALSE", **_SHORT_SPIN}
    command = [sys.executable, "-m", "compress_bench.suite_kernels", str(threads), str(samples)]
    words = json.dumps([[list(shape), unit.value] for shape, unit in jobs])
    with subprocess.Popen(
        [*command, words], stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                if line.startswith("{"):  # libraries print to standard output, too
                    found = json.loads(line)
                    yield found["key"], found["cell"]
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        raise InputError(f"the measuring process ended with status {child.returncode}")


def measure_product(shape: Shape, unit: Unit, threads: int, samples: int) -> dict[str, Any]:
    """Return one cell."""
    with tempfile.TemporaryDirectory() as folder:
        calls, absent = candidates(shape, unit, threads, Path(folder))
        cell = race(calls, unit, threads, operations(shape), samples=samples)
    return {"shape": list(shape), **cell, "absent": absent}


def _main() -> None:
    threads, samples = int(sys.argv[1]), int(sys.argv[2])

    for sizes, name in json.loads(sys.argv[3]):
        shape, unit = tuple(sizes), Unit(name)
        try:
            cell = measure_product(shape, unit, threads, samples)
        except CompressError as error:
            cell = {"shape": sizes, "failed": str(error)}
        text = json.dumps({"key": key_of(shape, unit, threads), "cell": cell})
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
