"""Other tools that quantize an ONNX file: onnxruntime's own, and NNCF in an interpreter of its own.

Both get the same preprocessed samples as ours, one at a time.
"""

from __future__ import annotations

import logging
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from compress_tensor import UnsupportedError

from .runtimes import Array

Feeds = Mapping[str, Array]
#: the calibrators of onnxruntime.quantization.CalibrationMethod that are tried
CALIBRATORS = ("MinMax", "Entropy", "Percentile")
#: names an interpreter that has nncf and onnx; without it that peer is left out
NNCF_PYTHON = "COMPRESS_NNCF_PYTHON"

_NNCF = """
import sys, numpy as np, onnx, nncf
source, target, samples = sys.argv[1:]
held = np.load(samples)
data = [{n: held[n][i] for n in held.files} for i in range(len(held[held.files[0]]))]
made = nncf.quantize(onnx.load(source), nncf.Dataset(data), subset_size=len(data),
                     preset=nncf.QuantizationPreset.MIXED)
onnx.save(made, target)
"""


def onnxruntime_static(
    model: Path, samples: Sequence[Feeds], calibrator: str, target: Path
) -> None:
    """Write onnxruntime's own static quantization: QDQ, per channel, with its pre-processing.

    Raises:
        UnsupportedError: with its reason, if it fails.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[Feeds] = iter(samples)

        def get_next(self) -> Feeds | None:
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        ready = Path(folder) / "ready.onnx"
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            with redirect_stderr(StringIO()):
                quant_pre_process(str(model), str(ready), skip_symbolic_shape=True)
                quantize_static(
                    str(ready),
                    str(target),
                    Reader(),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8,
                    calibrate_method=getattr(CalibrationMethod, calibrator),
                )
        except Exception as error:  # it raises whatever its steps raise
            raise UnsupportedError(f"onnxruntime's quantize_static fails: {error}") from error
        finally:
            logging.disable(level)


def nncf_quantize(model: Path, samples: Sequence[Feeds], target: Path) -> bool:
    """Write NNCF's quantization; False if no interpreter with it is named.

    Raises:
        UnsupportedError: with its last line, if it fails.
    """
    python = os.environ.get(NNCF_PYTHON)
    if not python:
        return False
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "samples.npz"
        held: dict[str, Any] = {n: np.stack([s[n] for s in samples]) for n in samples[0]}
        np.savez(data, **held)
        command = [python, "-c", _NNCF, str(model), str(target), str(data)]
        clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UnsupportedError(f"NNCF fails: {lines[-1]}")
    return True
