"""ONNX's own node cases, all of them: read, inferred, run, and compared with what ONNX says."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import pytest

onnx = pytest.importorskip(
    "onnx", "1.23", reason="needs onnx 1.23: later versions corrected cases of earlier ones"
)

from compress_export.onnx_read import read_onnx
from compress_export.tensors import tensor_to_array
from compress_tensor import compile  # noqa: A004
from compress_tensor.backend.reference.registry import REFERENCES
from compress_tensor.codec import decode, is_packed, wrap
from compress_tensor.dtype import DType
from compress_tensor.engine import split
from compress_tensor.graph.flow import FLOW
from compress_tensor.graph.graph import Array, Graph
from compress_tensor.graph.infer import infer
from compress_tensor.graph.interpret import interpret
from compress_tensor.graph.rules.registry import NeedsValue

Run = Callable[[Graph, dict[str, Array]], dict[str, Array]]

_SEQUENCE = "values that are sequences or optionals are not part of a Graph"
_TRAINING = "training optimizers are compress-autograd's, not operators of a network"
_ML = "the classical machine-learning domain is not read"
#: operators that are not supported, each with one reason; a case that uses one is not run
EXCLUDED = {
    "ImageDecoder": "decoding pictures is the data loader's work",
    "Optional": _SEQUENCE,
    "OptionalGetElement": _SEQUENCE,
    "OptionalHasElement": _SEQUENCE,
    "SequenceAt": _SEQUENCE,
    "SequenceConstruct": _SEQUENCE,
    "SequenceEmpty": _SEQUENCE,
    "SequenceInsert": _SEQUENCE,
    "SequenceLength": _SEQUENCE,
    "SequenceMap": _SEQUENCE,
    "SplitToSequence": _SEQUENCE,
    "ai.onnx.ml.ArrayFeatureExtractor": _ML,
    "ai.onnx.ml.Binarizer": _ML,
    "ai.onnx.ml.LabelEncoder": _ML,
    "ai.onnx.ml.TreeEnsemble": _ML,
    "ai.onnx.preview.FlexAttention": "an operator in preview: its functions expand, it is not read",
    "ai.onnx.preview.training.Adagrad": _TRAINING,
    "ai.onnx.preview.training.Adam": _TRAINING,
    "ai.onnx.preview.training.Momentum": _TRAINING,
}
#: operators that, in the form of one old opset, are refused by the reader
EXCLUDED_VERSIONS = {("Scan", 8): "Scan of opset 8 had a batch axis; the reader refuses it"}
#: operators whose numbers ONNX leaves open: only types and shapes are compared
RANDOM = frozenset({"Bernoulli", "RandomUniformLike"})


@cache
def cases() -> dict[str, Any]:
    """Return all node cases by name."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_model_tests(kind="node")}


def operators(proto: Any) -> Iterator[str]:
    """Yield the operators of a graph and of the graphs inside it."""
    for node in proto.node:
        yield f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from operators(attribute.g)


def why_excluded(name: str) -> str | None:
    """Return the reason why a case is not run, or None."""
    model = cases()[name].model
    opset = next((o.version for o in model.opset_import if not o.domain), 0)
    for op in operators(model.graph):
        reason = EXCLUDED.get(op) or EXCLUDED_VERSIONS.get((op, opset))
        if reason:
            return f"{op}: {reason}"
    if any(not value.type.HasField("tensor_type") for value in model.graph.input):
        return _SEQUENCE
    return None


def array_of(value: Any) -> Any:
    """Return test data in our dtypes."""
    if isinstance(value, onnx.TensorProto):
        return tensor_to_array(value)
    if isinstance(value, list):
        return [array_of(v) for v in value]
    array = np.asarray(value)
    name = array.dtype.name.replace("_", "").upper()
    for suffix in ("", "FN", "FNU"):
        dtype = DType.__members__.get(name.removesuffix(suffix))
        if dtype is not None and is_packed(dtype.numpy):
            if dtype.is_int:
                return wrap(array.astype(np.int8), dtype)
            return wrap(array.view(f"u{array.itemsize}"), dtype)
    return array.astype(object) if array.dtype.kind in "US" else array


def assert_same(expected: Any, got: Any, rtol: float, atol: float) -> None:
    """Compare as onnx.backend.test.runner does, but integers exactly."""
    assert expected.dtype == got.dtype
    assert expected.shape == got.shape
    if expected.dtype == object:
        assert [_text(s) for s in expected.reshape(-1)] == [_text(s) for s in got.reshape(-1)]
    elif expected.dtype.names or expected.dtype.kind in "fc":
        if expected.dtype == DType.BFLOAT16.numpy:
            rtol = max(rtol, 2**-6)  # two units in the last place, as ONNX's runner allows
        np.testing.assert_allclose(decode(got), decode(expected), rtol=rtol, atol=atol)
    else:
        np.testing.assert_array_equal(got, expected)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def check(name: str, run: Run, half: float = 0.0) -> None:
    """Run one case and compare with what ONNX says."""
    case = cases()[name]
    graph = read_onnx(case.model.SerializeToString())
    is_random = not RANDOM.isdisjoint(operators(case.model.graph))
    for given, wanted in case.data_sets:
        feeds = {v.name: array_of(a) for v, a in zip(graph.inputs, given, strict=False)}
        found = run(graph, feeds)
        for value, output in zip(graph.outputs, wanted, strict=True):
            expected, got = array_of(output), found[value.name]
            if is_random:
                assert (expected.dtype, expected.shape) == (got.dtype, got.shape)
            else:
                rtol = max(case.rtol, half) if expected.dtype == np.float16 else case.rtol
                assert_same(expected, got, rtol, case.atol)


def inferred(graph: Graph, feeds: dict[str, Array]) -> dict[str, Array]:
    """Interpret, and check that inference says what comes out: from shapes, then from values.

    Given values, every shape must be known but those that depend on computed data.
    """
    found = interpret(graph, feeds)
    shapes = {name: array.shape for name, array in feeds.items()}
    for values in (None, feeds):
        try:
            infos = infer(graph, shapes, values)
        except NeedsValue:
            assert values is None or any(array.size > 4096 for array in feeds.values())
            continue
        for name, array in found.items():
            assert infos[name].dtype is DType.of(array.dtype)
            assert infos[name].shape in (None, array.shape)
    return found


def compiled(graph: Graph, feeds: dict[str, Array]) -> dict[str, Array]:
    """Run in the engine."""
    return compile(graph, threads=2).run(feeds)


def compiled_with_parameters(graph: Graph, feeds: dict[str, Array]) -> dict[str, Array]:
    """Run in the engine with every input but the first as a constant, as weights are."""
    graph = graph.copy()
    names = [value.name for value in graph.inputs[1:] if feeds[value.name].dtype != object]
    graph.constants.update({name: feeds[name] for name in names})
    graph.inputs = [value for value in graph.inputs if value.name not in names]
    given = {value.name: feeds[value.name] for value in graph.inputs}
    return compile(graph, threads=1).run(given)


def compiled_in_parts(graph: Graph, feeds: dict[str, Array]) -> dict[str, Array]:
    """Run in the engine, row by row where no row has to do with another."""
    parts = mock.patch.object(split, "_parts", lambda rows, *_: [1] if rows > 1 else [])
    with parts, mock.patch.object(split, "_pays", return_value=True):
        return compiled_with_parameters(graph, feeds)


#: every way of running a graph, each held to all cases
RUNS: dict[str, Run] = {
    "interpreter": inferred,
    "engine": compiled,
    "engine, parameters constant": compiled_with_parameters,
    "engine, in parts": compiled_in_parts,
}
#: the engine computes float16 in float32 and rounds once, ONNX's expectation after each operator:
#: two units in the last place, as its runner allows bfloat16
HALF_ULPS = 2**-9


@pytest.mark.parametrize("name", sorted(cases()))
@pytest.mark.parametrize("run", RUNS)
def test_runs_agree_with_onnx(run: str, name: str) -> None:
    """Reading and running a node case gives what ONNX says."""
    reason = why_excluded(name)
    if reason:
        pytest.skip(reason)

    check(name, RUNS[run], 0.0 if run == "interpreter" else HALF_ULPS)


def test_exclusions_are_of_operators_that_are_not_there() -> None:
    """The table does not outlive its reasons."""
    assert {op for _, op in REFERENCES}.isdisjoint(EXCLUDED)
    assert FLOW.isdisjoint(EXCLUDED)
