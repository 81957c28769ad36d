"""ONNX's protobuf messages, `pb`, without the rest of the package onnx.

To import all of onnx takes 60 to 80 ms and 13 MB, longer than most networks take to be read;
its messages alone take 20 ms.  They are loaded under their own name, so whoever imports onnx
later finds the same classes.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

__all__ = ["pb"]
_NAME = "onnx.onnx_ml_pb2"


def _messages() -> ModuleType:
    """Return the module of messages, or all of onnx where that has none of this name."""
    if _NAME in sys.modules:
        return sys.modules[_NAME]
    package = find_spec("onnx")
    for folder in (package and package.submodule_search_locations) or ():
        path = Path(folder) / "onnx_ml_pb2.py"
        spec = spec_from_file_location(_NAME, path) if path.is_file() else None
        if spec is None or spec.loader is None:
            continue
        module = sys.modules[_NAME] = module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[_NAME]
            raise
        return module
    return import_module("onnx")


if TYPE_CHECKING:
    import onnx as pb
else:
    pb = _messages()
