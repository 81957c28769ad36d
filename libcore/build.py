"""Compile libcore into libcompress_core.so with setuptools' compiler driver.

Used by compress-tensor's wheel build (hatch_build.py) and by developers::

    python libcore/build.py                        # into the checkout's compress_tensor/_lib
    python libcore/build.py --out DIR --sanitize address,undefined

The suffix of a file's name alone selects its instruction-set flags.  Objects are reused when
neither their source, any header, nor the flags changed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARY = "libcompress_core.so"

COMMON = [
    "-O3",
    "-std=gnu11",
    "-fPIC",
    "-fvisibility=hidden",
    "-ffp-contract=off",  # fused only where fmaf is written: the same bytes everywhere
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wall",
    "-Wextra",
    "-g1",
]
# Tuned for Skylake: gcc then keeps addresses that it has no register for in memory, instead of in
# vector registers, for which it spilled accumulators.
AVX512_TUNE = ["-mtune=skylake-avx512", "-mprefer-vector-width=512"]
AVX512 = [
    "-mavx512f",
    "-mavx512bw",
    "-mavx512vl",
    "-mavx512dq",
    "-mavx2",
    "-mfma",
    "-mf16c",
    *AVX512_TUNE,
]
ISA_FLAGS = {
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": AVX512,
    "avx512vbmi": [*AVX512, "-mavx512vbmi"],
    "avx512vnni": [*AVX512, "-mavx512vnni"],
    "avx512bf16": [*AVX512, "-mavx512vnni", "-mavx512bf16"],
    "amx": [*AVX512, "-mavx512vnni", "-mavx512bf16"],  # its own instructions are in assembly
}
X86 = platform.machine().lower() in ("x86_64", "amd64")


def flags_of(source: Path) -> list[str] | None:
    """Return the extra flags of a source file, or None if this machine's compiler has none."""
    suffix = source.stem.rpartition("_")[2]
    if suffix not in ISA_FLAGS:
        return []
    return ISA_FLAGS[suffix] if X86 else None


def build(out: Path, objects: Path, *, sanitize: str = "") -> Path:
    """Compile every source under src/ and link ``out/libcompress_core.so``.

    Args:
        out: folder of the finished library; made if missing.
        objects: folder for object files, reused between builds.
        sanitize: a value for gcc's ``-fsanitize``, or empty.
    """
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    command = build_ext(Distribution({"name": "compress-core"}))
    command.ensure_finalized()
    from distutils.ccompiler import new_compiler  # setuptools' own copy
    from distutils.sysconfig import customize_compiler

    def fresh_compiler():  # type: ignore[no-untyped-def]
        compiler = new_compiler()
        customize_compiler(compiler)
        # The interpreter's own flags (-O, -g, -Wsign-compare ...) must not reach the kernels.
        cc = os.environ.get("CC", "cc").split()
        compiler.set_executables(compiler_so=cc, linker_so=[*cc, "-shared"])
        return compiler

    base = list(COMMON)
    if sanitize:
        base += [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer"]
        if "undefined" in sanitize:
            base.append("-fno-sanitize-recover=undefined")
    headers = sorted([*(HERE / "include").glob("*.h"), *(HERE / "src").rglob("*.h")])
    stamp = hashlib.sha256(b"".join(h.read_bytes() for h in headers))
    jobs: list[tuple[Path, Path, list[str]]] = []
    for source in sorted((HERE / "src").rglob("*.c")):
        extra = flags_of(source)
        if extra is None:
            continue
        key = stamp.copy()
        key.update(source.read_bytes() + " ".join(base + extra).encode())
        folder = objects / f"{source.stem}-{key.hexdigest()[:16]}"
        jobs.append((source, folder, base + extra))

    def compile_one(job: tuple[Path, Path, list[str]]) -> str:
        source, folder, flags = job
        target = folder / f"{source.stem}.o"
        if not target.exists():
            made = _compile(fresh_compiler(), source, folder / "part", flags)
            os.replace(made, target)
        return str(target)

    with ThreadPoolExecutor(os.cpu_count() or 1) as workers:
        linked = list(workers.map(compile_one, jobs))
    out.mkdir(parents=True, exist_ok=True)
    part = out / f".{LIBRARY}.{os.getpid()}"
    link = ["-lm", "-pthread"] + ([f"-fsanitize={sanitize}"] if sanitize else ["-Wl,--as-needed"])
    fresh_compiler().link_shared_object(linked, str(part), extra_postargs=link)
    os.replace(part, out / LIBRARY)
    return out / LIBRARY


def _compile(compiler, source: Path, folder: Path, flags: list[str]) -> str:  # type: ignore[no-untyped-def]
    folder.mkdir(parents=True, exist_ok=True)
    (made,) = compiler.compile(
        [str(source)],
        output_dir=str(folder),
        include_dirs=[str(HERE / "include"), str(HERE / "src")],
        extra_postargs=flags,
    )
    return str(made)


def main() -> None:
    """Build into the checkout, or where the arguments say."""
    checkout = HERE.parent / "packages/compress-tensor/src/compress_tensor/_lib"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=checkout)
    parser.add_argument("--objects", type=Path, default=HERE.parent / "build/libcore")
    parser.add_argument("--sanitize", default="", help="for example address,undefined")
    arguments = parser.parse_args()
    print(build(arguments.out, arguments.objects, sanitize=arguments.sanitize))


if __name__ == "__main__":
    main()
