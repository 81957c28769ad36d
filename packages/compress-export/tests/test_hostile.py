"""Files that lie: each ends in one sentence that names what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import AttributeProto, TensorProto, helper, numpy_helper

from compress_export import read_onnx, write_onnx
from compress_tensor import (
    CompressError,
    FileError,
    GraphError,
    UnsupportedError,
)

MIB = 1 << 20


def model(nodes: list[Any] | None = None, tensors: list[Any] | None = None, **more: Any) -> Any:
    """Return a model with the input ``x``, the output ``y``, and a Relu unless nodes are given."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])] if nodes is None else nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        tensors or [],
    )
    more.setdefault("opset_imports", [helper.make_opsetid("", 17)])
    return helper.make_model(graph, ir_version=8, **more)


def tensor(name: str = "w", dims: Any = (2,), raw: bytes = b"\0" * 8, kind: int = 1) -> Any:
    """Return a tensor that need not fit."""
    made = TensorProto(name=name, data_type=kind, raw_data=raw)
    made.dims.extend(dims)
    return made


def node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    return helper.make_node(op, inputs, outputs, **attributes)


def repeated() -> Any:
    return model(tensors=[tensor(), tensor()])


def function_that_calls(name: str) -> Any:
    body = [helper.make_node(name, ["a"], ["b"], domain="own")]
    imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
    return helper.make_function("own", "F", ["a"], ["b"], body, imports)


def calling(functions: list[Any]) -> Any:
    return model(
        [helper.make_node("F", ["x"], ["y"], domain="own")],
        functions=functions,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
    )


def doubling() -> Any:
    """Return functions that call the next one ten times each: 10 ** 12 nodes."""
    imports = [helper.make_opsetid("own", 1), helper.make_opsetid("", 17)]
    functions = []
    for level in range(12):
        inner = f"F{level + 1}" if level < 11 else "Relu"
        domain = "own" if level < 11 else ""
        names = ["a", *(f"t{i}" for i in range(9)), "b"]
        pairs = pairwise(names)
        body = [helper.make_node(inner, [p], [q], domain=domain) for p, q in pairs]
        name = f"F{level}" if level else "F"
        functions.append(helper.make_function("own", name, ["a"], ["b"], body, imports))
    return calling(functions)


def sparse(dims: list[int]) -> Any:
    made = model()
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = numpy_helper.from_array(np.zeros(1, np.int64))
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, dims))
    return made


def typed(field: str, value: Any) -> Any:
    made = model()
    dim = made.graph.input[0].type.tensor_type.shape.dim[0]
    setattr(dim, field, value)
    return made


HOSTILE: dict[str, tuple[Any, type[CompressError], str]] = {
    "cycle": (
        lambda: model([node("Relu", ["b"], ["a"]), node("Relu", ["a"], ["b"])]),
        GraphError,
        "cycle",
    ),
    "reads itself": (lambda: model([node("Relu", ["y"], ["y"])]), GraphError, "cycle"),
    "defined twice": (
        lambda: model([node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"])]),
        GraphError,
        "'y' is defined twice",
    ),
    "defines an input": (
        lambda: model([node("Relu", ["x"], ["x"]), node("Abs", ["x"], ["y"])]),
        GraphError,
        "'x'",
    ),
    "initializers of one name": (repeated, GraphError, "'w' is defined twice"),
    "nothing makes it": (lambda: model([node("Add", ["x", "w"], ["y"])]), GraphError, "'w'"),
    "output not made": (lambda: model([node("Relu", ["x"], ["z"])]), GraphError, "'y'"),
    "no outputs": (lambda: model([node("Relu", ["x"], [])]), GraphError, "no outputs"),
    "absurd size": (
        lambda: model(tensors=[tensor(dims=(1 << 40,))]),
        FileError,
        "needs 4398046511104 bytes but has 8",
    ),
    "overflowing product": (
        lambda: model(tensors=[tensor(dims=(1 << 32, 1 << 32, 1 << 32))]),
        FileError,
        "needs",
    ),
    "empty but absurd": (
        lambda: model(tensors=[tensor(dims=(0, 1 << 62, 1 << 62), raw=b"")]),
        FileError,
        "shape",
    ),
    "negative size": (
        lambda: model(tensors=[tensor(dims=(-2,))]),
        FileError,
        "negative size",
    ),
    "negative input": (lambda: typed("dim_value", -5), GraphError, "negative size -5"),
    "many dimensions": (
        lambda: model(tensors=[tensor(dims=(1,) * 65, raw=b"\0" * 4)]),
        UnsupportedError,
        "65 dimensions",
    ),
    "too little data": (lambda: model(tensors=[tensor(raw=b"\0" * 7)]), FileError, "has 7"),
    "unknown type": (
        lambda: model(tensors=[tensor(kind=77)]),
        UnsupportedError,
        "element type number 77",
    ),
    "value out of range": (
        lambda: model(tensors=[TensorProto(name="w", data_type=3, dims=[1], int32_data=[300])]),
        FileError,
        "int8 cannot hold",
    ),
    "sparse bomb": (lambda: sparse([1 << 20, 1 << 20]), FileError, "made dense"),
    "sparse index": (lambda: sparse([0]), FileError, "outside"),
    "segments": (
        lambda: model(tensors=[TensorProto(name="w", data_type=1, segment={"begin": 0})]),
        UnsupportedError,
        "segments",
    ),
    "function calls itself": (
        lambda: calling([function_that_calls("F")]),
        GraphError,
        "calls itself",
    ),
    "functions explode": (doubling, UnsupportedError, "expand to more"),
    "function twice": (
        lambda: calling([function_that_calls("F"), function_that_calls("F")]),
        GraphError,
        "defined twice",
    ),
    "future opset": (
        lambda: model(opset_imports=[helper.make_opsetid("", 999)]),
        UnsupportedError,
        "opset 999",
    ),
    "no opset": (lambda: model(opset_imports=[]), GraphError, "does not import"),
    "negative opset": (
        lambda: model(opset_imports=[helper.make_opsetid("", -1)]),
        FileError,
        "operator set -1",
    ),
    "unknown domain": (
        lambda: model([helper.make_node("Relu", ["x"], ["y"], domain="else")]),
        GraphError,
        "'else'",
    ),
    "attribute twice": (
        lambda: model(
            [onnx.NodeProto(op_type="Relu", input=["x"], output=["y"], attribute=[
                helper.make_attribute("a", 1), helper.make_attribute("a", 2)])]
        ),
        GraphError,
        "'a' twice",
    ),
    "reference outside a function": (
        lambda: model(
            [onnx.NodeProto(op_type="Relu", input=["x"], output=["y"], attribute=[
                onnx.AttributeProto(name="a", ref_attr_name="b", type=2)])]
        ),
        GraphError,
        "in no function",
    ),
    "constant of nothing": (
        lambda: model([node("Constant", [], ["y"])]),
        GraphError,
        "exactly one value",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_lies_are_named(name: str) -> None:
    """Each lie is refused with the right error and a sentence that names it."""
    make, kind, words = HOSTILE[name]
    with pytest.raises(kind) as caught:
        read_onnx(make().SerializeToString())

    assert words in str(caught.value)
    assert str(caught.value).startswith("the model: ")


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"not a model", b"\xff" * 100, b"PK\3\4" + b"\0" * 60]
)
def test_other_files_are_refused(data: bytes) -> None:
    """Bytes that are no model are refused."""
    with pytest.raises(FileError, match="not an ONNX model"):
        read_onnx(data)


def test_truncated_files_are_refused_at_every_length() -> None:
    """A model cut anywhere is refused or, rarely, still a model."""
    data = model(tensors=[tensor()]).SerializeToString()
    for length in range(len(data)):
        with pytest.raises(CompressError):
            read_onnx(data[:length])


def test_deep_nesting_is_refused() -> None:
    """A thousand graphs, each in a node of the next, are refused by the parser."""

    def field(number: int, data: bytes) -> bytes:
        size, length = bytearray(), len(data)
        while length > 127:
            size.append(length & 127 | 128)
            length >>= 7
        return bytes([number << 3 | 2]) + bytes([*size, length]) + data

    graph = b""
    for _ in range(1000):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
        graph = field(1, field(5, field(6, graph)))
    with pytest.raises(FileError, match="damaged"):
        read_onnx(field(7, graph))


@pytest.mark.parametrize("field", ["op", "in", "out", "attr", "tensor", "sparse", "meta", "inner"])
def test_text_that_is_not_utf8_is_refused(field: str) -> None:
    """A name that is not UTF-8 is refused, wherever it is."""
    proto = model([node("If", ["x"], ["text"])] if field == "out" else None)
    last = proto.graph.node[-1]
    if field == "in":
        last.input[0] = "text"
    elif field == "op":
        last.op_type = "text"
    elif field == "attr":
        last.attribute.add(name="text", type=AttributeProto.INT)
    elif field == "tensor":
        proto.graph.initializer.add(name="text", data_type=1, dims=[0])
    elif field == "sparse":
        values = proto.graph.sparse_initializer.add().values
        values.name = "text"
    elif field == "meta":
        last.metadata_props.add(key="k", value="text")
    elif field == "inner":
        inner = last.attribute.add(name="body", type=AttributeProto.GRAPH).g
        inner.node.add(op_type="Abs", input=["x"], output=["text"])
    data = proto.SerializeToString()
    assert b"text" in data
    with pytest.raises(FileError, match="not UTF-8"):
        read_onnx(data.replace(b"text", b"\xff\xfe\xfdt"))


def test_unsorted_nodes_are_sorted() -> None:
    """Nodes in the wrong order are put in order; others keep theirs."""
    graph = read_onnx(
        model([node("Abs", ["a"], ["y"]), node("Relu", ["x"], ["a"])]).SerializeToString()
    )

    assert [n.op for n in graph.nodes] == ["Relu", "Abs"]


# External data


def external(folder: Path, **entries: str) -> Path:
    """Return a model beside ``weights.bin`` (16 bytes) whose weight lies where entries say."""
    (folder / "weights.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    made = TensorProto(name="w", data_type=1, data_location=TensorProto.EXTERNAL)
    made.dims.append(2)
    for key, value in entries.items():
        made.external_data.add(key=key, value=value)
    path = folder / "m.onnx"
    path.write_bytes(model(tensors=[made]).SerializeToString())
    return path


def test_external_data_is_read(tmp_path: Path) -> None:
    """A range of a file beside the model is read."""
    graph = read_onnx(external(tmp_path, location="weights.bin", offset="4", length="8"))

    assert graph.constants["w"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("/etc/hostname", "own folder"),
        ("../secret.bin", "own folder"),
        ("a/../../secret.bin", "own folder"),
        ("..\\secret.bin", "own folder"),
        ("C:\\secret.bin", "own folder"),
        ("", "own folder"),
        ("absent.bin", "not beside the model"),
        (".", "not a regular file"),
        ("link.bin", "leads out"),
        ("folder/secret.bin", "leads out"),
        ("loop.bin", "not beside"),
        ("pipe", "not a regular file"),
    ],
)
def test_external_data_elsewhere_is_refused(tmp_path: Path, location: str, words: str) -> None:
    """No path, link or special file leads out of the model's folder."""
    (tmp_path / "secret.bin").write_bytes(b"\0" * 64)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "loop.bin").symlink_to("loop.bin")
    os.mkfifo(folder / "pipe")
    with pytest.raises(FileError, match=words):
        read_onnx(external(folder, location=location, length="8"))


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "12"},
        {"offset": str(1 << 62)},
        {"offset": "-4"},
        {"offset": "0x10"},
        {"offset": "9" * 400},
        {"length": "4"},
        {"length": str(1 << 40)},
    ],
    ids=str,
)
def test_external_ranges_are_checked(tmp_path: Path, entries: dict[str, str]) -> None:
    """Offsets and lengths must lie in the file and fit the tensor."""
    with pytest.raises(FileError, match="'w'"):
        read_onnx(external(tmp_path, location="weights.bin", **entries))


def test_external_data_needs_a_path(tmp_path: Path) -> None:
    """A model given as bytes has no folder to look in."""
    with pytest.raises(FileError, match="give read_onnx the model's path"):
        read_onnx(external(tmp_path, location="weights.bin").read_bytes())


@pytest.mark.parametrize("name", ["absent.onnx", ".", "nul\0byte"])
def test_paths_that_are_no_file(tmp_path: Path, name: str) -> None:
    """A path that is no file is one sentence."""
    with pytest.raises(FileError):
        read_onnx(tmp_path / name)


@pytest.mark.skipif("COMPRESS_SANITIZED" in os.environ, reason="sanitizers need address space")
def test_lies_take_little_memory(tmp_path: Path) -> None:
    """Tensors that claim terabytes are refused within 400 MiB of address space more than idle."""
    for number, name in enumerate(HOSTILE):
        (tmp_path / f"{number}.onnx").write_bytes(HOSTILE[name][0]().SerializeToString())
    script = f"""
import resource, sys
from compress_export import read_onnx
from compress_tensor import CompressError
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 400 * {MIB}
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sys.argv[1:]:
    try:
        read_onnx(path)
    except CompressError:
        pass
    else:
        raise SystemExit(f"{{path}} was read")
"""
    paths = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run([sys.executable, "-c", script, *paths], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    """A disk that is full leaves nothing behind."""
    graph = read_onnx(model(tensors=[tensor(dims=(MIB,), raw=b"\0" * 4 * MIB)]).SerializeToString())
    script = f"""
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({MIB}, {MIB}))
from compress_export.cli import main
sys.argv = ["compress-export", "convert", sys.argv[1], sys.argv[2]]
main()
"""
    write_onnx(graph, tmp_path / "big.onnx")
    target = tmp_path / "out" / "copy.onnx"
    target.parent.mkdir()
    command = [sys.executable, "-c", script, str(tmp_path / "big.onnx"), str(target)]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {target} cannot be written: ")
    assert done.stderr.count("\n") == 1
    assert list(target.parent.iterdir()) == []
