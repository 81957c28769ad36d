"""Bare matrix products, by whoever is installed.

An fp32 or bf16 product is a MatMul with a constant right side; both sides of a bf16 one are
bfloat16, and so is its result, but for MKL, which has a float32 result only.  An int8 one is
u8 x s8: in our engine, onnxruntime and OpenVINO from the same QDQ file, whose result is u8 again;
in torch and MKL the bare product with its s32 result.  Everybody writes to the same memory in
every call.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from compress_export import write_onnx
from compress_tensor import (
    Builder,
    CompressError,
    DType,
    Graph,
    MissingExtraError,
    UnsupportedError,
)
from compress_tensor.random import Generator

from .kinds import Kind
from .peak import Unit
from .runtimes import Array, Runtime, load

Shape = tuple[int, int, int]  #: m, k, n
Call = Callable[[], object]
_SCALE, _ZERO = 0.05, 128


def operations(shape: Shape) -> int:
    """Return multiplications and additions of a product."""
    m, k, n = shape
    return 2 * m * k * n


def graph_of(shape: Shape, unit: Unit) -> Graph:
    """Return the product as a graph, its left side the input ``a``."""
    m, k, n = shape
    generator, b = Generator(0), Builder("product")
    if unit is not Unit.INT8:
        half = unit is Unit.BF16
        a = b.input("a", DType.BFLOAT16 if half else DType.FLOAT32, (m, k))
        weight = generator.randn(k, n).numpy() * np.float32(k**-0.5)
        b.output("c", a @ b.constant(_brain(weight) if half else weight, "b"))
        return b.graph()
    a = b.input("a", DType.UINT8, (m, k))
    scale, zero = np.float32(_SCALE), np.array(_ZERO, np.uint8)
    codes = generator.randint(-127, 128, (k, n), DType.INT8).numpy()
    scales = np.full(n, 1 / 127, np.float32)
    left = b.dequantize_linear(a, scale, zero)
    right = b.dequantize_linear(b.constant(codes, "b"), scales, np.zeros(n, np.int8), axis=1)
    wide = np.float32(_SCALE * k**0.5)
    b.output("c", b.quantize_linear(left @ right, wide, zero))
    return b.graph()


def candidates(
    shape: Shape, unit: Unit, threads: int, folder: Path
) -> tuple[dict[str, Call], dict[str, str]]:
    """Return what can compute the product here, and why the others cannot."""
    graph = graph_of(shape, unit)
    path = folder / "product.onnx"
    write_onnx(graph, path)
    a, right = _left(shape, unit), graph.constants["b"]
    found: dict[str, Call] = {}
    absent: dict[str, str] = {}
    makers: dict[str, Callable[[], Call]] = {
        runtime.value: partial(_session, path, runtime, threads, unit, a) for runtime in Runtime
    }
    makers["torch"] = lambda: _torch(a, right, unit, threads)
    makers["numpy"] = lambda: _numpy(a, right, unit)
    makers["mkl"] = lambda: _mkl(a, right, unit, threads)
    for name, make in makers.items():
        try:
            found[name] = make()
        except CompressError as error:
            absent[name] = str(error)
    return found, absent


def _left(shape: Shape, unit: Unit) -> Array:
    m, k, _ = shape
    if unit is Unit.INT8:
        return np.asarray(Generator(1).randint(0, 256, (m, k), DType.UINT8).numpy())
    left = np.asarray(Generator(1).randn(m, k).numpy())
    return _brain(left) if unit is Unit.BF16 else left


def _session(path: Path, runtime: Runtime, threads: int, unit: Unit, a: Array) -> Call:
    runner = load(path, runtime, threads, feeds={"a": a}, kind=Kind(unit.value))
    return runner.bound({"a": a})


def _numpy(a: Array, b: Array, unit: Unit) -> Call:
    if unit is not Unit.FP32:
        raise UnsupportedError(f"numpy has no {unit.value} products")
    out = np.empty((a.shape[0], b.shape[1]), np.float32)
    return lambda: np.matmul(a, b, out=out)


def _torch(a: Array, b: Array, unit: Unit, threads: int) -> Call:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch is not installed; install compress-bench[rivals]") from error
    torch.set_num_threads(threads)
    if unit is Unit.INT8:
        # Its only bare integer product is s8 x s8.
        left = torch.from_numpy((a.astype(np.int16) - 128).astype(np.int8))
        right = torch.from_numpy(b)
        try:
            sums = torch._int_mm(left, right)
        except RuntimeError as error:
            raise UnsupportedError(f"torch._int_mm: {error}") from error
        return lambda: torch._int_mm(left, right, out=sums)
    kind = torch.bfloat16 if unit is Unit.BF16 else torch.float32
    # torch knows the bits of bfloat16 as int16, ours are a type of our own.
    left, right = (
        torch.from_numpy(x.view(np.int16)).view(kind) if unit is Unit.BF16 else torch.from_numpy(x)
        for x in (a, b)
    )
    out = torch.empty((a.shape[0], b.shape[1]), dtype=kind)
    return lambda: torch.mm(left, right, out=out)


def _mkl(a: Array, b: Array, unit: Unit, threads: int) -> Call:
    """MKL through its C interface: row-major, 32-bit integers."""
    library = _mkl_library()
    library.MKL_Set_Num_Threads(threads)
    (m, k), n = a.shape, b.shape[1]
    left, right = a, b
    out = np.empty((m, n), np.int32 if unit is Unit.INT8 else np.float32)
    zero, real = np.zeros(1, np.int32), ctypes.c_float
    if unit is Unit.INT8:
        # The transposed product by columns: there the first side is s8, the second u8.
        function, by_column, plain, fixed = library.cblas_gemm_s8u8s32, 102, 111, 173
        arguments: tuple[Any, ...] = (
            *(by_column, plain, plain, fixed, n, m, k, real(1.0)),
            *(_address(right), n, ctypes.c_int8(0), _address(left), k, ctypes.c_int8(0)),
            *(real(0.0), _address(out), n, _address(zero)),
        )
    else:
        bf16 = unit is Unit.BF16
        function = library.cblas_gemm_bf16bf16f32 if bf16 else library.cblas_sgemm
        arguments = (
            *(101, 111, 111, m, n, k, real(1.0), _address(left), k),
            *(_address(right), n, real(0.0), _address(out), n),
        )
    keep = (left, right, out, zero)  # MKL knows their addresses only

    def compute(keep: tuple[Array, ...] = keep) -> Array:
        function(*arguments)
        return keep[2]

    return compute


def _brain(a: Array) -> Array:
    """Return float32 cut to bfloat16."""
    bits = np.ascontiguousarray(a).view(np.uint32) >> np.uint32(16)
    return bits.astype(np.uint16).view(DType.BFLOAT16.numpy)


def _address(array: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def _mkl_library() -> ctypes.CDLL:
    try:
        files = metadata.files("mkl") or []
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError("mkl is not installed; install compress-bench[rivals]") from error
    for file in files:
        if file.name.startswith("libmkl_rt.so"):
            try:
                return ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_LOCAL)
            except OSError as error:
                raise UnsupportedError(f"mkl cannot be loaded: {error}") from error
    raise UnsupportedError("mkl has no libmkl_rt.so here")
