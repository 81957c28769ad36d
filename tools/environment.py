"""The one environment that all sessions share, and the wheels installed in it.

libcore is compiled, and every wheel built, once per state of the sources: into
``build/wheels/<hash of the sources>``.  The environment lies in ``.nox/shared-<version>``; it is
brought up to date only when the sources or the wanted requirements changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Bottom floor first: a package may depend only on the ones before it.
FLOORS = (
    "compress-tensor",
    "compress-autograd",
    "compress-export",
    "compress-quant",
    "compress-prune",
    "compress-distill",
    "compress-bench",
)
BUILD = ("hatchling>=1.27", "setuptools>=77", "wheel")
#: What the sessions need beyond the packages' own dependencies.
GROUPS: dict[str, tuple[str, ...]] = {
    "test": ("pytest>=8", "onnxruntime>=1.20", "pillow>=10", "scikit-learn>=1.4"),
    "rivals": ("openvino>=2025.0", "mkl>=2025.0"),  # not torch: its wheels take gigabytes
    "check": ("ruff~=0.17.6", "mypy~=2.4.1", "pytest>=8"),
    "demo": ("scikit-learn>=1.4", "onnxruntime>=1.20"),
}
_IGNORED = {"__pycache__", "_lib", "tests", ".mypy_cache", ".ruff_cache", ".pytest_cache"}


def packages() -> list[str]:
    """Return the packages that exist, bottom floor first."""
    return [name for name in FLOORS if (ROOT / "packages" / name / "pyproject.toml").is_file()]


def needed(package: str) -> list[str]:
    """Return a package and those of ours that it needs, bottom floor first."""
    text = (ROOT / "packages" / package / "pyproject.toml").read_text()
    below = {name for each in re.findall(r'"(compress-\w+)~=', text) for name in needed(each)}
    return [name for name in FLOORS if name in below or name == package]


def tree_key() -> str:
    """Return a hash of everything that goes into the wheels."""
    digest = hashlib.sha256(f"{sys.platform} {os.uname().machine}".encode())
    folders = [ROOT / "libcore", *(ROOT / "packages" / name for name in packages())]
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if _IGNORED.isdisjoint(path.relative_to(ROOT).parts) and path.is_file():
                digest.update(f"{path.relative_to(ROOT)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def build_wheels(python: Path) -> dict[str, Path]:
    """Return the wheel of each package, built if the sources are new, bottom floor first."""
    folder = ROOT / "build" / "wheels" / tree_key()
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        part.mkdir(parents=True)
        sources = [str(ROOT / "packages" / name) for name in packages()]
        build = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(part), *sources]
        try:
            _pip(python, "wheel", *build)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    found = {path.name.partition("-")[0].replace("_", "-"): path for path in folder.glob("*.whl")}
    return {name: found[name] for name in packages()}


def prepare(*groups: str) -> Path:
    """Return the Python of the shared environment, with all packages and ``groups`` installed."""
    home = ROOT / ".nox" / f"shared-{sys.version_info[0]}.{sys.version_info[1]}"
    python = home / "bin" / "python"
    stamp = home / "installed.json"
    if not stamp.is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        _pip(python, "install", *BUILD)
        stamp.write_text("{}")
    state = json.loads(stamp.read_text())
    key = tree_key()
    wanted = sorted({*state.get("groups", []), *groups})
    if state != {"key": key, "groups": wanted}:
        stamp.write_text(json.dumps({"groups": state.get("groups", [])}))  # in case this fails
        wheels = [str(path) for path in build_wheels(python).values()]
        extra = {requirement for group in wanted for requirement in GROUPS[group]}
        _pip(python, "install", *wheels, *sorted(extra))
        # The version may be the same as that of the wheel installed before.
        _pip(python, "install", "--no-deps", "--force-reinstall", *wheels)
        stamp.write_text(json.dumps({"key": key, "groups": wanted}))
    return python


def _pip(python: Path, *arguments: str) -> None:
    quiet = ["--quiet", "--disable-pip-version-check"]
    command = [str(python), "-m", "pip", arguments[0], *quiet, *arguments[1:]]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})


if __name__ == "__main__":
    print(prepare(*sys.argv[1:]))
