"""The numbers: round trips, zero, extremes, granularity."""

from __future__ import annotations

import numpy as np
import pytest

from compress_quant import (
    INT4,
    INT8,
    INT8_SYMMETRIC,
    PER_TENSOR,
    UINT4,
    UINT8,
    Grid,
    QTensor,
    dequantize,
    params_from_range,
    params_of,
    per_channel,
    per_group,
    quantize,
)
from compress_quant.affine import spread
from compress_quant.grid import INT4_SYMMETRIC, INT16_SYMMETRIC
from compress_tensor import DType, InputError

GRIDS = [INT4, INT4_SYMMETRIC, UINT4, INT8, INT8_SYMMETRIC, UINT8, INT16_SYMMETRIC]
LARGEST = float(np.finfo(np.float32).max)
grids = pytest.mark.parametrize("grid", GRIDS, ids=lambda grid: grid.label)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def allowed(params, x, steps):
    """So many steps, plus the float32 roundings of x / scale and of scale * steps.

    Each is at most 2**-24 of its result; results are at most max(|x|) + scale, and a quotient that
    is off by r of itself moves x by r * |x|: two such terms.
    """
    return params.scale * steps + 4 * 2.0**-24 * (np.abs(x).max() + params.scale)


@grids
@pytest.mark.parametrize("magnitude", [1e-30, 1e-3, 1.0, 1e6, 1e29])
def test_a_round_trip_is_off_by_half_a_step_at_most(grid, magnitude, rng):
    """Inside the range; at its ends, where the zero point was rounded, by a step."""
    for _ in range(20):
        x = (rng.normal(rng.normal(), 1.0, 500) * magnitude).astype(np.float32)
        params = params_of(x, grid)
        off = np.abs(dequantize(quantize(x, params), params) - x)

        assert (off <= allowed(params, x, 1.0)).all()
        inner = np.abs(x) < 0.4 * np.abs(x).max()
        assert (off[inner] <= allowed(params, x, 0.5)).all() or grid.dtype.bits < 8


@grids
def test_zero_is_exact_at_every_range(grid, rng):
    """Real zero survives a round trip, wherever the calibration range lies."""
    low, high = np.sort(rng.normal(size=(2, 1000, 1)).astype(np.float32), axis=0)
    params = params_from_range(low, high, grid)

    assert np.array_equal(
        np.zeros_like(low), dequantize(quantize(np.zeros_like(low), params), params)
    )


@grids
def test_quantize_is_idempotent(grid, rng):
    """What codes stand for has the same codes."""
    x = rng.normal(size=2000).astype(np.float32) * 10
    params = params_of(x, grid)
    codes = quantize(x, params)

    assert np.array_equal(codes, quantize(dequantize(codes, params), params))


@grids
def test_codes_have_the_type_and_range_of_the_grid(grid, rng):
    """Values beyond the range saturate, infinities too."""
    params = params_from_range(np.array(-1.0), np.array(1.0), grid)
    codes = quantize(np.array([-np.inf, -5, 0, 5, np.inf], np.float32), params)

    assert DType.of(codes.dtype) is grid.dtype
    found = dequantize(codes, params)
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[3], found[4])
    assert found[2] == 0.0


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 0.0), (0.0, 1e-45), (-1e-44, 0.0), (5.0, 5.0), (-3.0, -3.0), (0.0, LARGEST / 2)],
)
@grids
def test_extreme_ranges_give_finite_positive_scales(grid, low, high):
    """Constant tensors, denormals and huge ranges."""
    params = params_from_range(np.float32(low), np.float32(high), grid)

    assert np.isfinite(params.scale)
    assert params.scale > 0
    ends = np.array([low, high], np.float32)
    assert np.isfinite(dequantize(quantize(ends, params), params)).all()


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (np.nan, 1.0, "NaN"),
        (0.0, np.inf, "infinity"),
        (1.0, -1.0, "low > high"),
        (-LARGEST, LARGEST, "too wide"),
    ],
)
def test_ranges_that_are_none(low, high, text):
    """Each gets a sentence."""
    with pytest.raises(InputError, match=text):
        params_from_range(np.array(low), np.array(high), INT8)


def test_a_nan_has_no_code():
    """Rather than some code."""
    params = params_from_range(np.array(-1.0), np.array(1.0), UINT8)
    with pytest.raises(InputError, match="NaN"):
        quantize(np.array([np.nan], np.float32), params)


def test_grids_that_do_not_fit_are_refused():
    """Codes beyond the type, or no zero to be symmetric about."""
    with pytest.raises(InputError, match="do not fit"):
        Grid(0, 300, DType.UINT8)
    with pytest.raises(InputError, match="do not fit"):
        Grid(0, 1, DType.FLOAT32)
    with pytest.raises(InputError, match="symmetric"):
        Grid(1, 5, DType.UINT8, symmetric=True)


@pytest.mark.parametrize(
    ("granularity", "shape"),
    [
        (PER_TENSOR, (1, 1, 1)),
        (per_channel(0), (6, 1, 1)),
        (per_channel(-1), (1, 1, 4)),
        (per_group(1, 4), (1, 2, 1)),
        (per_group(1, 2, across=0), (6, 4, 1)),
    ],
)
def test_granularity_is_a_rule_about_shapes(granularity, shape, rng):
    """Ranges are those of numpy on each block; every element is within a step of its own scale."""
    x = rng.normal(size=(6, 8, 4)).astype(np.float32)
    x *= np.exp(rng.normal(size=(6, 8, 1)) * 3).astype(np.float32)
    tensor = QTensor.from_float(x, INT8, granularity)
    low, high = granularity.ranges(x)

    assert tensor.params.scale.shape == shape
    assert np.array_equal(np.minimum(spread(low, x.shape), x), spread(low, x.shape) + 0 * x)
    assert np.array_equal(np.maximum(spread(high, x.shape), x), spread(high, x.shape) + 0 * x)
    off = np.abs(tensor.dequantize() - x)
    assert (off <= spread(tensor.params.scale, x.shape) * 1.001).all()


def test_groups_must_divide():
    """And axes exist."""
    with pytest.raises(InputError, match="do not divide"):
        per_group(0, 4).shape((6,))
    with pytest.raises(InputError, match="out of range"):
        per_channel(3).shape((6, 2))


def test_an_empty_tensor_quantizes_to_an_empty_one():
    """With a scale that divides nothing."""
    tensor = QTensor.from_float(np.zeros((0, 3), np.float32), INT8, per_channel(1))

    assert tensor.shape == (0, 3)
    assert tensor.dequantize().shape == (0, 3)
