"""compress_export.messages: ONNX's messages without the rest of onnx."""

from __future__ import annotations

import subprocess
import sys


def _run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_reading_imports_only_the_messages() -> None:
    code = "import sys, compress_export; print('onnx' in sys.modules)"
    assert _run(code) == "False"


def test_onnx_imported_before_or_later_has_the_same_classes() -> None:
    same = "from compress_export.messages import pb; import onnx; "
    shown = "print(onnx.ModelProto is pb.ModelProto, onnx.helper.make_node('Add', [], []).op_type)"
    assert _run(same + shown) == "True Add"
    assert _run("import onnx; " + same + shown) == "True Add"


def test_a_version_of_onnx_without_that_module_is_imported_whole() -> None:
    code = (
        "import pathlib; real = pathlib.Path.is_file; "
        "pathlib.Path.is_file = lambda path: path.name != 'onnx_ml_pb2.py' and real(path); "
        "from compress_export.messages import pb; print(pb.__name__, pb.ModelProto.__name__)"
    )
    assert _run(code) == "onnx ModelProto"
