"""Bad input ends a command with one sentence and status 2; nothing is half-written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper

node = helper.make_node


def model_of(nodes: list[Any], tensors: list[Any] = (), shape: Any = ("N", 3)) -> Any:
    """Return a model with the float input ``input`` and the output ``output``."""
    graph = helper.make_graph(
        nodes,
        "bad",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        list(tensors),
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def tensor(dims: list[int], kind: int = TensorProto.FLOAT) -> Any:
    made = TensorProto(name="w", data_type=kind, raw_data=b"\0" * 8)
    made.dims.extend(dims)
    return made


def external(location: str) -> Any:
    made = TensorProto(name="w", data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    made.dims.append(3)
    made.external_data.add(key="location", value=location)
    return made


def good() -> bytes:
    weights = np.arange(15, dtype=np.float32).reshape(3, 5)
    tensors = [numpy_helper.from_array(weights, "w")]
    return model_of([node("MatMul", ["input", "w"], ["output"])], tensors).SerializeToString()


def flipped() -> bytes:
    """Return the good file with one bit wrong: the wire type of its first field."""
    found = bytearray(good())
    found[0] ^= 1
    return bytes(found)


def bomb() -> Any:
    """Return a few bytes that ask for 2 ** 38 numbers."""
    size = numpy_helper.from_array(np.array([1 << 19, 1 << 19]), "w")
    nodes = [node("ConstantOfShape", ["w"], ["big"]), node("ReduceSum", ["big"], ["sum"])]
    return model_of([*nodes, node("Add", ["sum", "input"], ["output"])], [size])


RELU = [node("Relu", ["input"], ["output"])]
ADD = [node("Add", ["input", "w"], ["output"])]
UNKNOWN = [node("Foo", ["input"], ["a"]), node("Bar", ["a"], ["output"], name="last")]
FILES: dict[str, tuple[Any, str]] = {
    "empty": (lambda: b"", "holds no graph"),
    "noise": (lambda: bytes(range(256)) * 8, "m.onnx"),
    "truncated": (lambda: good()[:-20], "m.onnx"),
    "bit-flipped": (flipped, "m.onnx"),
    "a cycle": (
        lambda: model_of([node("Relu", ["b"], ["output"]), node("Abs", ["output"], ["b"])]),
        "cycle",
    ),
    "duplicate names": (
        lambda: model_of([node("Relu", ["input"], ["output"]), node("Abs", ["input"], ["output"])]),
        "'output' is defined twice",
    ),
    "absurd dimensions": (lambda: model_of(ADD, [tensor([1 << 33, 1 << 33])]), "needs"),
    "a negative size": (lambda: model_of(ADD, [tensor([-2])]), "negative"),
    "a negative input": (
        lambda: model_of(ADD[:0] or [node("Relu", ["input"], ["output"])], shape=[-3]),
        "negative",
    ),
    "wrong dtype": (
        lambda: (
            model_of(ADD, [tensor([2])])
            .SerializeToString()
            .replace(b"\x10\x01\x42\x01w", b"\x10\x63\x42\x01w")
        ),
        "99",
    ),
    "a missing initializer": (lambda: model_of(ADD), "'w'"),
    "data outside": (lambda: model_of(ADD, [external("../../etc/passwd")]), "only files inside"),
    "data absolute": (lambda: model_of(ADD, [external("/etc/passwd")]), "only files inside"),
    "data missing": (lambda: model_of(ADD, [external("nowhere.bin")]), "nowhere.bin"),
    "unknown operators": (lambda: model_of(UNKNOWN), "Foo (Foo -> 'a'); Bar (Bar 'last')"),
    "a bomb": (bomb, "memory"),
    "shapes that do not fit": (lambda: model_of(ADD, [tensor([2])]), "Add"),
}


@pytest.mark.parametrize("kind", FILES)
def test_files(command, tmp_path, kind):
    """Damaged, hostile and unknown models are refused with a sentence that says what is wrong."""
    make, word = FILES[kind]
    made = make()
    (tmp_path / "m.onnx").write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    np.savez(tmp_path / "d.npz", x=np.zeros((4, 3), np.float32), y=np.zeros(4, np.int64))
    words = ["eval", "m.onnx", "--data", "d.npz", "--preprocess", "none", "-o", "result.json"]
    sentence = command("compress-bench", *words).refused()

    assert word in sentence
    assert {"m.onnx", "d.npz"} == set(os.listdir(tmp_path))


@pytest.mark.parametrize("name", ["absent.onnx", "."])
def test_what_is_no_file(command, name):
    """A missing file and a folder are named."""
    assert name in command("compress-export", "info", name).refused()


FEEDS = {
    "name": ({"other": np.zeros((1, 3), np.float32)}, "'other'"),
    "shape": ({"input": np.zeros((1, 4), np.float32)}, "[1, 4]"),
    "rank": ({"input": np.zeros(3, np.float32)}, "[3]"),
    "type": ({"input": np.zeros((1, 3), np.int32)}, "int32"),
}


@pytest.mark.parametrize("kind", FEEDS)
def test_wrong_inputs(command, tmp_path, kind):
    """A wrong name, shape or type of an input is named."""
    pytest.importorskip("onnxruntime")
    feeds, word = FEEDS[kind]
    (tmp_path / "m.onnx").write_bytes(good())
    np.savez(tmp_path / "feeds.npz", **feeds)

    assert word in command("compress-export", "check", "m.onnx", "--data", "feeds.npz").refused()


@pytest.mark.parametrize("array", [np.full((2, 3), np.nan), np.zeros((0, 3))], ids=["NaN", "empty"])
def test_odd_inputs_run(command, tmp_path, array):
    """NaN runs through, and so does a batch of nothing; both engines agree."""
    pytest.importorskip("onnxruntime")
    (tmp_path / "m.onnx").write_bytes(good())
    np.savez(tmp_path / "feeds.npz", input=array.astype(np.float32))
    found = command("compress-export", "check", "m.onnx", "--data", "feeds.npz")

    assert found.status == 0, found.err


def small_files() -> None:
    """Let no file grow beyond 100 bytes, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def test_full_disk(command, tmp_path):
    """What was there before stays whole; nothing else is left behind."""
    (tmp_path / "m.onnx").write_bytes(good())
    (tmp_path / "copy.onnx").write_bytes(b"before")
    words = ["convert", "m.onnx", "copy.onnx"]
    sentence = command("compress-export", *words, preexec_fn=small_files).refused()

    assert "copy.onnx cannot be written" in sentence
    assert (tmp_path / "copy.onnx").read_bytes() == b"before"
    assert {"m.onnx", "copy.onnx"} == set(os.listdir(tmp_path))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_full_output(command, model):
    """A standard output that takes nothing is told on standard error."""
    with open("/dev/full", "w") as full:
        sentence = command("compress-export", "info", model, "--json", stdout=full).refused()

    assert "standard output cannot be written" in sentence


SLOW_RUN = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from compress_bench import cli, quality
real = quality.batches
def batches(*given, **more):
    for part in real(*given, **more):
        print("running", flush=True)
        yield part
quality.batches = batches
sys.argv[0] = "compress-bench"
cli.main()
"""


def test_ctrl_c(model, tmp_path):
    """Ctrl-C in the middle ends with one sentence and status 2; no result is written."""
    np.savez(tmp_path / "d.npz", x=np.zeros((200_000, 3, 8, 8), np.uint8), y=np.zeros(200_000, int))
    words = ["eval", model, "--data", tmp_path / "d.npz", "--preprocess", "none", "--batch", "1"]
    (tmp_path / "steps.json").write_text('{"steps": [{"scale": 1}]}')
    words[5] = tmp_path / "steps.json"
    started = subprocess.Popen(
        [sys.executable, "-c", SLOW_RUN, *map(str, words), "-o", str(tmp_path / "result.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "running\n"
    time.sleep(0.2)
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=60)

    assert started.returncode == 2, err
    assert err.startswith("interrupted")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "result.json").exists()


def test_console_scripts_without_words(command):
    """A command without words shows its help, not a traceback."""
    for name in ("compress-export", "compress-bench"):
        found = command(name)

        assert "Usage" in found.out + found.err
        assert "Traceback" not in found.err
