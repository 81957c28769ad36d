"""What runs a model: our engine or onnxruntime, behind one call."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import compress_tensor
from compress_export import read_onnx
from compress_tensor import DType, FileError, MissingExtraError, Value

Array = np.ndarray[Any, np.dtype[Any]]


class Runtime(str, Enum):
    """The engines that can be compared."""

    OURS = "ours"
    ONNXRUNTIME = "onnxruntime"


class Runner(Protocol):
    """A loaded model."""

    inputs: list[Value]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs."""


class Ours:
    """A model in our engine."""

    def __init__(self, path: Path, threads: int) -> None:
        self.session = compress_tensor.compile(read_onnx(path), threads=threads)
        self.inputs = self.session.inputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs."""
        return self.session.run(feeds)


class OnnxRuntime:
    """A model in onnxruntime, as it is installed: all optimisations, CPU."""

    def __init__(self, path: Path, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError(
                "onnxruntime is not installed; install compress-bench[peers]"
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its threads spin for work during a run, as they do by default, but not after it: they
        # would take a core from whatever is measured next in this process.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            self.session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common type of their own
            raise FileError(f"onnxruntime cannot load {path}: {error}") from error
        self.inputs = [
            Value(i.name, _TYPES.get(i.type), tuple(i.shape)) for i in self.session.get_inputs()
        ]
        self._outputs = [o.name for o in self.session.get_outputs()]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs."""
        return dict(zip(self._outputs, self.session.run(None, dict(feeds)), strict=True))


_TYPES = {
    "tensor(float)": DType.FLOAT32,
    "tensor(float16)": DType.FLOAT16,
    "tensor(double)": DType.FLOAT64,
    "tensor(int64)": DType.INT64,
    "tensor(int32)": DType.INT32,
    "tensor(uint8)": DType.UINT8,
    "tensor(int8)": DType.INT8,
    "tensor(bool)": DType.BOOL,
}


def load(path: Path, runtime: Runtime, threads: int) -> Runner:
    """Return the model ready to run.

    Raises:
        FileError: if it cannot be loaded.
        MissingExtraError: if that runtime is not installed.
    """
    return Ours(path, threads) if runtime is Runtime.OURS else OnnxRuntime(path, threads)
