"""The codecs of the small types, against ml_dtypes where it is installed, and by their laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compress_tensor.codec import FORMATS, decode, encode, positive_values, raw, wrap
from compress_tensor.dtype import DType
from compress_tensor.errors import UnsupportedError

NAMES = {
    DType.BFLOAT16: "bfloat16",
    DType.FLOAT8E4M3FN: "float8_e4m3fn",
    DType.FLOAT8E4M3FNUZ: "float8_e4m3fnuz",
    DType.FLOAT8E5M2: "float8_e5m2",
    DType.FLOAT8E5M2FNUZ: "float8_e5m2fnuz",
    DType.FLOAT4E2M1: "float4_e2m1fn",
    DType.FLOAT8E8M0: "float8_e8m0fnu",
}
CODES = {DType.BFLOAT16: 1 << 16, DType.FLOAT4E2M1: 16}


def _codes(dtype: DType) -> Any:
    count = CODES.get(dtype, 256)
    return np.arange(count).astype(np.uint16 if count > 256 else np.uint8)


def _numbers() -> Any:
    rng = np.random.default_rng(7)
    spread = [rng.standard_normal(20000) * scale for scale in (1e-3, 1, 100, 1e5)]
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, 448, 464, 480, -464, 57344, 61440, 6, 5, 0.25]
    return np.concatenate([*spread, special]).astype(np.float32)


@pytest.mark.parametrize("dtype", NAMES, ids=lambda d: d.label)
def test_decode_agrees_with_ml_dtypes(dtype: DType) -> None:
    """Every code means what ml_dtypes says."""
    other = np.dtype(getattr(pytest.importorskip("ml_dtypes"), NAMES[dtype]))
    codes = _codes(dtype)

    np.testing.assert_array_equal(codes.view(other).astype(np.float32), decode(wrap(codes, dtype)))


@pytest.mark.parametrize("dtype", [d for d in NAMES if d is not DType.FLOAT8E8M0])
def test_encode_agrees_with_ml_dtypes(dtype: DType) -> None:
    """Without saturation, rounding is ml_dtypes'."""
    other = np.dtype(getattr(pytest.importorskip("ml_dtypes"), NAMES[dtype]))
    numbers = _numbers()
    with np.errstate(all="ignore"):
        expected = numbers.astype(other).astype(np.float32)

    np.testing.assert_array_equal(expected, decode(encode(numbers, dtype, saturate=False)))


@pytest.mark.parametrize("dtype", FORMATS, ids=lambda d: d.label)
def test_saturation_gives_the_largest_finite_value(dtype: DType) -> None:
    """Infinity and everything too large become the largest value of their sign."""
    top = np.float32(positive_values(dtype)[-1])
    got = decode(encode(np.array([np.inf, 1e30, -1e30, -np.inf], np.float32), dtype))

    np.testing.assert_array_equal(np.array([top, top, -top, -top]), got)


@pytest.mark.parametrize("dtype", NAMES, ids=lambda d: d.label)
def test_every_code_survives(dtype: DType) -> None:
    """Decoding and encoding gives the same number back."""
    numbers = decode(wrap(_codes(dtype), dtype))
    numbers = numbers[np.isfinite(numbers)]

    np.testing.assert_array_equal(numbers, decode(encode(numbers, dtype)))


@pytest.mark.parametrize(
    ("round_mode", "expected"),
    [("up", [1, 2, 2, 2, 4]), ("down", [1, 1, 1, 1, 2]), ("nearest", [1, 1, 2, 2, 4])],
)
def test_power_of_two_rounding(round_mode: str, expected: list[float]) -> None:
    """The exponent-only type rounds as it is asked to."""
    numbers = np.array([1, 1.25, 1.5, 1.75, 3], np.float32)
    got = decode(encode(numbers, DType.FLOAT8E8M0, round_mode=round_mode))

    np.testing.assert_array_equal(np.array(expected, np.float32), got)


@pytest.mark.parametrize("dtype", [DType.INT4, DType.UINT4, DType.INT2, DType.UINT2])
def test_small_integers_keep_low_bits(dtype: DType) -> None:
    """Out of range numbers wrap around, floats lose their fraction first."""
    low, high = dtype.integer_range
    numbers = np.array([low, high, high + 1, low - 1])

    np.testing.assert_array_equal([low, high, low, high], decode(encode(numbers, dtype)))
    np.testing.assert_array_equal([0, 1], decode(encode(np.array([-0.9, 1.9]), dtype)))


def test_arrays_say_what_they_hold() -> None:
    """Wrapping keeps shape and bits."""
    held = wrap(np.array([[1, 2], [3, 4]]), DType.INT4)

    assert DType.of(held.dtype) is DType.INT4
    assert held.shape == (2, 2)
    assert raw(held).tolist() == [[1, 2], [3, 4]]


def test_plain_types_need_no_codec() -> None:
    """What numpy has is passed through, and never encoded."""
    plain = np.ones(3, np.float32)

    assert decode(plain) is plain
    with pytest.raises(UnsupportedError, match="needs no codec"):
        encode(plain, DType.FLOAT32)
