"""Our engine against onnxruntime, value by value: the work of ``compress-export check``.

Two comparisons, both with onnxruntime's own graph optimisations off:

* the file as it is, its outputs only: proves that it was read rightly;
* the graph as read, every value of it: finds the first node that differs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import compress_tensor
from compress_tensor.codec import decode, is_packed
from compress_tensor.dtype import DType
from compress_tensor.errors import InputError, MissingExtraError, UnsupportedError
from compress_tensor.graph.graph import Array, Graph, Value
from compress_tensor.graph.support import require_operators

from .onnx_read import read_onnx
from .onnx_write import write_onnx
from .peer import session_options

#: largest difference of a float tensor that counts as equal, as a part of its largest value
TOLERANCE = 1e-4

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Difference:
    """How one value differs between the two engines.

    Attributes:
        value: its name.
        node: the label of the node that makes it.
        absolute: largest absolute difference.
        relative: the same, divided by the largest absolute value that onnxruntime has.
        rounding: relative difference that rounding alone explains in this type.
        problem: a difference of type, shape or NaN in words, or "".
    """

    value: str
    node: str
    op: str
    shape: tuple[int, ...]
    absolute: float
    relative: float
    rounding: float = 0.0
    problem: str = ""

    def exceeds(self, tolerance: float) -> bool:
        """Whether the two engines disagree here."""
        return bool(self.problem) or not self.relative <= max(tolerance, self.rounding)


@dataclass(frozen=True)
class Parity:
    """The result of a check.

    Attributes:
        outputs: the file as onnxruntime reads it, against ours.
        values: every value of the graph, in order; empty if onnxruntime cannot run it.
        first: the first value that exceeds the tolerance, or None.
        note: why there are no values, or "".
    """

    outputs: list[Difference]
    values: list[Difference]
    first: Difference | None
    tolerance: float
    note: str = ""

    @property
    def agrees(self) -> bool:
        """Whether nothing exceeds the tolerance."""
        return not any(d.exceeds(self.tolerance) for d in [*self.outputs, *self.values])


def check(
    path: str | os.PathLike[str],
    feeds: Mapping[str, Array] | None = None,
    *,
    seed: int = 0,
    shapes: Mapping[str, Sequence[int]] | None = None,
    threads: int = 1,
    tolerance: float = TOLERANCE,
    progress: Progress = lambda text: None,
) -> Parity:
    """Run a model in both engines and compare every value.

    Args:
        path: the ONNX file.
        feeds: the inputs; by default random ones.
        seed: of the random inputs.
        shapes: of random inputs, instead of 1 for every size the model leaves open.
        threads: of both engines.
        tolerance: relative difference that counts as equal.
        progress: told what happens next.

    Raises:
        MissingExtraError: if onnxruntime is not installed.
        InputError: if the inputs do not fit the model.
        UnsupportedError: if the engine lacks operators, or onnxruntime refuses the file.
    """
    _onnxruntime()
    graph = read_onnx(path)
    require_operators(graph)
    given = dict(feeds) if feeds is not None else random_feeds(graph, seed, shapes)
    final = [value.name for value in graph.outputs]
    progress("running our engine")
    names = list(dict.fromkeys([*_tensor_values(graph), *final]))
    session = compress_tensor.compile(graph, threads=threads)
    # The outputs come from a run without extra outputs: these keep nodes from being fused.
    ours = {**session.run(given, outputs=names), **session.run(given)}
    progress("running the file in onnxruntime")
    by_value = {out: node for node in graph.nodes for out in node.outputs}

    def differences(names: Sequence[str], theirs: Sequence[Any]) -> list[Difference]:
        found = []
        for name, array in zip(names, theirs, strict=True):
            node = by_value.get(name)
            label, op = (node.label, node.op) if node else ("input", "input")
            found.append(_compare(name, label, op, ours[name], array))
        return found

    outputs = differences(final, _run_peer(Path(path), given, final, threads))
    progress("running every node in onnxruntime")
    note, values = "", []
    try:
        with _every_value(graph, names) as (file, taken):
            values = differences(taken, _run_peer(file, given, taken, threads))
    except UnsupportedError as error:
        note = str(error)
    first = next((d for d in values if d.exceeds(tolerance)), None)
    first = first or next((d for d in outputs if d.exceeds(tolerance)), None)
    return Parity(outputs, values, first, tolerance, note)


def random_feeds(
    graph: Graph, seed: int, shapes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, Array]:
    """Return random inputs: normal floats, small integers.

    Raises:
        InputError: if the type or rank of an input is not stated.
    """
    rng = np.random.default_rng(seed)
    sizes = dict(shapes or {})
    return {value.name: _random(value, rng, sizes.get(value.name)) for value in graph.inputs}


def _random(value: Value, rng: np.random.Generator, shape: Sequence[int] | None) -> Array:
    if value.dtype is None or (value.shape is None and shape is None):
        raise InputError(
            f"the type or rank of input {value.name!r} is not stated; give it with --data"
        )
    if shape is None:
        shape = [d if isinstance(d, int) else 1 for d in value.shape or ()]
    held = value.dtype.numpy
    if value.dtype.is_float and not is_packed(held):
        return np.asarray(rng.standard_normal(shape)).astype(held)
    if value.dtype is DType.BOOL or (value.dtype.is_int and not is_packed(held)):
        return np.asarray(rng.integers(0, 2, shape)).astype(held)
    raise InputError(f"input {value.name!r} of type {value.dtype.label} must be given with --data")


def _tensor_values(graph: Graph) -> list[str]:
    return [out for node in graph.nodes for out in node.outputs if out]


def _compare(name: str, label: str, op: str, ours: Array, theirs: Any) -> Difference:
    held = ours.dtype
    if isinstance(theirs, np.ndarray) and is_packed(ours.dtype):
        ours = decode(ours)
    if not isinstance(theirs, np.ndarray):
        return Difference(
            name, label, op, ours.shape, 0.0, 0.0, problem="onnxruntime returns no tensor"
        )
    problem = ""
    if ours.shape != theirs.shape:
        problem = f"shape {list(ours.shape)}, onnxruntime has {list(theirs.shape)}"
    elif ours.dtype.kind in "OUS" or theirs.dtype.kind in "OUS":
        same = [str(a) for a in ours.reshape(-1)] == [str(a) for a in theirs.reshape(-1)]
        problem = "" if same else "the texts differ"
    elif ours.dtype != theirs.dtype:
        problem = f"type {ours.dtype}, onnxruntime has {theirs.dtype}"
    if problem or not ours.size or ours.dtype.kind in "OUS":
        return Difference(name, label, op, ours.shape, 0.0, 0.0, problem=problem)
    wide = np.complex128 if ours.dtype.kind == "c" else np.float64
    a, b = ours.astype(wide), theirs.astype(wide)
    if (np.isnan(a) != np.isnan(b)).any():
        problem = "NaN in one of them only"
        return Difference(name, label, op, ours.shape, np.inf, np.inf, problem=problem)
    usual = np.isfinite(a) & np.isfinite(b)
    odd = ~usual & ~np.isnan(a) & (a != b)
    if odd.any():
        problem = "infinite in one of them only"
        return Difference(name, label, op, ours.shape, np.inf, np.inf, problem=problem)
    absolute = float(np.abs(a - b, where=usual, out=np.zeros(a.shape)).max())
    largest = float(np.abs(b, where=usual, out=np.zeros(b.shape)).max())
    relative = absolute / largest if largest else (np.inf if absolute else 0.0)
    return Difference(name, label, op, ours.shape, absolute, relative, _rounding(DType.of(held)))


def _rounding(dtype: DType) -> float:
    """Return what a few roundings in a narrow type make; 0 for types as wide as float32."""
    # Eight halves of the last place: networks of some ten layers in float16 stay below it.
    return {DType.FLOAT16: 8 * 2.0**-11, DType.BFLOAT16: 8 * 2.0**-8}.get(dtype, 0.0)


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            "onnxruntime is not installed; run: pip install 'compress-export[onnxruntime]'"
        ) from error
    return onnxruntime


def _run_peer(
    path: Path, feeds: Mapping[str, Array], names: Sequence[str], threads: int
) -> list[Any]:
    """Run a file in onnxruntime, unoptimised, and return the values named."""
    ort = _onnxruntime()
    options = session_options(ort, threads)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        wanted = {value.name for value in session.get_inputs()}
        found: list[Any] = session.run(
            list(names), {name: array for name, array in feeds.items() if name in wanted}
        )
    except Exception as error:  # onnxruntime's exceptions share no base class
        text = " ".join(str(error).split())[:300]
        raise UnsupportedError(f"onnxruntime cannot run {path.name}: {text}") from error
    return found


@contextmanager
def _every_value(graph: Graph, names: Sequence[str]) -> Any:
    """Write the graph with all its values as outputs to a file that is removed afterwards."""
    wide = graph.copy()
    known = {value.name for value in graph.inputs} | set(graph.constants)
    taken = [name for name in names if name not in known]
    wide.outputs = [Value(name) for name in taken]
    with tempfile.TemporaryDirectory(prefix="compress_export_") as folder:
        path = Path(folder) / "every_value.onnx"
        write_onnx(wide, path)
        yield path, taken
