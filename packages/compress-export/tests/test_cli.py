"""The command compress-export."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from compress_export import parity, read_onnx, write_onnx
from compress_export.cli import main
from compress_export.cost import cost_of
from compress_export.describe import describe
from compress_tensor import DType, Graph, InputError, Node, Value


def network() -> Graph:
    """Return a convolution, a matrix product and an operator that nobody has."""
    rng = np.random.default_rng(0)
    return Graph(
        nodes=[
            Node("Conv", ["x", "w"], ["c"], {"pads": [1, 1, 1, 1]}),
            Node("Relu", ["c"], ["r"], name="act [1]"),
            Node("GlobalAveragePool", ["r"], ["g"]),
            Node("Flatten", ["g"], ["f"]),
            Node("Gemm", ["f", "m"], ["y"]),
        ],
        inputs=[Value("x", DType.FLOAT32, ("N", 3, 8, 8))],
        outputs=[Value("y", DType.FLOAT32, ("N", 5))],
        constants={
            "w": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
            "m": rng.standard_normal((4, 5)).astype(np.float32),
        },
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the network as a file."""
    write_onnx(network(), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def command(*words: Any) -> int:
    """Run the command and return its status."""
    sys.argv = ["compress-export", *map(str, words)]
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_macs_and_memory_follow_shapes() -> None:
    """MACs are counted by hand; open sizes are 1 unless given."""
    conv, gemm = 8 * 8 * 4 * 27, 4 * 5

    assert cost_of(network()).macs == conv + gemm
    assert cost_of(network(), {"x": [3, 3, 8, 8]}).macs == 3 * (conv + gemm)
    # the input and the convolution, then the convolution and its Relu
    assert cost_of(network()).peak_bytes == 2 * 4 * 8 * 8 * 4


def test_shapes_must_fit() -> None:
    """A shape for something else is refused."""
    with pytest.raises(InputError, match="does not fit"):
        cost_of(network(), {"x": [1, 4, 8, 8]})
    with pytest.raises(InputError, match="no input 'z'"):
        cost_of(network(), {"z": [1]})


def test_branches_count_the_dearer_one() -> None:
    """Of an If whose condition is unknown, the dearer branch counts."""
    out = [Value("o", DType.FLOAT32, None)]
    cheap = Graph([Node("Relu", ["x"], ["o"])], outputs=out)
    dear = Graph([Node("MatMul", ["x", "x"], ["o"])], outputs=out)
    graph = Graph(
        [Node("If", ["c"], ["y"], {"then_branch": cheap, "else_branch": dear})],
        [Value("x", DType.FLOAT32, (4, 4)), Value("c", DType.BOOL, ())],
        [Value("y", DType.FLOAT32, None)],
    )

    assert (cost_of(graph).macs, cost_of(graph).stopped) == (64, "")


def test_description_names_what_is_missing() -> None:
    """An unknown operator does not keep the rest from being described."""
    graph = network()
    graph.nodes.append(Node("Foo", ["y"], ["z"]))
    graph.outputs = [Value("z")]
    found = describe(graph)

    assert found.missing == {"Foo": ["Foo -> 'z'"]}
    assert (found.parameters, found.weight_bytes) == (128, 512)
    assert found.operators[0].name == "Foo"
    assert "Foo" in found.stopped


def test_info(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Info prints tables, or JSON with the same facts."""
    assert command("info", path) == 0
    table = capsys.readouterr().out
    assert command("info", path, "--json", "--shape", "x=2,3,8,8") == 0
    found = json.loads(capsys.readouterr().out)

    assert "x: float32 [N, 3, 8, 8]" in table
    assert "open sizes taken as 1" in table
    assert found["macs"] == 2 * (8 * 8 * 4 * 27 + 20)
    assert found["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["N", 3, 8, 8]}]


def test_convert(path: Path, tmp_path: Path) -> None:
    """Convert reads and writes; the same bytes come out again."""
    assert command("convert", path, tmp_path / "copy.onnx") == 0
    assert (tmp_path / "copy.onnx").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        ["info", "absent.onnx"],
        ["info", "{path}", "--shape", "x=a"],
        ["info", "{path}", "--shape", "x=1,2"],
        ["check", "{path}", "--data", "absent.npz"],
        ["check", "{path}", "--data", "{path}"],
        ["convert", "{path}", "/absent/copy.onnx"],
        ["convert", "{path}"],
        ["nothing"],
    ],
)
def test_wrong_use_is_one_sentence(
    path: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong files and wrong words end with status 2 and no traceback."""
    assert command(*(word.format(path=path) for word in words)) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "error" in error.lower()


def test_check_agrees(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both engines agree on every value."""
    pytest.importorskip("onnxruntime")

    assert command("check", path) == 0
    assert "equal within 0.0001 relative" in capsys.readouterr().out
    assert command("check", path, "--json", "--shape", "x=2,3,8,8") == 0
    assert len(json.loads(capsys.readouterr().out)["values"]) == 5


def test_check_takes_data(path: Path, tmp_path: Path) -> None:
    """Inputs come from an .npz file; wrong ones are refused."""
    pytest.importorskip("onnxruntime")
    x = np.ones((1, 3, 8, 8), np.float32)
    np.savez(tmp_path / "good.npz", x=x)
    np.savez(tmp_path / "bad.npz", z=x)

    assert command("check", path, "--data", tmp_path / "good.npz") == 0
    assert command("check", path, "--data", tmp_path / "bad.npz") == 2


def test_check_finds_the_first_difference(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong node is named, with status 1, not those behind it."""
    pytest.importorskip("onnxruntime")
    right = read_onnx(path)
    wrong = right.copy()
    wrong.nodes[1].op = "Abs"
    session = parity.compress_tensor.compile(wrong, threads=1)
    monkeypatch.setattr(parity.compress_tensor, "compile", lambda *a, **k: session)

    assert command("check", path) == 1
    assert "first difference: Relu 'act [1]', value r" in capsys.readouterr().out


def test_check_needs_onnxruntime(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without onnxruntime one sentence names the extra."""
    real = builtins.__import__

    def blocked(name: str, *rest: Any, **more: Any) -> Any:
        if name == "onnxruntime":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", blocked)

    assert command("check", path) == 2
    assert "pip install 'compress-export[onnxruntime]'" in capsys.readouterr().err
