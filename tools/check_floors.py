"""Check that imports only go down, and that outside libraries stay where they belong.

A package may import packages of lower floors, numpy, the standard library, and what the table
below allows it.  Imports under ``if TYPE_CHECKING`` are not made at run time and do not count.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLOOR = {
    "compress_tensor": 0,
    "compress_autograd": 1,
    "compress_export": 1,
    "compress_quant": 2,
    "compress_prune": 2,
    "compress_distill": 2,
    "compress_bench": 3,
}
CONSOLE = {"typer", "rich"}
OUTSIDE: dict[str, set[str]] = {
    "compress_tensor": {"numpy"},
    "compress_autograd": {"numpy", "PIL"},
    "compress_export": {"numpy", "onnx", "google", "onnxruntime", *CONSOLE}
    | {"tensorrt", "tensorrt_rtx"},
    "compress_quant": {"numpy", "onnxruntime", "yaml", *CONSOLE},
    "compress_prune": {"numpy", *CONSOLE},
    "compress_distill": {"numpy", *CONSOLE},
    "compress_bench": {"numpy", "PIL", "onnxruntime", "openvino", "sklearn", "torch", *CONSOLE},
}
#: modules that alone may import a library, by library
ONLY: dict[str, set[str]] = {
    "onnx": {"compress_export/onnx_read.py", "compress_export/onnx_write.py"}
    | {"compress_export/tensors.py"},
    "sklearn": {"compress_bench/demo.py"},
    "openvino": {"compress_bench/runtimes.py", "compress_bench/startup.py"},
    "torch": {"compress_bench/products.py", "compress_bench/peers_torch.py"}
    | {"compress_bench/peers_transformers.py"},
    "tensorrt": {"compress_export/tensorrt_build.py"},
    "tensorrt_rtx": {"compress_export/tensorrt_build.py"},
    "yaml": {"compress_quant/recipe_file.py"},
    "google": {"compress_export/onnx_read.py", "compress_export/onnx_write.py"},
}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and top-level name of every import that is made at run time."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            if not node.level and node.module:
                yield node.lineno, node.module.partition(".")[0]
        elif not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
            yield from imports(node)


def problems(path: Path) -> Iterator[str]:
    """Yield what is wrong with the imports of one module."""
    module = path.relative_to(path.parents[len(path.parts) - path.parts.index("src") - 2])
    package = module.parts[0]
    for line, name in imports(ast.parse(path.read_text())):
        where = f"{path.relative_to(ROOT)}:{line}"
        if name in FLOOR:
            if name != package and FLOOR[name] >= FLOOR[package]:
                yield f"{where}: {package} may not import {name}, which is not below it"
        elif name not in sys.stdlib_module_names:
            if name not in OUTSIDE[package]:
                yield f"{where}: {package} may not import {name}"
            if name in ONLY and module.as_posix() not in ONLY[name]:
                yield f"{where}: only {', '.join(sorted(ONLY[name]))} may import {name}"


def main() -> int:
    """Return 1 if any import is wrong."""
    paths = sorted(ROOT.glob("packages/*/src/**/*.py"))
    found = [text for path in paths for text in problems(path)]
    print(*found, f"floors: {len(paths)} modules, {len(found)} problems", sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
