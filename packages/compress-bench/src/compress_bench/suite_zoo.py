"""Files as found in the wild: whether each runs like onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from compress_export import read_onnx
from compress_tensor import DType, Value

from .runtimes import Array, Ours, Runtime, load
from .suite_models import difference, example, latency


def zoo_files(root: Path) -> list[Path]:
    """Return the ONNX files under zoo, in order."""
    return sorted((root / "zoo").rglob("*.onnx"))


def measure_zoo(path: Path) -> dict[str, Any]:
    """Return difference, latency and which nodes ran by their reference definition."""
    feeds = zoo_example(read_onnx(path).inputs)
    ours, theirs = load(path, Runtime.OURS, 1), load(path, Runtime.ONNXRUNTIME, 1)
    found: dict[str, Any] = {
        "relative_difference": difference(ours.run(feeds), theirs.run(feeds)),
        "latency": {"1": latency(path, feeds, 1)},
    }
    assert isinstance(ours, Ours)
    report = ours.session.report(feeds)
    found["nodes"] = len(report)
    found["reference"] = [line.label for line in report if line.how.startswith("reference")]
    return found


def zoo_example(inputs: list[Value]) -> dict[str, Array]:
    """Return inputs; a scalar int64 named sr is a sampling rate, its audio 576 samples."""
    found = example(inputs, 1, 1)
    if "sr" in found:
        rng = np.random.default_rng(0)
        found["sr"] = np.array(16000, np.int64)
        for value in inputs:
            if value.name != "sr" and value.dtype is DType.FLOAT32 and len(value.shape or ()) == 2:
                found[value.name] = (rng.standard_normal((1, 576)) / 10).astype(np.float32)
    return found
