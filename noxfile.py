# /// script
# dependencies = ["nox>=2025.2.9"]
# ///
"""Every developer task.  ``nox -l`` lists them; ``nox`` runs what a commit must pass.

Sessions share one environment, made by tools/environment.py: wheels are built once per state of
the sources and installed from there.  On a fresh machine: ``python3 tools/bootstrap.py test``.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["check", "test"]
nox.options.error_on_external_run = False

ROOT = Path(__file__).resolve().parent
CHECKS = (
    "check_floors.py",
    "check_sizes.py",
    "check_signatures.py",
    "check_symbols.py",
    "check_spills.py",
    "api_surface.py",
)
SUITES = ("suite", "suite_int8", "suite_training", "suite_depth", "suite_steps")
#: networks of the zoo that Winograd's products make faster
CONVOLUTIONAL = ("resnet18", "resnet50")
#: results of processors that are not at hand every time: measured there by the same commands
OTHERS = (
    *("zen4_processor", "avx2_processor", "avx2_limited"),
    *("amx_processor", "vnni_processor"),
)
PROFILED = [w for name in ("resnet50", "bert-base-128") for w in ("--profile", name)]


def environment() -> Any:
    """Import tools/environment.py."""
    spec = importlib.util.spec_from_file_location("environment", ROOT / "tools/environment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prepared(session: nox.Session, *groups: str) -> str:
    """Return the Python of the shared environment, brought up to date."""
    session.log("preparing the shared environment (%s)", ", ".join(groups))
    return str(environment().prepare(*groups))


@nox.session(venv_backend="none")
def check(session: nox.Session) -> None:
    """Check floors, sizes, ABI, spills, symbols, APIs, lint, format and types."""
    python = prepared(session, "check")
    for script in CHECKS:
        session.run(python, f"tools/{script}")
    session.run(python, "-m", "ruff", "check", ".")
    session.run(python, "-m", "ruff", "format", "--check", ".")
    sources = [f"packages/{name}/src" for name in environment().packages()]
    session.run(python, "-m", "mypy", *sources, "tools")


@nox.session(venv_backend="none")
def test(session: nox.Session) -> None:
    """Run all tests; arguments go to pytest."""
    python = prepared(session, "test")
    session.run(python, "-m", "pytest", *session.posargs)


@nox.session(venv_backend="none", default=False)
def demo(session: nox.Session) -> None:
    """Show the main job on data that needs no download."""
    python = prepared(session, "demo")
    session.run(python, "-m", "compress_bench.demo", *session.posargs)


@nox.session(venv_backend="none", default=False)
def bench(session: nox.Session) -> None:
    """Measure everything on the models and data that COMPRESS_DATA names."""
    python = prepared(session, "test", "rivals")
    for suite in SUITES:
        session.run(python, "-m", f"compress_bench.{suite}", *session.posargs)
    command = str(Path(python).with_name("compress-bench"))
    models, limited, kernels = (f"docs/results/{n}.json" for n in ("models", "avx2", "kernels"))
    stored = sorted(map(str, Path(os.environ.get("COMPRESS_DATA", ".")).glob("models/*.onnx")))
    session.run(command, "models", "zoo", *stored, "--out", models)
    types = ("--type", "direct", "--type", "winograd")
    session.run(command, "models", *CONVOLUTIONAL, *stored, *types, "--out", models)
    avx2 = {"COMPRESS_ISA": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    units = ("--type", "fp32", "--type", "int8", "--batch", "1", "--threads", "1")
    session.run(command, "models", "zoo", *units, "--out", limited, env=avx2)
    session.run(command, "kernels", "--out", kernels)
    others = (f"docs/results/{name}.json" for name in OTHERS)
    found = (models, *others, limited, kernels)
    session.run(command, "tables", *found, *PROFILED, "-o", "docs/results/engine.md")


@nox.session(venv_backend="none", default=False)
def kernels(session: nox.Session) -> None:
    """Check every kernel against its scalar twin, with guard pages and extreme values."""
    session.run(prepared(session), "tools/check_kernels.py", *session.posargs)


@nox.session(venv_backend="none", default=False)
@nox.parametrize("kind", ["address,undefined", "thread"], ids=["address", "thread"])
def sanitize(session: nox.Session, kind: str) -> None:
    """Run the checks of kernels and the tests that reach C under a sanitizer."""
    python = prepared(session, "test")
    session.run(python, "tools/check_kernels.py", "--sanitize", kind, "--cases", "20")
    session.run(python, "tools/sanitize.py", kind, *session.posargs)


@nox.session(venv_backend="none", default=False)
@nox.parametrize("kind", ["plain", "thread"])
def soak(session: nox.Session, kind: str) -> None:
    """Run four sessions from eight threads for two minutes, alone or under a sanitizer."""
    python = prepared(session, "test")
    start = ["tools/sanitize.py", "thread"] if kind == "thread" else ["-m", "pytest"]
    test = "packages/compress-tensor/tests/test_soak.py"
    session.run(python, *start, test, "-s", *session.posargs, env={"COMPRESS_SOAK": "120"})


@nox.session(venv_backend="none", default=False)
def wheels(session: nox.Session) -> None:
    """Build all wheels and print where they are."""
    for wheel in environment().build_wheels(Path(prepared(session))).values():
        session.log(str(wheel))


@nox.session(default=False)
@nox.parametrize("package", environment().packages(), ids=environment().packages())
def install(session: nox.Session, package: str) -> None:
    """Install one package alone from wheels, with what it declares, and try it."""
    made = environment().build_wheels(Path(prepared(session)))
    # By path: an index may have other packages of these names.
    session.install(*(str(made[name]) for name in environment().needed(package)))
    session.run("python", "tools/try_install.py", package)


@nox.session(default=False)
def sources(session: nox.Session) -> None:
    """Install from a checkout and from an sdist, compiling each time, and try both."""
    session.install("./packages/compress-tensor")
    session.run("python", "tools/try_install.py", "compress-tensor")
    session.install("build")
    target = session.create_tmp()
    session.run("python", "-m", "build", "--sdist", "-o", target, "packages/compress-tensor")
    (made,) = Path(target).glob("compress_tensor-*.tar.gz")
    session.install("--force-reinstall", str(made))
    session.run("python", "tools/try_install.py", "compress-tensor")


@nox.session(default=False)
def oldest(session: nox.Session) -> None:
    """Run the tests with the oldest versions of the dependencies that are promised."""
    made = [str(wheel) for wheel in environment().build_wheels(Path(prepared(session))).values()]
    session.install("-c", "tools/oldest.txt", "pytest", "pillow", *made)
    session.install("--no-deps", "--force-reinstall", *made)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(default=False)
def tensorrt(session: nox.Session) -> None:
    """Build TensorRT engines from files of the target tensorrt; needs no GPU."""
    made = [str(wheel) for wheel in environment().build_wheels(Path(prepared(session))).values()]
    session.install("pytest", "pyyaml", "pillow", "tensorrt-rtx", *made)
    session.run("pytest", "packages/compress-quant/tests/test_tensorrt.py", *session.posargs)
