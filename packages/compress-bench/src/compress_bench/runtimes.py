"""What runs a model: our engine, onnxruntime or OpenVINO, behind one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import compress_tensor
from compress_export import read_onnx
from compress_export.peer import session_options
from compress_tensor import DType, FileError, MissingExtraError, UnsupportedError, Value

from .kinds import Kind

Array = np.ndarray[Any, np.dtype[Any]]


class Runtime(str, Enum):
    """The engines that can be compared."""

    OURS = "ours"
    ONNXRUNTIME = "onnxruntime"
    OPENVINO = "openvino"


#: what is always installed where tables are made; OpenVINO only where it was asked for
ALWAYS = (Runtime.OURS, Runtime.ONNXRUNTIME)

#: what each runtime is told besides the number of threads
CONFIGURATION = {
    Runtime.OURS: "as it is",
    Runtime.ONNXRUNTIME: "all optimisations, one inter-op thread, free dimensions fixed, "
    "threads spin during a run only, int8 sums that do not saturate (session.x64quantprecision)",
    Runtime.OPENVINO: "latency hint, one stream, static shapes, inputs shared, "
    "precision f32 (bf16 where that is measured), no pinning; without VNNI its int8 sums saturate",
}


class Runner(Protocol):
    """A loaded model."""

    @property
    def inputs(self) -> list[Value]:
        """What it is given."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs."""


class Loaded(Runner, Protocol):
    """One that can also write its outputs to the same memory in every run."""

    def bound(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Return a call that computes all outputs of these inputs into the same memory.

        It returns them as the runtime holds them, in the graph's order.
        """


class Ours:
    """A model in our engine."""

    def __init__(self, path: Path, threads: int, kind: Kind = Kind.FP32) -> None:
        self.session = compress_tensor.compile(read_onnx(path), threads=threads, **kind.options)
        self.inputs = self.session.inputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs."""
        return self.session.run(feeds)

    def bound(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Return a call that computes all outputs into the same memory every time."""
        return self.session.bind(feeds).run


class OnnxRuntime:
    """A model in onnxruntime, as it is installed: all optimisations, CPU."""

    def __init__(self, path: Path, threads: int, sizes: Mapping[str, int] | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError(
                "onnxruntime is not installed; install compress-bench[peers]"
            ) from error
        options = session_options(onnxruntime, threads)
        options.inter_op_num_threads = 1
        # Its threads spin for work during a run, as they do by default, but not after it: they
        # would take a core from whatever is measured next in this process.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        for symbol, size in (sizes or {}).items():
            options.add_free_dimension_override_by_name(symbol, size)
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

    def bound(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Return a call that computes all outputs into the same memory every time."""
        import onnxruntime

        binding = self.session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        places = {
            n: onnxruntime.OrtValue.ortvalue_from_numpy(a) for n, a in self.run(feeds).items()
        }
        for name, place in places.items():
            binding.bind_ortvalue_output(name, place)
        return lambda: self.session.run_with_iobinding(binding) or places


class OpenVino:
    """A model in OpenVINO's CPU plugin, for latency."""

    def __init__(
        self,
        path: Path,
        threads: int,
        shapes: Mapping[str, Sequence[int]] | None = None,
        *,
        bf16: bool = False,
    ) -> None:
        try:
            import openvino
        except ImportError as error:
            raise MissingExtraError(
                "openvino is not installed; install compress-bench[rivals]"
            ) from error
        core = openvino.Core()
        if bf16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UnsupportedError("OpenVINO has no bfloat16 on this processor")
        try:
            model = core.read_model(str(path))
            if shapes:
                model.reshape({name: list(shape) for name, shape in shapes.items()})
            compiled = core.compile_model(
                model,
                "CPU",
                {
                    "PERFORMANCE_HINT": "LATENCY",
                    "NUM_STREAMS": 1,
                    "INFERENCE_NUM_THREADS": threads,
                    "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except RuntimeError as error:
            raise FileError(f"OpenVINO cannot load {path}: {error}") from error
        self.inputs = [
            Value(
                port.get_any_name(),
                _type_of(port.get_element_type()),
                tuple(d.get_length() if d.is_static else None for d in port.get_partial_shape()),
            )
            for port in compiled.inputs
        ]
        self._names = [sorted(port.get_names()) for port in compiled.outputs]
        self._request = compiled.create_infer_request()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Compute all outputs, each under every name that it has here."""
        given = {name: _tensor(array) for name, array in feeds.items()}
        found = self._request.infer(given, share_inputs=True)
        return {name: found[i] for i, names in enumerate(self._names) for name in names}

    def bound(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Return a call that computes all outputs into the same memory every time."""
        self.run(feeds)  # its request keeps the inputs, and has memory for the outputs
        return lambda: self._request.infer(share_outputs=True)


def _type_of(named: Any) -> DType:
    """Return OpenVINO's name for a type of elements as ours."""
    return DType.BFLOAT16 if named.to_string() == "bf16" else DType.of(named.to_dtype())


def _tensor(array: Array) -> Any:
    """Return an array as OpenVINO takes it: bfloat16, which numpy does not know, as a tensor."""
    if array.dtype != DType.BFLOAT16.numpy:
        return array
    import openvino

    return openvino.Tensor(array.view(np.uint16), list(array.shape), openvino.Type.bf16)


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


def load(
    path: Path,
    runtime: Runtime,
    threads: int,
    *,
    feeds: Mapping[str, Array] | None = None,
    kind: Kind = Kind.FP32,
    sizes: Mapping[str, int] | None = None,
) -> Loaded:
    """Return the model ready to run.

    Args:
        path: an ONNX file.
        runtime: what runs it.
        threads: how many a run may use.
        feeds: the only inputs that it will see: a runtime may then settle on their shapes.
        kind: in what it computes; int8 is the file's own affair.
        sizes: `sizes_of` the file's inputs and the feeds, if the file must not be read for them.

    Raises:
        FileError: if it cannot be loaded.
        MissingExtraError: if that runtime is not installed.
        UnsupportedError: if it cannot compute in bfloat16.
    """
    if runtime is Runtime.OURS:
        return Ours(path, threads, kind)
    if runtime is Runtime.OPENVINO:
        shapes = None if feeds is None else {name: a.shape for name, a in feeds.items()}
        return OpenVino(path, threads, shapes, bf16=kind is Kind.BF16)
    if kind is Kind.BF16:
        raise UnsupportedError("onnxruntime has no bfloat16 products on x86")
    if sizes is None and feeds is not None:
        sizes = sizes_of(read_onnx(path).inputs, feeds)
    return OnnxRuntime(path, threads, sizes)


def sizes_of(inputs: Sequence[Value], feeds: Mapping[str, Array]) -> dict[str, int]:
    """Return what the feeds make of each symbol in the shapes of the inputs."""
    return {
        dim: size
        for value in inputs
        for dim, size in zip(value.shape or (), feeds[value.name].shape, strict=False)
        if isinstance(dim, str)
    }
