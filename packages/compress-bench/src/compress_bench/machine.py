"""The machine and the versions, recorded with every result."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from compress_tensor.native.library import isa

PACKAGES = ("numpy", "onnxruntime")  #: whose versions are part of every result


def describe(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Return what a reader needs to know to compare a result."""
    found = {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "instruction set": isa(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
    if limit := os.environ.get("COMPRESS_ISA"):
        found["limited to"] = limit
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    """Return its name, with family and model: a virtual machine's is often that of several."""
    found: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            found.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    if "model name" not in found:
        return platform.processor() or platform.machine()
    if "cpu family" not in found:
        return found["model name"]
    return f"{found['model name']}, family {found['cpu family']}, model {found['model']}"
