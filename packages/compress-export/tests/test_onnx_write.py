"""Writing and reading back gives the same graph, always in the same bytes."""

from __future__ import annotations

import os
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from compress_export import read_onnx, write_onnx
from compress_export.onnx_write import to_bytes
from compress_tensor import DType, FileError, Graph, Node, UnsupportedError, Value

FIELDS = ("name", "doc", "metadata", "inputs", "outputs", "values")


def assert_same(expected: Graph, got: Graph) -> None:
    """Compare two graphs, arrays by type, shape and bytes."""
    for name in FIELDS:
        assert getattr(expected, name) == getattr(got, name), name
    assert list(expected.constants) == list(got.constants)
    for name, array in expected.constants.items():
        assert_same_value(array, got.constants[name], name)
    assert len(expected.nodes) == len(got.nodes)
    for a, b in zip(expected.nodes, got.nodes, strict=True):
        for name in ("op", "domain", "name", "inputs", "outputs", "metadata"):
            assert getattr(a, name) == getattr(b, name), (a.label, name)
        assert a.attributes.keys() == b.attributes.keys(), a.label
        for name, value in a.attributes.items():
            assert_same_value(value, b.attributes[name], f"{a.label} {name}")


def assert_same_value(expected: Any, got: Any, where: str) -> None:
    """Compare two attributes or constants."""
    if isinstance(expected, Graph):
        assert_same(expected, got)
    elif isinstance(expected, np.ndarray):
        assert (expected.dtype, expected.shape) == (got.dtype, got.shape), where
        if expected.dtype == object:
            assert expected.tolist() == got.tolist(), where
        else:
            assert expected.tobytes() == got.tobytes(), where
    else:
        np.testing.assert_equal(got, expected, where)


@cache
def backend_cases() -> dict[str, bytes]:
    """Return the models of ONNX's node cases that can be read, by name."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    return {case.name: case.model.SerializeToString() for case in cases}


def test_backend_cases_survive() -> None:
    """Every node case of ONNX is the same graph after writing and reading."""
    survived = 0
    for name, model in backend_cases().items():
        try:
            graph = read_onnx(model)
        except UnsupportedError:
            continue
        written = to_bytes(graph)
        try:
            assert_same(graph, read_onnx(written))
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
        assert written == to_bytes(read_onnx(written)), name
        survived += 1

    assert survived > 0.99 * len(backend_cases())


def models() -> list[Path]:
    """Return the real models."""
    root = os.environ.get("COMPRESS_DATA")
    return sorted(Path(root).glob("**/*.onnx")) if root else []


@pytest.mark.data
@pytest.mark.parametrize("path", models(), ids=lambda path: path.stem)
def test_real_models_survive(path: Path, tmp_path: Path) -> None:
    """Every real model is the same graph after writing and reading, in the same bytes."""
    graph = read_onnx(path)
    write_onnx(graph, tmp_path / "copy.onnx")
    again = read_onnx(tmp_path / "copy.onnx")

    assert_same(graph, again)
    assert (tmp_path / "copy.onnx").read_bytes() == to_bytes(again)


def small_graph() -> Graph:
    """Return a graph with a weight of 4 KB."""
    weight = np.arange(1024, dtype=np.float32).reshape(32, 32)
    return Graph(
        nodes=[
            Node("MatMul", ["x", "w"], ["h"], name="first", metadata={"scope": "encoder"}),
            Node("Add", ["h", "b"], ["y"]),
        ],
        inputs=[Value("x", DType.FLOAT32, ("N", None, 32))],
        outputs=[Value("y", DType.FLOAT32, ("N", None, 32))],
        constants={"w": weight, "b": np.ones(32, np.float32)},
        values={"h": Value("h", DType.FLOAT32, ("N", None, 32))},
        name="small",
        doc="a small network",
        metadata={"author": "nobody", "labels": "a,b"},
    )


def test_external_data(tmp_path: Path) -> None:
    """Above the threshold weights lie in a file beside the model."""
    graph = small_graph()
    write_onnx(graph, tmp_path / "m.onnx", threshold=1000)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    assert (tmp_path / "m.onnx.data").read_bytes() == graph.constants["w"].tobytes()
    assert_same(graph, read_onnx(tmp_path / "m.onnx"))


def test_external_data_never_or_always(tmp_path: Path) -> None:
    """External data can be asked for or refused."""
    write_onnx(small_graph(), tmp_path / "a.onnx", external_data="always")
    write_onnx(small_graph(), tmp_path / "b.onnx", external_data="never", threshold=0)

    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.onnx", "a.onnx.data", "b.onnx"]


def test_newer_operators_raise_the_opset(tmp_path: Path) -> None:
    """Opset 21 and IR 10, unless an operator or a type came later."""
    import onnx

    plain = onnx.ModelProto.FromString(to_bytes(small_graph()))
    graph = small_graph()
    graph.nodes[1] = Node("RMSNormalization", ["h", "b"], ["y"])
    newer = onnx.ModelProto.FromString(to_bytes(graph))

    assert (plain.opset_import[0].version, plain.ir_version) == (21, 10)
    assert (newer.opset_import[0].version, newer.ir_version) == (23, 11)


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    """A folder that does not exist gives one sentence; an existing file stays as it is."""
    with pytest.raises(FileError, match="create its folder first"):
        write_onnx(small_graph(), tmp_path / "no" / "m.onnx")
    target = tmp_path / "m.onnx"
    target.write_bytes(b"old")
    graph = small_graph()
    graph.nodes[0].attributes["bad"] = object()
    with pytest.raises(UnsupportedError, match="'bad'"):
        write_onnx(graph, target)

    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_every_type_survives(tmp_path: Path) -> None:
    """Arrays of every element type are the same after writing and reading."""
    constants = {}
    rng = np.random.default_rng(0)
    for dtype in DType:
        held = dtype.numpy
        if dtype is DType.STRING:
            array = np.array([["a", "ü"], ["", "d"], ["e", "f"], ["g", "h"], ["i", "j"]], object)
        else:
            raw = rng.integers(0, 2 if dtype is DType.BOOL else 1 << min(dtype.bits, 8), (5, 3))
            raw = raw.astype(np.uint8)
            if dtype in (DType.INT4, DType.INT2):
                half = 1 << (dtype.bits - 1)
                array = (raw.astype(np.int8) - half).astype(np.int8).view(held)
            else:
                array = np.repeat(raw, held.itemsize, axis=1).view(held)
        constants[dtype.label] = array
    graph = Graph(constants=constants, outputs=[Value("float32", DType.FLOAT32, (5, 3))])

    assert_same(graph, read_onnx(to_bytes(graph)))
