"""The command line compress-tensor."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import compress_tensor
from compress_tensor import cli
from compress_tensor.native.library import ISAS, library_path


def run(*arguments, **environment):
    """Run it in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "compress_tensor.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


def test_info_as_json():
    """Every fact, for machines."""
    done = run("info", "--json")

    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert found["version"] == compress_tensor.__version__
    assert found["library"] == str(library_path())
    assert found["instruction_set"] in ISAS
    assert found["instruction_set_detected"] in ISAS
    assert found["threads"] >= 1
    assert set(found) == {
        *("version", "api", "abi", "library", "instruction_set", "instruction_set_detected"),
        *("threads", "gpu_library"),
    }


def test_info_for_people(capsys):
    """A line per fact; a limited instruction set says so."""
    with pytest.raises(SystemExit) as end:
        cli.main(["info"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert compress_tensor.__version__ in text
    assert "GPU library" in text
    done = run("info", COMPRESS_ISA="scalar")
    assert "scalar" in done.stdout
    assert done.returncode == 0


def test_mistakes_are_one_sentence():
    """Exit code 2 and no traceback."""
    for arguments, environment in (
        ((), {}),
        (("nonsense",), {}),
        (("info",), {"COMPRESS_LIBRARY": "/nowhere.so"}),
        (("info",), {"COMPRESS_ISA": "sse"}),
    ):
        done = run(*arguments, **environment)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "error" in done.stderr


def test_version():
    """--version prints the version alone."""
    assert run("--version").stdout.strip() == compress_tensor.__version__
