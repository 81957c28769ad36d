"""Quantization and recurrent kernels of libcore against the reference definitions."""

from __future__ import annotations

import numpy as np
import pytest

from compress_tensor.backend.reference import quantize as ref
from compress_tensor.backend.reference import recurrent
from compress_tensor.codec import decode, encode
from compress_tensor.counting import count_bins, row_extremes
from compress_tensor.dtype import DType
from compress_tensor.errors import NativeArgumentError
from compress_tensor.native.call import call

SIGMOID, TANH = (5, 0.0, 0.0), (14, 0.0, 0.0)


@pytest.fixture
def rng():
    """One seeded generator per test."""
    return np.random.default_rng(23)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_quantize_and_dequantize(dtype, axis, rng):
    """Exact; halves to even, saturation, any axis."""
    x = (rng.integers(-600, 600, (3, 4, 50)) * 0.25).astype(np.float32)
    info = np.iinfo(dtype)
    shape = [1, 1, 1]
    if axis is not None:
        shape[axis] = x.shape[axis]
    scale = (2.0 ** rng.integers(-4, 3, shape)).astype(np.float32)
    zero = rng.integers(info.min, info.max + 1, shape).astype(dtype)
    q, back = np.empty(x.shape, dtype), np.empty_like(x)
    s, z = np.broadcast_to(scale, x.shape), np.broadcast_to(zero, x.shape)

    call("quantize_linear", [x, s, z, q])
    call("dequantize_linear", [q, s, z, back])

    expected = np.clip(np.rint(x / s) + z, info.min, info.max).astype(dtype)
    assert np.array_equal(expected, q)
    assert np.array_equal((q.astype(np.int32) - z).astype(np.float32) * s, back)
    call("quantize_linear", [x, s, None, q])
    assert np.array_equal(np.clip(np.rint(x / s), info.min, info.max).astype(dtype), q)


def test_quantize_of_extremes():
    """Infinity saturates, NaN is the smallest code."""
    x = np.array([np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-45], np.float32)
    q = np.empty(6, np.int8)

    call("quantize_linear", [x, np.broadcast_to(np.float32(0.1), 6), None, q])

    assert np.array_equal([127, -128, -128, 127, -128, 0], q)


def test_requantize_and_lut(rng):
    """Products of float32, rounded half to even; one table entry per byte."""
    acc = rng.integers(-(2**31), 2**31, (5, 64)).astype(np.int32)
    acc[0] = rng.integers(-300, 300, 64)
    m = np.broadcast_to((2.0 ** rng.integers(-24, 1, 64)).astype(np.float32), acc.shape)
    for dtype in ("u1", "i1"):
        info = np.iinfo(dtype)
        zero = np.full(acc.shape, 3, dtype)
        out = np.empty(acc.shape, dtype)
        call("requantize", [acc, m, zero, out])
        expected = np.clip(np.rint(acc.astype(np.float32) * m) + 3, info.min, info.max)
        assert np.array_equal(expected.astype(dtype), out)
    table = rng.integers(0, 256, 256).astype(np.uint8)
    codes = rng.integers(-128, 128, (7, 9)).astype(np.int8)
    out = np.empty((7, 9), np.uint8)
    call("lut_u8", [codes, table, out])
    assert np.array_equal(table[codes.view(np.uint8)], out)


@pytest.mark.parametrize("shape", [(1,), (7, 300), (2, 3, 4)])
def test_dynamic_quantize_linear(shape, rng):
    """As the reference, in any layout; all zeros have scale 0."""
    x = np.asarray(rng.normal(size=shape) * 3, np.float32)
    for view in (x, np.asfortranarray(x), np.zeros_like(x), abs(x) + 1, -abs(x) - 1):
        y, scale, zero = np.empty(shape, np.uint8), np.empty((), np.float32), np.empty((), np.uint8)
        call("dynamic_quantize_linear", [view, y, scale, zero])
        expected = ref.dynamic_quantize_linear(view)
        for want, got in zip(expected, (y, scale, zero), strict=True):
            assert np.array_equal(want, got)


def packed(w, gates, half=False):
    """Return ONNX's [D, gates * H, K] weights as the kernels take them, by numpy alone."""
    d, width, k = w.shape
    hidden = width // gates
    wide = np.zeros((d, gates, -(-hidden // 16) * 16, k), np.float32)
    wide[:, :, :hidden] = w.reshape(d, gates, hidden, k)
    panels = wide.reshape(d, -1, 16, k)
    if not half:
        return np.ascontiguousarray(panels.transpose(0, 1, 3, 2))
    even = np.pad(panels, ((0, 0), (0, 0), (0, 0), (0, k % 2)))
    pairs = even.reshape(d, -1, 1, 16, (k + 1) // 2, 2).transpose(0, 1, 2, 4, 3, 5)
    return encode(np.ascontiguousarray(pairs), DType.BFLOAT16)


KINDS = {"lstm": (4, [SIGMOID, TANH, TANH]), "gru": (3, [SIGMOID, TANH]), "rnn": (1, [TANH])}


def run(kind, x, w, r, b, lengths, states, p, direction, clip, flag, activations=None, half=False):
    """Return Y and the last states."""
    gates, functions = KINDS[kind]
    d, h = r.shape[0], r.shape[2]
    weights = [packed(each, gates, half) for each in (w, r)]
    y = np.full((x.shape[0], d, x.shape[1], h), 9, np.float32)
    ends = [np.full((d, x.shape[1], h), 9, np.float32) for _ in range(2 if kind == "lstm" else 1)]
    if kind == "lstm":
        operands = [x, *weights, b, lengths, *states, p, y, *ends]
    else:
        operands = [x, *weights, b, lengths, states[0], y, *ends]
    code = ["forward", "reverse", "bidirectional"].index(direction)
    numbers = [v for f in (activations or functions * d) for v in f]
    call(kind, operands, [code, float(clip), flag, *numbers, h])
    return y, *ends


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("batch", [1, 3, 9])
@pytest.mark.parametrize("full", [False, True])
def test_recurrent(kind, direction, batch, full, rng):
    """All options of ONNX, with and without the optional inputs."""
    gates, _ = KINDS[kind]
    t, i, h, d = 7, 5, 37, 2 if direction == "bidirectional" else 1
    x = rng.normal(size=(t, batch, i)).astype(np.float32)
    w = (rng.normal(size=(d, gates * h, i)) / 2).astype(np.float32)
    r = (rng.normal(size=(d, gates * h, h)) / 6).astype(np.float32)
    b = lengths = p = None
    states = [None, None]
    if full:
        b = rng.normal(size=(d, 2 * gates * h)).astype(np.float32)
        lengths = rng.integers(0, t + 1, batch).astype(np.int32)
        states = [rng.normal(size=(d, batch, h)).astype(np.float32) for _ in "hc"]
        p = rng.normal(size=(d, 3 * h)).astype(np.float32) if kind == "lstm" else None
    for flag in (0, 1):
        for clip in (0, 0.5):
            attributes = {"direction": direction, "clip": clip or None}
            extra = [states[0]]
            if kind == "lstm":
                attributes["input_forget"], extra = flag, [*states, p]
            elif kind == "gru":
                attributes["linear_before_reset"] = flag
            expected = getattr(recurrent, kind)(x, w, r, b, lengths, *extra, **attributes)
            found = run(kind, x, w, r, b, lengths, states, p, direction, clip, flag)
            for want, got in zip(expected, found, strict=True):
                np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


def rounded(x):
    """Return the nearest bfloat16 of each number, as float32."""
    return decode(encode(x, DType.BFLOAT16)).astype(np.float32)


def layer(kind, rng, *, t=7, batch=3, i=21, h=37, d=1):
    """Return random x, W and R."""
    gates, _ = KINDS[kind]
    x = rng.normal(size=(t, batch, i)).astype(np.float32)
    w = (rng.normal(size=(d, gates * h, i)) / 3).astype(np.float32)
    r = (rng.normal(size=(d, gates * h, h)) / 6).astype(np.float32)
    return x, w, r


def test_recurrent_with_bfloat16_rounds_both_operands(rng):
    """X and h are rounded for the products, sums and states are not."""
    x, w, r = layer("rnn", rng)
    y, last = run("rnn", x, w, r, None, None, [None], None, "forward", 0, 0, half=True)

    w, r, h = rounded(w[0]).astype("f8"), rounded(r[0]).astype("f8"), np.zeros((3, 37))
    for step, got in zip(rounded(x), y[:, 0], strict=True):
        h = np.tanh(step @ w.T + rounded(h.astype(np.float32)) @ r.T)
        np.testing.assert_allclose(got, h, rtol=2e-5, atol=2e-6)
        h = got
    assert np.array_equal(last[0], y[-1, 0])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("flag", [0, 1])
def test_recurrent_with_bfloat16_stays_near(kind, flag, rng):
    """Rounded operands move a result by about their own rounding."""
    x, w, r = layer(kind, rng, d=2)
    options = (None, None, [None, None], None, "bidirectional", 0, flag)
    exact = run(kind, x, w, r, *options)
    for want, got in zip(exact, run(kind, x, w, r, *options, half=True), strict=True):
        np.testing.assert_allclose(got, want, atol=0.02)
        assert not np.array_equal(got, want)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("batch", [6, 150])
def test_recurrent_rows_do_not_depend_on_the_batch(kind, half, batch, rng):
    """A sequence alone gives the bytes that it gives in a batch, from any layout."""
    x, w, r = layer(kind, rng, t=70 if batch < 64 else 3, batch=batch, i=20, h=33)
    options = (None, None, [None, None], None, "forward", 0, 0)

    together, *_ = run(kind, x, w, r, *options, half=half)
    alone, *_ = run(kind, x[:, 4:5], w, r, *options, half=half)
    other, *_ = run(kind, np.asfortranarray(x), w, r, *options, half=half)

    assert np.array_equal(together[:, :, 4:5], alone)
    assert np.array_equal(together, other)


def test_sequence_length_out_of_range_is_an_error(rng):
    """Checked at run time."""
    x, w, r = (np.zeros(s, np.float32) for s in ((3, 1, 2), (1, 4, 2), (1, 4, 4)))
    with pytest.raises(NativeArgumentError, match=r"rnn: sequence length 4 is not in 0\.\.3"):
        run("rnn", x, w, r, None, np.array([4], np.int32), [None], None, "forward", 0, 0)


@pytest.mark.parametrize("exponent", [-149, -126, -30, -3, 0, 1, 20, 110])
def test_count_bins(exponent, rng):
    """Every value in the bin that exact arithmetic gives; outside in the nearest one."""
    x = (rng.normal(size=(7, 333)) * 2.0 ** (exponent + rng.integers(-3, 9, (7, 333)))).astype("f4")
    x.flat[:9] = 0.0, -0.0, np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -1e-45
    with np.errstate(invalid="ignore"):
        at = np.clip(np.floor(np.ldexp(x.astype(np.float64), -exponent)) + 40, 0, 99)
    wanted = np.bincount(at[(x != 0) & ~np.isnan(x)].astype(np.int64), minlength=100)

    for values in (x, np.asfortranarray(x), x[:, ::-1], x[::-1, :]):
        counts, zeros = count_bins(values, exponent, -40, 100)

        assert np.array_equal(wanted, counts)
        assert zeros == np.count_nonzero(x == 0)


@pytest.mark.parametrize("n", [1, 2, 63, 64, 65, 1000])
def test_row_extremes(n, rng):
    """As numpy; NaN anywhere in a row makes both NaN."""
    x = rng.normal(size=(5, n)).astype(np.float32)
    x[1, -1] = np.nan
    x[2, 0] = -np.inf

    lows, highs = row_extremes(x)

    assert np.array_equal(x.min(axis=1), lows, equal_nan=True)
    assert np.array_equal(x.max(axis=1), highs, equal_nan=True)


def test_counting_refuses_what_it_cannot_hold():
    """One sentence, nothing read."""
    x = np.zeros((2, 3), np.float32)
    for wrong in (
        lambda: count_bins(x, 300, 0, 8),
        lambda: count_bins(x, 0, 1 << 25, 8),
        lambda: count_bins(x.astype(np.float64), 0, 0, 8),
        lambda: row_extremes(x[:, :0]),
        lambda: row_extremes(np.asfortranarray(x)),
    ):
        with pytest.raises(NativeArgumentError, match="requires"):
            wrong()
