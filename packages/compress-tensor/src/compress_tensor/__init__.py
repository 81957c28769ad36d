"""compress-tensor: tensors, graphs of tensor operators, and the engine that runs them."""

from __future__ import annotations

from ._version import __version__
from .api import API_VERSION, require_api
from .dtype import DType
from .engine.session import Session, compile  # noqa: A004
from .errors import (
    CompressError,
    FileError,
    GraphError,
    InputError,
    MissingExtraError,
    NativeError,
    ShapeError,
    UnsupportedError,
)
from .graph.builder import Builder, Symbol
from .graph.graph import OPSET, Graph, Node, Value

__all__ = [
    "API_VERSION",
    "OPSET",
    "Builder",
    "CompressError",
    "DType",
    "FileError",
    "Graph",
    "GraphError",
    "InputError",
    "MissingExtraError",
    "NativeError",
    "Node",
    "Session",
    "ShapeError",
    "Symbol",
    "UnsupportedError",
    "Value",
    "__version__",
    "compile",
    "require_api",
]
