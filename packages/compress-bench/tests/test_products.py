"""Every library computes the same product; peaks and shapes are what they say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from compress_bench.peak import Unit, peak_of
from compress_bench.products import candidates, graph_of, operations
from compress_bench.shapes import BASIC, parse, products_of, zoo_shapes
from compress_bench.zoo import Blank, build
from compress_tensor import InputError
from compress_tensor.random import Generator

SHAPE = (33, 64, 48)


def result_of(call):
    found = call()
    found = next(iter(found.values())) if isinstance(found, Mapping) else found
    if type(found).__module__ == "torch":
        return found.float().numpy()
    return widened(found.numpy() if hasattr(found, "numpy") else np.asarray(found))


def widened(found):
    """bfloat16, whatever its two bytes are called, as float32."""
    if found.dtype.itemsize != 2:
        return found
    return (found.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def processor_flags() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("unit", [Unit.FP32, Unit.BF16])
def test_float_products_agree(unit, tmp_path):
    """Whoever is installed gets the product, within the rounding of the type."""
    calls, absent = candidates(SHAPE, unit, 1, tmp_path)
    a = Generator(1).randn(*SHAPE[:2]).numpy().astype(np.float64)
    b = widened(graph_of(SHAPE, unit).constants["b"]).astype(np.float64)
    # k products, each rounded from both sides: bf16 (possibly cut, not rounded) has 8 bits.
    unit_error = 2.0**-7 if unit is Unit.BF16 else 2.0**-23
    bound = 2 * unit_error * (np.abs(a) @ np.abs(b))

    assert "ours" in calls or "bfloat16" in absent["ours"]
    assert {"numpy", "onnxruntime", "openvino", "torch", "mkl", "ours"} == {*calls, *absent}
    for name, call in calls.items():
        assert (np.abs(result_of(call) - a @ b) <= bound).all(), name


def test_integer_products_agree(tmp_path):
    """Bare products are exact; the QDQ ones differ by one code at most.

    But for OpenVINO's on processors without VNNI: its sums saturate there.
    """
    calls, _ = candidates(SHAPE, Unit.INT8, 1, tmp_path)
    a = Generator(1).randint(0, 256, SHAPE[:2]).numpy()
    b = graph_of(SHAPE, Unit.INT8).constants["b"].astype(np.int64)
    ours = result_of(calls["ours"]).astype(np.int64)

    for name, call in calls.items():
        found = result_of(call)
        if name == "mkl":
            assert np.array_equal(found, a @ b)
        elif name == "torch":
            assert np.array_equal(found, (a - 128) @ b)
        elif name != "openvino" or "vnni" in processor_flags():
            assert np.abs(found.astype(np.int64) - ours).max() <= 1, name


def test_absent_libraries_are_named(tmp_path, monkeypatch):
    """With the extra that installs them."""
    for name in ("torch", "openvino"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    _, absent = candidates((4, 8, 16), Unit.FP32, 1, tmp_path)

    assert "install compress-bench[rivals]" in absent["torch"]
    assert "install compress-bench[rivals]" in absent["openvino"]


@pytest.mark.parametrize("threads", [1, 2])
def test_peak_counts_every_thread(threads):
    """A call does the same number of operations on each thread."""
    peak = peak_of(Unit.FP32, threads)
    try:
        assert peak.operations > 0
        assert 0 == peak.operations % threads
    finally:
        peak.close()


def test_shapes_of_networks():
    """ResNet-18: its first layer as a product, and the classifier."""
    shapes = set(products_of(build("resnet18", weights=Blank())))

    assert {(12544, 147, 64), (3136, 576, 64), (49, 4608, 512), (1, 512, 1000)} <= shapes
    assert set(BASIC[2:5]) <= set(zoo_shapes())


def test_shapes_by_word():
    """Lists and MxKxN; anything else is refused."""
    assert [(2, 3, 4)] == parse(["2x3x4", "2x3x4"])
    assert list(BASIC) == parse(["basic"])
    assert 48 == operations((2, 3, 4))
    for wrong in ("2x3", "0x1x1", "99999999x1x1", "all"):
        with pytest.raises(InputError, match="is no shape"):
            parse([wrong])
