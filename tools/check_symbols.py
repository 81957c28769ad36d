"""Check that the library exports exactly what its header declares."""

from __future__ import annotations

import subprocess
import sys

from header import prototypes

from compress_tensor.native.library import library_path

#: made by some linkers in every library
LINKER = {"_init", "_fini", "_edata", "_end", "__bss_start"}


def main() -> int:
    """Return 1 if the library and the header differ."""
    command = ["nm", "-D", "--defined-only", str(library_path())]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    exported = {line.split()[-1].partition("@")[0] for line in listed.splitlines()} - LINKER
    declared = {prototype.name for prototype in prototypes()}
    problems = [f"{name} is exported but not declared" for name in sorted(exported - declared)]
    problems += [f"{name} is declared but not exported" for name in sorted(declared - exported)]
    print(*problems, f"symbols: {len(exported)} exported, {len(problems)} problems", sep="\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
