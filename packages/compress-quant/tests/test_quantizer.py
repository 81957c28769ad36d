"""Quantizing by hand."""

from __future__ import annotations

import numpy as np
import pytest

from compress_quant import (
    INT8,
    INT8_SYMMETRIC,
    UINT8,
    ModelQuantizer,
    QTensor,
    QuantizedConv2d,
    QuantizedLinear,
    Quantizer,
    per_channel,
    quantized_matmul,
)
from compress_tensor import Builder, DType, InputError


@pytest.fixture
def rng():
    return np.random.default_rng(23)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_min_max_and_percentile(axis, rng):
    """The percentile gives up outliers for finer steps."""
    x = rng.normal(size=(4, 50000)).astype(np.float32)
    x[:, 7] = 100.0
    if axis == 1:
        x = np.ascontiguousarray(x.T)
    wide = Quantizer(axis=axis).calibrate_min_max(x)
    fine = Quantizer(axis=axis).calibrate_percentile(x, 99.9)

    assert np.abs(wide.dequantize(wide.quantize(x)) - x).max() <= wide.params.scale.max() * 1.001
    assert (fine.params.scale < wide.params.scale / 5).all()
    assert fine.params.scale.size == (1 if axis is None else 4)


def test_products_are_exact_sums(rng):
    """As int64 arithmetic says, whatever zero points and scales."""
    a = QTensor.from_float(rng.gamma(1, size=(5, 300)).astype(np.float32), UINT8, per_channel(0))
    b = QTensor.from_float(rng.normal(size=(300, 7)).astype(np.float32), INT8, per_channel(1))
    sums = (a.codes.astype(np.int64) - a.params.zero_point) @ (
        b.codes.astype(np.int64) - b.params.zero_point
    )
    expected = sums.astype(np.float32) * (a.params.scale * b.params.scale)

    assert np.array_equal(expected, quantized_matmul(a, b))
    quantizer = Quantizer(UINT8).calibrate_min_max(a.dequantize())
    near = quantizer.quantized_matmul(a.dequantize(), b)
    assert np.allclose(near, a.dequantize() @ b.dequantize(), atol=0.05 * np.abs(near).max())


def test_products_that_have_no_integer_form(rng):
    """Scales along k, shapes that do not fit."""
    x = QTensor.from_float(rng.normal(size=(4, 4)).astype(np.float32), INT8, per_channel(0))
    with pytest.raises(InputError, match="right matrix"):
        quantized_matmul(QTensor.from_float(x.dequantize(), INT8), x)
    y = QTensor.from_float(rng.normal(size=(4, 4)).astype(np.float32), INT8, per_channel(1))
    with pytest.raises(InputError, match="left matrix"):
        quantized_matmul(y, y)
    with pytest.raises(InputError, match="do not fit"):
        quantized_matmul(x, QTensor.from_float(np.ones((3, 2), np.float32)))


def test_layers_before_and_after_calibration(rng):
    """The same to within a few steps."""
    w, bias = rng.normal(size=(6, 10)).astype(np.float32), np.ones(6, np.float32)
    data = [rng.normal(size=(8, 10)).astype(np.float32) for _ in range(4)]
    layer = QuantizedLinear(w, bias)
    exact = layer(data[0])
    assert np.allclose(exact, data[0] @ w.T + 1, rtol=1e-5, atol=1e-5)
    near = layer.calibrate(data)(data[0])
    assert 0 < np.abs(near - exact).max() < 0.03 * np.abs(exact).max()

    k = rng.normal(size=(4, 1, 3, 3)).astype(np.float32)
    images = [rng.normal(size=(2, 2, 9, 9)).astype(np.float32) for _ in range(4)]
    conv = QuantizedConv2d(k, padding=1, stride=2, groups=2)
    exact = conv(images[0])
    near = conv.calibrate(images)(images[0])
    assert exact.shape == (2, 4, 5, 5)
    assert 0 < np.abs(near - exact).max() < 0.03 * np.abs(exact).max()
    assert conv.ledger is not None


def test_a_model_in_two_steps(rng):
    """Calibrate, then quantize; not the other way round."""
    b = Builder()
    x = b.input("x", DType.FLOAT32, ("N", 5))
    b.output("y", b.matmul(x, rng.normal(size=(5, 3)).astype(np.float32)))
    made = ModelQuantizer(b.graph())
    with pytest.raises(InputError, match="calibrate"):
        made.quantize()
    graph = made.calibrate([{"x": rng.normal(size=(9, 5)).astype(np.float32)}]).quantize()

    assert any(node.op == "QuantizeLinear" for node in graph.nodes)
    assert made.ledger.samples == 9


def test_mistakes(rng):
    """One sentence each."""
    with pytest.raises(InputError, match="calibrate"):
        Quantizer().quantize(np.zeros(3, np.float32))
    with pytest.raises(InputError, match="NaN"):
        Quantizer().calibrate_min_max(np.array([np.nan]))
    with pytest.raises(InputError, match="NaN"):
        Quantizer().calibrate_percentile(np.array([np.nan]))
    with pytest.raises(InputError, match="percentile"):
        Quantizer().calibrate_percentile(np.ones(3), 10)
    with pytest.raises(InputError, match="codes have type"):
        params = Quantizer(INT8_SYMMETRIC).calibrate_min_max(rng.normal(size=3)).params
        QTensor(np.zeros(3, np.int16), params)
