"""From a fresh machine to any task: ``python3 tools/bootstrap.py demo`` (or test, check, ...).

Makes ``.venv`` beside this folder, installs nox in it and runs the nox session of that name;
further arguments go to the session.  Needs Python >= 3.10, pip and a C compiler, nothing else.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
NOX = "nox>=2025.2.9"


def main() -> int:
    """Prepare, then hand over to nox; the result is nox's status."""
    if sys.version_info < (3, 10):
        return fail("Python 3.10 or newer is needed, this is " + sys.version.split()[0])
    names = sys.argv[1:2]
    if not names or names[0].startswith("-"):
        print(__doc__)
        return 0 if names and names[0] in ("-h", "--help") else 2
    compiler = os.environ.get("CC", "cc").split()[0]
    if shutil.which(compiler) is None:
        return fail(
            f"the C compiler {compiler!r} is not installed; on Debian and Ubuntu run: "
            "apt install gcc libc6-dev (or set CC)"
        )
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not works(python, "nox"):
        try:
            import ensurepip  # noqa: F401
            import venv
        except ImportError:
            return fail(
                "this Python cannot make virtual environments; on Debian and Ubuntu run: "
                "apt install python3-venv"
            )
        print(f"making {VENV} ...", flush=True)
        venv.create(VENV, clear=True, with_pip=True, symlinks=os.name != "nt")
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.call([*install, NOX]):
            shutil.rmtree(VENV)
            return fail("nox could not be installed; is there a connection to a package index?")
    command = [str(python), "-m", "nox", "--noxfile", str(ROOT / "noxfile.py")]
    rest = sys.argv[2:]
    return subprocess.call([*command, "-s", *names, *(["--", *rest] if rest else [])], cwd=ROOT)


def works(python: Path, module: str) -> bool:
    """Return whether that interpreter exists and has ``module``."""
    try:
        command = [str(python), "-c", f"import {module}"]
        return not subprocess.call(command, stderr=subprocess.DEVNULL)
    except OSError:
        return False


def fail(why: str) -> int:
    """Print one sentence and return the status of bad input."""
    print(f"error: {why}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
