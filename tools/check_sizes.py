"""Check that no source file is longer than a reader takes in at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 450
SUFFIXES = {".py", ".c", ".h", ".cu"}


def main() -> int:
    """Return 1 if a file is too long."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        print("sizes: not a git checkout, nothing to check")
        return 0
    paths = [ROOT / name for name in listed.stdout.split("\0") if Path(name).suffix in SUFFIXES]
    lengths = {path: path.read_bytes().count(b"\n") for path in paths if path.is_file()}
    long = {path: count for path, count in lengths.items() if count > MOST_LINES}
    for path, count in sorted(long.items()):
        print(f"{path.relative_to(ROOT)}: {count} lines, at most {MOST_LINES}")
    print(f"sizes: {len(lengths)} files, {len(long)} too long")
    return bool(long)


if __name__ == "__main__":
    sys.exit(main())
