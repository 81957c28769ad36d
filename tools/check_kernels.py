"""Compile libcore and its check programs from the sources, and run the random cases.

::

    python tools/check_kernels.py                                  # some minutes
    python tools/check_kernels.py --cases 20 --fuzz 50
    python tools/check_kernels.py --sanitize address,undefined
    python tools/check_kernels.py --sanitize thread
    python tools/check_kernels.py -- --seed 7 --only reduce --case 31   # one case again
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "libcore"))

from build import build  # noqa: E402


def compile_checks(library: Path, out: Path, sanitize: str) -> Path:
    """Link every file of libcore/tests with the library; return the program."""
    program = out / "check"
    flags = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", f"-I{ROOT / 'libcore/include'}"]
    if sanitize:
        flags += [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer"]
    sources = sorted(str(p) for p in (ROOT / "libcore/tests").glob("*.c"))
    command = [*os.environ.get("CC", "cc").split(), *flags, *sources, str(library), "-lm"]
    subprocess.run([*command, f"-Wl,-rpath,{out}", "-o", str(program)], check=True)
    return program


def main() -> int:
    """Build, run, return the program's status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sanitize", default="", help="for example address,undefined")
    parser.add_argument("--out", type=Path, help="default: build/check-<sanitizer>")
    parser.add_argument("--cases", default="300", help="per kernel")
    parser.add_argument("--fuzz", default="1000", help="spoilt cases per kernel")
    parser.add_argument("--seed", default="1")
    parser.add_argument("rest", nargs="*", help="arguments of the program itself, after --")
    arguments = parser.parse_args()
    name = arguments.sanitize.partition(",")[0] or "plain"
    out = (arguments.out or ROOT / f"build/check-{name}").resolve()
    library = build(out, out / "objects", sanitize=arguments.sanitize)
    program = compile_checks(library, out, arguments.sanitize)
    options = ["--cases", arguments.cases, "--fuzz", arguments.fuzz, "--seed", arguments.seed]
    environment = {
        "ASAN_OPTIONS": "allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "TSAN_OPTIONS": "halt_on_error=1",
        **os.environ,
    }
    return subprocess.call([str(program), *options, *arguments.rest], env=environment)


if __name__ == "__main__":
    sys.exit(main())
