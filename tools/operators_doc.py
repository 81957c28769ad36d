"""Write docs/operators.md: every operator, ONNX's node cases that it passes, how it is run.

``python tools/operators_doc.py`` writes the page; with ``--check`` it only says whether the page
is what it would write (status 1 if not).  Needs every package up to compress-export, and onnx.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "operators.md"
CASES = ROOT / "packages" / "compress-export" / "tests" / "test_onnx_backend.py"

HEAD = """# Operators

Written by `tools/operators_doc.py`; do not edit.

*Cases* counts ONNX's own node tests (`onnx.backend.test`, onnx {version}): those that pass through
reading, inference and the reference definitions, of all there are for the operator.
The expansion of an operator into simpler ones counts as a case of it.
*Compiled* says whether libcore computes the operator; all others run by their definition in numpy.

{passed} of {total} cases pass, of {supported} operators.

| operator | cases | compiled |
|---|---:|---|
"""


def main() -> int:
    """Run every case and write the page, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    text = page()
    if arguments.check:
        same = PAGE.exists() and PAGE.read_text() == text
        print(
            f"{PAGE.name} is {'up to date' if same else 'out of date: run tools/operators_doc.py'}"
        )
        return 0 if same else 1
    PAGE.write_text(text)
    print(f"wrote {PAGE}")
    return 0


def page() -> str:
    """Return the text of the page."""
    backend = load(CASES)
    passed: dict[str, int] = defaultdict(int)
    total: dict[str, int] = defaultdict(int)
    for name in backend.cases():
        operator = owner(backend, name)
        total[operator] += 1
        passed[operator] += passes(backend, name)
    lowered = lowerings()
    listed = sorted({op for domain, op in backend.REFERENCES if not domain} | set(backend.FLOW))
    lines = [
        f"| {op} | {count(passed[op], total[op])} | {'yes' if ('', op) in lowered else ''} |"
        for op in listed
    ]
    missing = [f"* {op}: {reason}" for op, reason in sorted(backend.EXCLUDED.items())]
    head = HEAD.format(
        version=importlib.import_module("onnx").__version__,
        passed=sum(passed.values()),
        total=sum(total.values()),
        supported=len(listed),
    )
    notes = ["", "## Not supported", "", *missing, ""]
    return head + "\n".join([*lines, *notes])


def load(path: Path) -> Any:
    """Import a file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def owner(backend: Any, name: str) -> str:
    """Return the operator that a case is about."""
    base = name.partition("_expanded")[0]
    cases = backend.cases()
    model = cases.get(base, cases[name]).model
    nodes = [f"{n.domain}.{n.op_type}" if n.domain else n.op_type for n in model.graph.node]
    flow = [op for op in nodes if op in backend.FLOW or op in backend.EXCLUDED]
    return str((flow or nodes)[0])


def passes(backend: Any, name: str) -> bool:
    """Return whether a case is run and gives what ONNX says."""
    if backend.why_excluded(name):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            backend.check(name, backend.inferred)
    except Exception as error:  # whatever goes wrong, the case does not pass
        print(f"{name}: {error}", file=sys.stderr)
        return False
    return True


def lowerings() -> set[tuple[str, str]]:
    """Return (domain, operator) of what the engine compiles; empty while there is no engine."""
    try:
        engine = importlib.import_module("compress_tensor.engine.lower")
    except ImportError:
        return set()
    return {key if isinstance(key, tuple) else ("", key) for key in engine.LOWERINGS}


def count(passed: int, total: int) -> str:
    """Return "passed / all", or a dash when ONNX has no case."""
    return f"{passed} / {total}" if total else "–"


if __name__ == "__main__":
    sys.exit(main())
