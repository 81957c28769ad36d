"""ONNX's own node cases, all of them, through reading and running."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from compress_export.tensors import tensor_to_array
from compress_tensor.codec import decode, is_packed, wrap
from compress_tensor.dtype import DType
from compress_tensor.graph.graph import Array, Graph, Node, Value
from compress_tensor.graph.interpret import interpret

Run = Callable[[Graph, dict[str, Array]], dict[str, Array]]

#: operators that are not supported, each with one reason; a case that uses one is not run
EXCLUDED: dict[str, str] = {}


def read(model: Any) -> Graph:
    return _graph(model.graph)


def _graph(proto):
    def value(v):
        t = v.type.tensor_type
        shape = None
        if v.type.HasField("tensor_type") and t.HasField("shape"):
            shape = tuple(
                d.dim_value if d.HasField("dim_value") else (d.dim_param or None)
                for d in t.shape.dim
            )
        return Value(v.name, DType(t.elem_type) if t.elem_type else None, shape)

    constants = {t.name: tensor_to_array(t) for t in proto.initializer}
    return Graph(
        nodes=[
            Node(
                n.op_type,
                list(n.input),
                list(n.output),
                {a.name: _attribute(a) for a in n.attribute},
                n.name,
                n.domain,
            )
            for n in proto.node
        ],
        inputs=[value(v) for v in proto.input if v.name not in constants],
        outputs=[value(v) for v in proto.output],
        constants=constants,
    )


def _attribute(a):
    v = onnx.helper.get_attribute_value(a)
    if isinstance(v, bytes):
        return v.decode()
    if isinstance(v, onnx.TensorProto):
        return tensor_to_array(v)
    if isinstance(v, onnx.GraphProto):
        return _graph(v)
    if a.type == onnx.AttributeProto.STRINGS:
        return [s.decode() for s in v]
    if a.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS):
        return list(v)
    return v


def array_of(value: Any) -> Any:
    """Return test data in our dtypes."""
    if isinstance(value, onnx.TensorProto):
        return tensor_to_array(value)
    if value is None:
        return None
    if isinstance(value, list):
        return [array_of(v) for v in value]
    array = np.asarray(value)
    name = array.dtype.name.replace("_", "").upper()
    for suffix in ("", "FN", "FNU"):
        dtype = DType.__members__.get(name.removesuffix(suffix))
        if dtype is not None and is_packed(dtype.numpy):
            if dtype.is_integer:
                return wrap(array.astype(np.int8), dtype)
            return wrap(array.view(f"u{array.itemsize}"), dtype)
    return array.astype(object) if array.dtype.kind in "US" else array


def same(expected: Any, got: Any, rtol: float, atol: float) -> None:
    """Compare as onnx.backend.test.runner does; integers exactly."""
    if isinstance(expected, list):
        assert len(expected) == len(got)
        for e, g in zip(expected, got, strict=True):
            same(e, g, rtol, atol)
        return
    assert expected.dtype == got.dtype, (expected.dtype, got.dtype)
    assert expected.shape == got.shape, (expected.shape, got.shape)
    if expected.dtype == object:
        assert [_text(s) for s in expected.reshape(-1)] == [_text(s) for s in got.reshape(-1)]
        return
    if expected.dtype == DType.BFLOAT16.numpy:
        rtol = max(rtol, 2**-6)
    if expected.dtype.names or expected.dtype.kind in "fc":
        np.testing.assert_allclose(decode(got), decode(expected), rtol=rtol, atol=atol)
    else:
        np.testing.assert_array_equal(got, expected)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def operators(proto: Any, functions: Sequence[str] = ()) -> Iterator[str]:
    """Yield the operators of a graph and of the graphs inside it."""
    for node in proto.node:
        yield f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from operators(attribute.g)


@cache
def cases() -> dict[str, Any]:
    """Return all node cases by name."""
    import warnings

    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_model_tests(kind="node")}


def why_excluded(case: Any) -> str | None:
    """Return the reason why a case is not run, or None."""
    for op in operators(case.model.graph):
        if op in EXCLUDED:
            return f"{op}: {EXCLUDED[op]}"
    return None


def check(case: Any, run: Run) -> None:
    """Run one case and compare with what ONNX says."""
    graph = read(case.model)
    for given, wanted in case.data_sets:
        feeds = {v.name: array_of(a) for v, a in zip(graph.inputs, given, strict=False)}
        got = run(graph, feeds)
        for value, expected in zip(graph.outputs, wanted, strict=True):
            same(array_of(expected), got[value.name], case.rtol, case.atol)


@pytest.mark.parametrize("name", sorted(cases()))
def test_interpreter_agrees_with_onnx(name: str) -> None:
    """Reading and interpreting a node case gives what ONNX says."""
    case = cases()[name]
    reason = why_excluded(case)
    if reason:
        pytest.skip(reason)

    check(case, interpret)
