"""Builds libcore into the wheel; the result is loaded with ctypes, so any Python 3 will do."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Compiles libcompress_core and places it in ``compress_tensor/_lib``."""

    PLUGIN_NAME = "custom"
    _scratch: TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the wheel is put together."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        libcore = self._libcore(root)
        self._scratch = TemporaryDirectory(prefix="compress_build_")
        scratch = Path(self._scratch.name)
        in_checkout = libcore.parent != root
        # In a checkout objects are kept, so that only what changed is compiled again.
        objects = libcore.parent / "build" / "libcore" if in_checkout else scratch / "objects"
        editable = version == "editable"
        out = root / "src" / "compress_tensor" / "_lib" if editable else scratch / "lib"
        library = _load(libcore / "build.py").build(out, objects)
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform}"
        if not editable:
            build_data["force_include"][str(library)] = f"compress_tensor/_lib/{library.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the scratch folder."""
        if self._scratch is not None:
            self._scratch.cleanup()

    @staticmethod
    def _libcore(root: Path) -> Path:
        for place in (root / "libcore", root.parents[1] / "libcore"):
            if (place / "include" / "compress_core.h").is_file():
                return place
        raise RuntimeError(
            f"the sources of libcore are neither in {root} nor beside packages/; "
            "build from a complete checkout or sdist"
        )


def _load(path: Path) -> ModuleType:
    """Import libcore/build.py and leave no bytecode beside it for an sdist to pick up."""
    spec = importlib.util.spec_from_file_location("compress_libcore_build", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    keep, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = keep
    return module
