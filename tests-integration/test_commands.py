"""What the READMEs promise, run as it is written there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compress_tensor import __version__

ROOT = Path(__file__).parents[1]


def blocks(path: Path, language: str = "python") -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), re.DOTALL)


READMES = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md"))]


def test_info_of_the_engine(command):
    """compress-tensor info says version and instruction set."""
    found = command("compress-tensor", "info")

    assert found.status == 0
    assert __version__ in found.out
    assert re.search("scalar|avx2|avx512", found.out)


def test_info_of_a_model(command, model):
    """compress-export info lists inputs, outputs, operators, parameters, MACs, memory."""
    table = command("compress-export", "info", model)
    plain = json.loads(command("compress-export", "info", model, "--json").out)

    assert table.status == 0
    for word in ("input: float32 [N, 3, 8, 8]", "output", "parameters", "MACs", "memory", "Conv"):
        assert word in table.out
    assert plain["parameters"] == 6 * 27 + 6 + 24 + 4


def test_check(command, model):
    """compress-export check agrees with onnxruntime, node by node."""
    pytest.importorskip("onnxruntime")
    found = command("compress-export", "check", model)
    plain = json.loads(command("compress-export", "check", model, "--json").out)

    assert found.status == 0, found.err
    assert "equal within" in found.out
    assert plain["agrees"]


@pytest.mark.parametrize("runtime", ["ours", "onnxruntime"])
def test_eval(command, model, data, tmp_path, runtime):
    """compress-bench eval measures, prints JSON, writes the same to a file."""
    if runtime == "onnxruntime":
        pytest.importorskip("onnxruntime")
    words = ["eval", model, "--data", data, "--preprocess", tmp_path / "steps.json"]
    words += ["--runtime", runtime, "--threads", 2, "--json", "-o", tmp_path / "result.json"]
    found = command("compress-bench", *words)

    assert found.status == 0, found.err
    assert json.loads(found.out) == json.loads((tmp_path / "result.json").read_text())
    assert json.loads(found.out)["samples"] == 20


def test_both_runtimes_agree(command, model, data, tmp_path):
    """Accuracy is the same in our engine and in onnxruntime."""
    pytest.importorskip("onnxruntime")
    words = ["eval", model, "--data", data, "--preprocess", tmp_path / "steps.json", "--json"]
    found = [
        json.loads(command("compress-bench", *words, "--runtime", runtime).out)["top1"]
        for runtime in ("ours", "onnxruntime")
    ]

    assert found[0] == found[1]


def test_demo(tmp_path):
    """The demo needs no file from outside and leaves a model and a table."""
    for needed in ("sklearn", "onnxruntime"):
        pytest.importorskip(needed)
    done = subprocess.run(
        [sys.executable, "-m", "compress_bench.demo", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "out/result.json").read_text())["rows"]
    accuracy = {row["runtime"]: row["accuracy"] for row in rows}
    assert accuracy["ours"] == accuracy["onnxruntime"]
    assert accuracy["ours"] > 0.9


_GIVEN = """
import numpy as np
from compress_export import read_onnx
array, graph = np.load("array.npy"), read_onnx("model.onnx")
feeds = [{"input": array}]
"""


@pytest.mark.parametrize("readme", READMES, ids=lambda path: path.parent.name)
def test_python_in_readmes(readme, model, tmp_path):
    """Every Python block runs as it stands, in a folder with a model.onnx and data at hand.

    In a process of its own: a limit of memory counts all that the process holds.
    """
    assert model == tmp_path / "model.onnx"
    array = np.random.default_rng(2).standard_normal((4, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "array.npy", array)
    script = "\n".join([_GIVEN, *blocks(readme)])
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert not done.returncode, done.stderr


def test_lines_that_install_name_folders():
    """What READMEs tell pip to install is there, lower floors first and none forgotten."""
    from_readmes = [
        line
        for path in READMES
        for line in re.findall(r"pip install (\./[^`\n]*)", path.read_text())
    ]

    assert len(from_readmes) >= len(READMES) - 1
    for line in from_readmes:
        given = [word.removeprefix("./packages/") for word in line.split()]
        assert all((ROOT / "packages" / name / "pyproject.toml").is_file() for name in given)
        text = (ROOT / "packages" / given[-1] / "pyproject.toml").read_text()
        assert set(re.findall(r'"(compress-[a-z]+)~=', text)) <= set(given[:-1])


def test_commands_in_the_readme_exist(command):
    """Every console script and subcommand that READMEs show is there, with its options."""
    shown = set()
    for path in READMES:
        for name, sub, rest in re.findall(
            r"^    (compress-[a-z]+) ([a-z]+)([^#\n]*)", path.read_text(), re.MULTILINE
        ):
            shown.add((name, sub, *re.findall(r"--[a-z-]+", rest)))

    assert {name for name, *_ in shown} >= {"compress-tensor", "compress-export", "compress-bench"}
    for name, sub, *options in sorted(shown):
        help_text = command(name, sub, "--help")
        assert help_text.status == 0, f"{name} {sub}"
        plain = re.sub(r"\x1b\[[0-9;]*m", "", help_text.out)
        assert all(option in plain for option in options), f"{name} {sub}"


def test_bootstrap_lists_what_it_can_do():
    """bootstrap.py is standard library only and says how it is used."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-I", "-S", ROOT / "tools/bootstrap.py", "--help"],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout
