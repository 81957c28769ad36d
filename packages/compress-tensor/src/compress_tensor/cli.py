"""The command line ``compress-tensor``: what this installation is and can use."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from . import __version__
from .api import API_VERSION
from .console import run
from .eager import get_num_threads
from .errors import CompressError
from .native.library import ISAS, core, isa, library_path, limit_isa

_NO_GPU = (
    "none: compress-tensor was built without nvcc, so networks run on the CPU; "
    "rebuild it where nvcc is installed"
)


def information() -> dict[str, Any]:
    """Return what ``info`` shows.

    Raises:
        CompressError: if the native library cannot be loaded.
    """
    try:
        library = core()
    except ImportError as error:
        raise CompressError(str(error)) from error
    major, minor = divmod(library.cpr_abi_version(), 1 << 16)
    gpu = library_path().with_name("libcompress_cuda.so")
    return {
        "version": __version__,
        "api": ".".join(map(str, API_VERSION)),
        "abi": f"{major}.{minor}",
        "library": str(library_path()),
        "instruction_set": isa(),
        "instruction_set_detected": _detected(),
        "threads": get_num_threads(),
        "gpu_library": str(gpu) if gpu.is_file() else None,
    }


def _detected() -> str:
    """Return the best instruction set of this processor that the library has kernels for."""
    used = isa()
    limit_isa(ISAS[-1])
    best = isa()
    limit_isa(used)
    return best


def _table(found: dict[str, Any]) -> str:
    """Return the facts as lines for people."""
    used, best = found["instruction_set"], found["instruction_set_detected"]
    limited = "" if used == best else f" (limited; this processor has {best})"
    rows = {
        "version": found["version"],
        "API": found["api"],
        "ABI": found["abi"],
        "native library": found["library"],
        "instruction set": used + limited,
        "threads": found["threads"],
        "GPU library": found["gpu_library"] or _NO_GPU,
    }
    return "\n".join(f"{name:<16} {value}" for name, value in rows.items())


def _run(arguments: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(
        prog="compress-tensor",
        description="Tensors, graphs of tensor operators, and the engine that runs them.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    info = commands.add_parser("info", help="say what this installation is and can use")
    info.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args(arguments)
    found = information()
    print(json.dumps(found, indent=2) if chosen.json else _table(found))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; leaves the process with its status."""
    run(lambda: _run(arguments))


if __name__ == "__main__":
    main()
