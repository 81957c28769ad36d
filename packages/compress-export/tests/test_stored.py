"""Large constants stay in their file: who reads them, when, and what happens to that file."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import compress_tensor
from compress_export import read_onnx, write_onnx
from compress_tensor import FileError, Graph, InputError, Node, Value
from compress_tensor.dtype import DType
from compress_tensor.graph.passes import remove_dead
from compress_tensor.graph.stored import SMALL, Array, Constants, Place, Stored, chosen, unread
from compress_tensor.processors import physical_bytes

WIDTH, LAYERS = 300, 5
FEEDS = {"x": np.linspace(-1, 1, 2 * WIDTH, dtype=np.float32).reshape(2, WIDTH)}


def layers(width: int = WIDTH, count: int = LAYERS, seed: int = 0) -> Graph:
    """Return a chain of products, its weights together larger than a megabyte."""
    rng = np.random.default_rng(seed)
    graph = Graph(inputs=[Value("x", DType.FLOAT32, ("n", width))])
    last = "x"
    for n in range(count):
        graph.constants[f"w{n}"] = rng.standard_normal((width, width), np.float32) / width**0.5
        graph.constants[f"b{n}"] = rng.standard_normal(width, np.float32)
        graph.nodes += [
            Node("MatMul", [last, f"w{n}"], [f"p{n}"]),
            Node("Add", [f"p{n}", f"b{n}"], [f"s{n}"]),
            Node("Relu", [f"s{n}"], [f"y{n}"]),
        ]
        last = f"y{n}"
    graph.outputs = [Value(last)]
    return graph


@pytest.fixture(params=["never", "always"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the file of `layers`, with its weights inside or beside it."""
    path = tmp_path / "layers.onnx"
    write_onnx(layers(), path, external_data=request.param)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of what is read from now on, of large constants."""
    found: list[int] = []
    read = Place.read

    def counted(self: Place) -> Array:
        if self.size > SMALL:
            found.append(self.size)
        return read(self)

    monkeypatch.setattr(Place, "read", counted)
    return found


def large(graph: Graph) -> list[str]:
    """Return the constants that stay in the file."""
    return [n for n, entry in unread(graph.constants).items() if isinstance(entry, Stored)]


def test_only_large_constants_stay_and_all_are_what_was_written(file: Path) -> None:
    graph, written = read_onnx(file), layers()
    assert large(graph) == [f"w{n}" for n in range(LAYERS)]
    assert list(graph.constants) == list(written.constants)
    for name, array in graph.constants.items():
        np.testing.assert_array_equal(array, written.constants[name])
        assert not array.flags.writeable
        assert array is graph.constants[name]  # as long as somebody has it


def test_a_file_that_came_as_bytes_has_none(tmp_path: Path) -> None:
    path = tmp_path / "layers.onnx"
    write_onnx(layers(), path)
    assert large(read_onnx(path.read_bytes())) == []


def test_a_session_reads_each_once_for_all_shapes(file: Path, reads: list[int]) -> None:
    session = compress_tensor.compile(read_onnx(file), threads=1)
    assert reads == []
    wanted = compress_tensor.compile(layers(), threads=1).run(FEEDS)["y4"]
    assert session.run(FEEDS)["y4"].tobytes() == wanted.tobytes()
    one = {"x": FEEDS["x"][:1]}
    assert session.run(one)["y4"].tobytes() == wanted[:1].tobytes()
    again = compress_tensor.compile(session.graph, threads=1, share=session)
    assert again.run(FEEDS)["y4"].tobytes() == wanted.tobytes()
    assert len(reads) == LAYERS


def test_a_session_of_other_weights_is_not_shared(file: Path) -> None:
    graph = read_onnx(file)
    session = compress_tensor.compile(graph, threads=1)
    graph.constants["w0"] = graph.constants["w0"] * np.float32(2)
    with pytest.raises(InputError, match="the graph was changed"):
        compress_tensor.compile(graph, threads=1, share=session)


def test_passes_copies_and_writers_leave_them_in_the_file(
    file: Path, tmp_path: Path, reads: list[int]
) -> None:
    graph = read_onnx(file).copy()
    assert large(remove_dead(graph)) == large(graph)
    graph.outputs = [Value("y1")]
    assert large(remove_dead(graph)) == ["w0", "w1"]
    assert large(Graph(constants=chosen(graph.constants, {"w3", "b3"}))) == ["w3"]
    assert reads == []
    write_onnx(graph, tmp_path / "again.onnx", external_data="always")
    assert len(reads) == LAYERS
    again = read_onnx(tmp_path / "again.onnx")
    assert again.constants["w4"].tobytes() == layers().constants["w4"].tobytes()


def test_whatever_takes_the_dict_apart_gets_arrays(file: Path) -> None:
    held, wanted = read_onnx(file).constants, layers().constants
    assert isinstance(held, Constants)
    updated: dict[str, Array] = {}
    updated.update(held)
    copies = [
        *(dict(held), {**held}, updated, {} | held, held | {}, dict(held.items())),
        *(dict(zip(held, held.values(), strict=True)), copy.deepcopy(held)),
        *(pickle.loads(pickle.dumps(held)), {n: held.get(n) for n in held}),
        {n: held.setdefault(n, np.zeros(1)) for n in held},
    ]
    popped = held.copy()
    copies += [{n: popped.pop(n) for n in list(popped)}, {**held.copy()}]
    assert (len(popped), popped.pop("w0", None), popped.get("w0")) == (0, None, None)
    rest = held.copy()
    copies.append(dict(rest.popitem() for _ in range(len(held))))
    for each in copies:
        assert each.keys() == wanted.keys()
        for name, array in each.items():
            assert type(array) is np.ndarray
            np.testing.assert_array_equal(array, wanted[name])
    assert len(large(Graph(constants=held))) == LAYERS


def holder(path: Path) -> Path:
    """Return the file that holds the weights."""
    beside = path.with_name(f"{path.name}.data")
    return beside if beside.exists() else path


def test_a_file_may_be_moved_deleted_and_replaced(file: Path) -> None:
    graph, wanted = read_onnx(file), layers().constants
    write_onnx(layers(seed=1), file)  # takes the name of the old file
    assert graph.constants["w2"].tobytes() == wanted["w2"].tobytes()
    holder(file).unlink()
    assert graph.constants["w3"].tobytes() == wanted["w3"].tobytes()


@pytest.mark.parametrize("change", ["cut", "longer", "over"])
def test_a_file_that_is_written_over_is_refused(change: str, file: Path) -> None:
    graph = read_onnx(file)
    session = compress_tensor.compile(graph, threads=1)
    kept = graph.constants["w1"]
    place = holder(file)
    if change == "cut":
        os.truncate(place, 100_000)
    elif change == "longer":
        with place.open("ab") as more:
            more.write(b"x")
    else:
        data = place.read_bytes()
        place.write_bytes(data[::-1])
        os.utime(place, ns=(1, 1))
    with pytest.raises(FileError, match=r"was changed while a graph of it was in use; read"):
        session.run(FEEDS)
    with pytest.raises(FileError, match=r"layers\.onnx"):
        graph.constants["w0"]
    assert graph.constants["w1"] is kept


def test_a_file_that_ends_early_is_refused(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    graph = read_onnx(file)
    monkeypatch.setattr(os, "preadv", lambda *_: 0)
    with pytest.raises(FileError, match="was changed"):
        graph.constants["w0"]

    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(FileError, match="cannot be read any more: Input/output error"):
        graph.constants["w0"]


def test_a_tensor_beyond_the_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A sparse file costs its author nothing."""
    rows = physical_bytes() >> 19
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[rows, 1 << 18])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "w.bin"), ("length", str(rows << 20))):
        tensor.external_data.add(key=key, value=value)
    output = onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, None)
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [output], [tensor]))
    path = tmp_path / "huge.onnx"
    path.write_bytes(model.SerializeToString())
    with (tmp_path / "w.bin").open("wb") as data:
        data.truncate(rows << 20)
    graph = read_onnx(path)
    assert unread(graph.constants)["w"].shape == (rows, 1 << 18)
    with pytest.raises(FileError, match=r"w\.bin: one of its tensors has \d+ bytes, more memory"):
        graph.constants["w"]

    def none_left(*_: object) -> None:
        raise MemoryError

    write_onnx(layers(), path)
    small = read_onnx(path)
    monkeypatch.setattr(np, "empty", none_left)
    with pytest.raises(FileError, match="more memory than there is"):
        small.constants["w0"]


def test_reads_in_pieces_are_put_together(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    graph, whole = read_onnx(file), os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, into, at: whole(fd, [into[0][:70_001]], at))
    assert graph.constants["w0"].tobytes() == layers().constants["w0"].tobytes()


def test_the_file_is_closed_with_its_last_graph(file: Path) -> None:
    def opened() -> int:
        return sum(
            os.path.realpath(f).startswith(str(file)) for f in Path("/proc/self/fd").iterdir()
        )

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not list open files")
    graph = read_onnx(file)
    assert opened() == 1
    other = graph.copy()
    del graph
    assert opened() == 1
    del other
    assert opened() == 0


def test_half_precision_and_integers_stay_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    codes = rng.integers(-128, 128, 5 * SMALL)
    given = {
        dtype: codes.astype(np.uint16).view(dtype.numpy)
        if dtype is DType.BFLOAT16
        else codes.astype(dtype.numpy)
        for dtype in (DType.INT8, DType.INT64, DType.FLOAT16, DType.BFLOAT16, DType.BOOL)
    }
    graph = Graph(constants={dtype.label: array for dtype, array in given.items()})
    graph.outputs = [Value(name) for name in graph.constants]
    path = tmp_path / "types.onnx"
    write_onnx(graph, path)
    found = read_onnx(path)
    assert set(large(found)) == set(graph.constants) - {DType.BOOL.label}
    for name, array in found.constants.items():
        assert array.dtype == graph.constants[name].dtype
        assert array.tobytes() == graph.constants[name].tobytes()


def test_places_end_with_the_file(file: Path) -> None:
    entry = unread(read_onnx(file).constants)["w0"]
    assert isinstance(entry, Stored)
    source = entry._place.source
    assert len(Place(source, source.size - 10, 100).read()) == 10
    assert len(Place(source, source.size + 10, 100).read()) == 0


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from compress_export import read_onnx
from compress_tensor import compile

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(l.split()[1]) * 1024 for l in lines if l.startswith("VmHWM"))

x = np.ones((1, 1500), np.float32)
compile(read_onnx(sys.argv[1]), threads=1).run({"x": x[:, :300]})
before = peak()
session = compile(read_onnx(sys.argv[2]), threads=1)
session.run({"x": x})
print(peak() - before)
"""


def test_weights_are_in_memory_once(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell a process's memory")
    small, path = tmp_path / "small.onnx", tmp_path / "layers.onnx"
    write_onnx(layers(), small)
    write_onnx(layers(1500, 12), path)
    command = [sys.executable, "-c", MEMORY, str(small), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    weights = 12 * 1500 * 1500 * 4
    assert weights <= int(done.stdout) < 1.3 * weights
