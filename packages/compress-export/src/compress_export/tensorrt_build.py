"""Building a TensorRT engine from an ONNX file: proof that TensorRT takes it.

TensorRT-RTX parses and builds without a GPU.  Networks are strongly typed and explicit
QuantizeLinear / DequantizeLinear nodes are the only int8.  Every build runs in a process of its
own: after a failed build the next engine of the same process would differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from compress_tensor.errors import FileError, MissingExtraError

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Build:
    """What came of a build.

    Attributes:
        errors: what the parser or the builder refused; empty if the engine was built.
        layers: number of layers that the parser made.
        engine_bytes: size of the serialized engine.
    """

    errors: tuple[str, ...]
    layers: int
    engine_bytes: int


def build_engine(path: str | os.PathLike[str], shapes: Shapes | None = None) -> Build:
    """Parse an ONNX file and build an engine from it, in a process of its own.

    Args:
        path: the file.
        shapes: dimensions of inputs with symbols; by default every symbol is 1.

    Raises:
        MissingExtraError: if no TensorRT is installed.
        FileError: if the process broke down.
    """
    if not Path(path).is_file():
        raise FileError(f"{path} does not exist")
    with tempfile.TemporaryDirectory(prefix="compress-trt-") as folder:
        answer = Path(folder) / "answer.json"
        request = json.dumps({"path": str(path), "shapes": shapes or {}, "answer": str(answer)})
        command = [sys.executable, "-m", __name__, request]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == _MISSING:
            raise MissingExtraError(
                "TensorRT is not installed; install compress-export[tensorrt] (tensorrt-rtx)"
            )
        if done.returncode or not answer.is_file():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise FileError(f"TensorRT broke down on {path}: {last}")
        found = json.loads(answer.read_text())
    return Build(tuple(found["errors"]), found["layers"], found["engine_bytes"])


_MISSING = 77


def _build(request: dict[str, object]) -> dict[str, object]:
    """Do the work, inside the process."""
    try:
        import tensorrt_rtx as trt
    except ImportError:
        try:
            import tensorrt as trt
        except ImportError:
            sys.exit(_MISSING)
    errors: list[str] = []

    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps what TensorRT calls an error."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: object, message: str) -> None:
            """Receive one message."""
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                errors.append(message)

    log = Log()
    builder = trt.Builder(log)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(request["path"])):
        errors += [str(parser.get_error(i)) for i in range(parser.num_errors)]
        return {"errors": errors or ["the parser refused it"], "layers": 0, "engine_bytes": 0}
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    given = request["shapes"]
    assert isinstance(given, dict)
    dynamic = False
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = given.get(tensor.name) or [1 if d < 0 else d for d in tensor.shape]
        if any(d < 0 for d in tensor.shape):
            dynamic = True
            profile.set_shape(tensor.name, shape, shape, shape)
    if dynamic:
        config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        return {
            "errors": errors or ["the builder refused it"],
            "layers": network.num_layers,
            "engine_bytes": 0,
        }
    return {"errors": [], "layers": network.num_layers, "engine_bytes": engine.nbytes}


def _main() -> None:
    request = json.loads(sys.argv[1])
    Path(request["answer"]).write_text(json.dumps(_build(request)))
    os._exit(0)  # TensorRT's own shutdown without a driver is not ours to wait for


if __name__ == "__main__":
    _main()
