"""The commands that measure, on the smallest things that they take."""

from __future__ import annotations

import json
import sys

import pytest

from compress_bench import cli
from compress_bench.results import Results, read_results
from compress_export import read_onnx
from compress_tensor import FileError


@pytest.fixture
def command(monkeypatch, capsys):
    """Run compress-bench in this process; returns status, output and errors."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["compress-bench", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


def test_zoo_writes_a_file(command, tmp_path):
    """The file holds the network; the same command makes the same bytes."""
    one, two = tmp_path / "one.onnx", tmp_path / "two.onnx"
    status, out, _ = command("zoo", "char_lstm", "-o", one)
    command("zoo", "char_lstm", "-o", two)

    assert (0, True) == (status, "LSTM character model" in out)
    assert one.read_bytes() == two.read_bytes()
    assert "LSTM" in {node.op for node in read_onnx(one).nodes}


def test_zoo_list_and_mistakes(command, tmp_path):
    """A line per network; an unknown one is named."""
    status, out, _ = command("zoo", "--list")

    assert (0, True) == (status, "25,557,032" in out)
    status, _, err = command("zoo", "alexnet", "-o", tmp_path / "x.onnx")
    assert (2, True) == (status, err.startswith("error: the zoo has no 'alexnet'"))
    status, _, err = command("zoo")
    assert (2, True) == (status, "give a name" in err)


def test_kernels(command, tmp_path):
    """Cells with times of ours, kept in a file, not measured again."""
    path = tmp_path / "k.json"
    words = ("kernels", "8x16x16", "--type", "fp32", "--threads", 1, "--samples", 5)
    status, out, _ = command(*words, "-o", path)
    before = path.read_bytes()
    again, _, _ = command(*words, "-o", path)
    (cell,) = read_results(path)["cells"].values()

    assert (0, 0) == (status, again)
    assert "8 x 16 x 16" in out
    assert path.read_bytes() == before
    assert 5 == len(cell["seconds"]["ours"])
    assert cell["peak"] > 1e8
    status, out, _ = command(*words, "-o", path, "--json")
    assert "kernels" == json.loads(out)["kind"]
    status, _, err = command("kernels", "8x16")
    assert (2, True) == (status, "is no shape" in err)


def test_models_compare_profile_tables(command, tmp_path):
    """A small network through all of them, the int8 file made on the way."""
    pytest.importorskip("onnxruntime")
    path, work = tmp_path / "m.json", tmp_path / "work"
    words = ("--type", "fp32", "--type", "int8", "--batch", 2, "--threads", 1, "--samples", 5)
    status, out, _ = command("models", "char_lstm", *words, "--work", work, "-o", path)
    cells = read_results(path)["cells"]
    cell = cells["char_lstm fp32 batch 2 1t"]

    assert (0, True) == (status, "char_lstm" in out)
    assert {"ours", "onnxruntime"} <= {*cell["seconds"]}
    assert cell["agreement"]["onnxruntime"] < 1e-4
    assert "start" not in cell  # of one sample and one thread alone
    assert 5 == len(cells["char_lstm int8 batch 2 1t"]["seconds"]["ours"])

    status, out, _ = command("compare", path, path)
    assert (0, True) == (status, "0 proven slower" in out)
    status, out, _ = command("profile", "char_lstm", "--work", work, "--runs", 1, "--all", "--json")
    lines = json.loads(out)
    assert "lstm" in {line["kernel"] for line in lines}
    assert sum(line["share"] for line in lines) == pytest.approx(1)
    assert all(line["limit"] >= 0 for line in lines)
    page = tmp_path / "page.md"
    status, _, _ = command("tables", path, "--profile", "char_lstm", "--work", work, "-o", page)
    text = page.read_text()
    assert (0, True) == (status, "## Profile of char_lstm" in text)
    state = json.loads(path.read_text())
    other, limited = tmp_path / "other_processor.json", tmp_path / "limited.json"
    state["machine"]["instruction set"] = "avx2"
    other.write_text(json.dumps(state))
    state["machine"]["limited to"] = "avx2"
    limited.write_text(json.dumps(state))
    status, out, _ = command("tables", path, other, limited)
    assert (0, True) == (status, "instruction set limited to avx2" in out)
    assert "## Networks on a processor with avx2" in out
    (tmp_path / "other.json").write_text(json.dumps({**state, "kind": "other"}))
    status, _, err = command("tables", tmp_path / "other.json")
    assert (2, True) == (status, "not of models or kernels" in err)
    assert "## Start-up and memory" in text


def test_winograd_is_a_type(command, tmp_path):
    """The fp32 network again, in fewer multiplications: a cell and a row of its own."""
    path, work = tmp_path / "m.json", tmp_path / "work"
    words = ("--batch", 1, "--threads", 1, "--samples", 5, "--seconds", 0.1, "--work", work)
    status, out, _ = command("models", "resnet20", "--type", "winograd", *words, "-o", path)
    (cell,) = read_results(path)["cells"].values()

    assert (0, True) == (status, "| resnet20 | winograd | 1 | 1 |" in out)
    assert ("winograd", 5) == (cell["unit"], len(cell["seconds"]["ours"]))
    assert cell["start"]["ours"]["peak"] > cell["start"]["ours"]["before"] > 0
    assert all(differ < 1e-4 for differ in cell["agreement"].values())
    words = ("--type", "winograd", "--work", work, "--runs", 1, "--all", "--json")
    status, out, _ = command("profile", "resnet20", *words)
    lines = [line for line in json.loads(out) if line["kernel"] == "conv_winograd_f32"]
    assert (0, 16) == (status, len(lines))
    assert all(0 < line["limit"] for line in lines)


def test_compare_tells_a_regression(command, tmp_path):
    """Status 1, and which cell."""
    old, new = (Results(tmp_path / f"{name}.json", "models", {}) for name in ("old", "new"))
    old.keep("a", {"seconds": {"ours": [1.0, 1.01, 0.99, 1.0, 1.0], "x": [1.0] * 5}})
    new.keep("a", {"seconds": {"ours": [2.0, 2.01, 1.99, 2.0, 2.0], "x": [1.0] * 5}})
    status, out, _ = command("compare", old.path, new.path)

    assert (1, True) == (status, out.startswith("slower"))
    status, out, _ = command("compare", old.path, new.path, "--json")
    assert (1, "slower") == (status, json.loads(out)[0]["verdict"])


def test_results_of_another_machine_are_forgotten(tmp_path):
    """Cells of two machines never mix; another kind of file is refused."""
    path = tmp_path / "r.json"
    Results(path, "models", {"cores": "2"}).keep("a", {"seconds": {}})

    assert {} == Results(path, "models", {"cores": "4"}).cells
    assert ["a"] == list(Results(path, "models", {"cores": "2"}).cells)
    path.write_text('{"cells": []}')
    with pytest.raises(FileError, match="is not a file of results"):
        read_results(path)
