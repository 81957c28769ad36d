"""What is read past protobuf, put back, is what protobuf reads; or the file is left whole."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper
from test_fuzz import flip_bits, seeds, splice, truncate

from compress_export import onnx_read, read_onnx
from compress_export.wire import MOST_FIELDS, Unusual, Wire
from compress_tensor import CompressError

CASES = 3000


def whole(data: bytes) -> bytes | None:
    """Return the model as protobuf reads it, None if it does not."""
    try:
        return bytes(onnx.ModelProto.FromString(data).SerializeToString(deterministic=True))
    except DecodeError:
        return None


def put_back(data: bytes, large: int) -> tuple[bytes | None, int]:
    """Return the same of what the walk left, its contents put back, and how many there were."""
    wire = Wire(lambda start, size: data[start : start + size], len(data), large)
    try:
        model = onnx.ModelProto.FromString(wire.rest)
    except DecodeError:
        return None, len(wire.places)
    for number, (start, end) in wire.places.items():
        tensor = model.graph.initializer[number]
        assert not tensor.HasField("raw_data")
        tensor.raw_data = data[start:end]
    return bytes(model.SerializeToString(deterministic=True)), len(wire.places)


def test_every_seed_is_read_alike() -> None:
    taken = 0
    for data in seeds():
        for large in (0, 1, 16, 1 << 14):
            found, count = put_back(data, large)
            assert found == whole(data)
            taken += count
    assert taken > 100


def test_mutated_files_are_read_alike_or_left() -> None:
    rng = random.Random(20261129)
    files, left, taken = seeds(), 0, 0
    for case in range(CASES):
        data = rng.choice(files)
        for _ in range(rng.randint(1, 3)):
            data = rng.choice([flip_bits, truncate, splice])(data, rng) or b"\0"
        try:
            found, count = put_back(data, rng.choice([0, 4, 16]))
        except Unusual:
            left += 1
            continue
        assert found == whole(data), case
        taken += count
    assert CASES / 20 < left < CASES * 0.95
    assert taken > 500


def large_model() -> onnx.ModelProto:
    weights = np.arange(600_000, dtype=np.float32).reshape(600, 1000)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 600])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1000])],
        [numpy_helper.from_array(np.ones(3, np.float32), "small")],
    )
    graph.initializer.append(numpy_helper.from_array(weights, "w"))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_large_file_makes_the_graph_that_its_bytes_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = large_model().SerializeToString()
    path = tmp_path / "large.onnx"
    path.write_bytes(data)
    parsed: list[int] = []
    parse = onnx.ModelProto.FromString

    def counted(rest: bytes) -> onnx.ModelProto:
        parsed.append(len(rest))
        return parse(rest)

    monkeypatch.setattr(onnx_read.pb, "ModelProto", type("M", (), {"FromString": counted}))
    graph, same = read_onnx(path), read_onnx(data)
    assert parsed[0] < 1000 < parsed[1]
    for name, array in same.constants.items():
        np.testing.assert_array_equal(graph.constants[name], array)
        assert not graph.constants[name].flags.writeable


def test_very_many_fields_are_left_to_protobuf() -> None:
    data = bytes([7 << 3 | 2, 0]) * (MOST_FIELDS + 1)
    with pytest.raises(Unusual, match="fields"):
        Wire(lambda start, size: data[start : start + size], len(data))


@pytest.mark.parametrize("change", ["short", "long", "twice", "cut"])
def test_a_large_file_that_lies_is_refused(change: str, tmp_path: Path) -> None:
    model = large_model()
    (tensor,) = (t for t in model.graph.initializer if t.name == "w")
    if change == "short":
        tensor.raw_data = tensor.raw_data[:-4]
    elif change == "long":
        tensor.dims[0] = 599
    elif change == "twice":
        model.graph.initializer.append(tensor)
    data = model.SerializeToString()
    path = tmp_path / "lies.onnx"
    path.write_bytes(data[:-700_000] if change == "cut" else data)
    with pytest.raises(CompressError, match=r"lies\.onnx"):
        read_onnx(path)
