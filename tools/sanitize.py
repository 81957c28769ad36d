"""Run the tests that reach C with libcore built under a sanitizer.

::

    python tools/sanitize.py address,undefined [pytest arguments]
    python tools/sanitize.py thread [pytest arguments]

The interpreter is not built with it, so the sanitizer's library is loaded ahead of everything.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = {"address": "libasan.so", "thread": "libtsan.so"}
#: what reaches C; onnxruntime stays out, it is not ours to check
TESTS = {
    "address": ["packages/compress-tensor/tests", "packages/compress-export/tests/test_fuzz.py"],
    "thread": ["packages/compress-tensor/tests"],
}
OPTIONS = {
    # Python keeps objects for good; reports end the process so that no test passes by accident.
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:report_signal_unsafe=0",
    "PYTHONMALLOC": "malloc",  # so that every buffer has guard bytes of its own
    "COMPRESS_SANITIZED": "1",
}


def main() -> int:
    """Build, run pytest, return its status."""
    kind, rest = sys.argv[1], sys.argv[2:]
    first = kind.partition(",")[0]
    out = ROOT / "build" / f"sanitize-{first}"
    build = [sys.executable, "libcore/build.py", "--sanitize", kind, "--out", str(out)]
    subprocess.run([*build, "--objects", str(out / "objects")], cwd=ROOT, check=True)
    compiler = os.environ.get("CC", "cc").split()
    preload = []
    for library in (RUNTIME[first], "libstdc++.so.6"):  # onnx throws C++ exceptions
        command = [*compiler, f"-print-file-name={library}"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        if os.path.isabs(found):
            preload.append(os.path.realpath(found))
    if not preload:
        print(f"error: the compiler has no {RUNTIME[first]}", file=sys.stderr)
        return 2
    env = {
        **os.environ,
        **OPTIONS,
        "LD_PRELOAD": " ".join(preload),
        "COMPRESS_LIBRARY": str(out / "libcompress_core.so"),
    }
    tests = [name for name in TESTS[first] if (ROOT / name).exists()]
    named = any(Path(word.partition("::")[0]).exists() for word in rest)
    arguments = ["-p", "no:cacheprovider", "-m", "not onnxruntime", *rest]
    arguments += [] if named else tests
    return subprocess.call([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=env)


if __name__ == "__main__":
    sys.exit(main())
