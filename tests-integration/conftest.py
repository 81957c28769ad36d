"""Commands as a user runs them: in a process of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from compress_export import write_onnx
from compress_tensor import Builder, DType

MODULES = {
    "compress-tensor": "compress_tensor.cli",
    "compress-export": "compress_export.cli",
    "compress-quant": "compress_quant.cli",
    "compress-bench": "compress_bench.cli",
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    def refused(self) -> str:
        """Return the one sentence on standard error, after asserting that it is all."""
        assert self.status == 2, f"status {self.status}\n{self.out}\n{self.err}"
        assert "Traceback" not in self.err
        lines = self.err.strip().splitlines()

        assert len(lines) == 1, self.err
        assert lines[0].startswith(("error: ", "interrupted: "))
        return lines[0]


def words_of(name: str) -> list[str]:
    """Return how a console script is started, installed or not."""
    script = shutil.which(name, path=str(Path(sys.executable).parent))
    if script:
        return [script]
    call = f"import sys; sys.argv[0] = {name!r}; from {MODULES[name]} import main; main()"
    return [sys.executable, "-c", call]


Command = Callable[..., Ended]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Return a function that runs a console script in a folder of its own."""

    def run(name: str, *words: Any, **options: Any) -> Ended:
        options.setdefault("stdout", subprocess.PIPE)
        env = {**os.environ, "COLUMNS": "200"}
        done = subprocess.run(
            [*words_of(name), *map(str, words)],
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            cwd=tmp_path,
            env=env,
            check=False,
            **options,
        )
        return Ended(done.returncode, done.stdout or "", done.stderr)

    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a small classifier of pictures 3 x 8 x 8 as a file."""
    rng = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    b = Builder("small")
    x = b.input("input", DType.FLOAT32, ("N", 3, 8, 8))
    y = b.relu(b.conv(x, weights(6, 3, 3, 3), weights(6), pads=[1, 1, 1, 1]))
    y = b.flatten(b.global_average_pool(y))
    b.output("output", b.gemm(y, weights(6, 4), weights(4)))
    write_onnx(b.graph(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return labelled pictures, and beside them how to preprocess them."""
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (20, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", x=pictures, y=rng.integers(0, 4, 20))
    text = '{"steps": [{"scale": 255}, {"layout": "chw"}]}'
    (tmp_path / "steps.json").write_text(text)
    return tmp_path / "data.npz"
