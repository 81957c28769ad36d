"""Layers of neural networks against plain loops in float64."""

from __future__ import annotations

import numpy as np
import pytest

import compress_tensor as ct
from compress_tensor import DType, InputError, ShapeError, Tensor


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(41)


def floats(rng, *shape):
    return rng.standard_normal(shape).astype("f4")


def near(expected, tensor, k=16):
    """Assert float32 equality within the rounding of sums of k products of standard normals."""
    found = ct.to_numbers(tensor)
    assert expected.shape == found.shape
    eps = 2.0**-23 if tensor.dtype is DType.FLOAT32 else 2.0**-9
    assert np.abs(expected - found).max(initial=0) <= eps * 8 * (k + 2)


def conv(x, w, stride, pad, dilation, groups):
    """Convolve images by the definition."""
    n, _, height, width = x.shape
    oc, ic, kh, kw = w.shape
    x = np.pad(x.astype("f8"), ((0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2))
    oh = (height + 2 * pad[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    ow = (width + 2 * pad[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, oc, oh, ow))
    for o in range(oc):
        first = o // (oc // groups) * ic
        for i in range(kh):
            for j in range(kw):
                top, left = i * dilation[0], j * dilation[1]
                part = x[:, first : first + ic, top : top + oh * stride[0] : stride[0]]
                part = part[..., left : left + ow * stride[1] : stride[1]][:, :, :oh, :ow]
                y[:, o] += (part * w[o, :, i, j, None, None]).sum(1)
    return y


def test_matmul_of_all_ranks(rng):
    """Numpy's rule for vectors, stacks and broadcasting; strided operands; integers exact."""
    shapes = [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4))]
    shapes += [
        ((5, 2, 3), (5, 3, 4)),
        ((2, 1, 4, 3), (5, 3, 2)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
    ]
    for left, right in shapes:
        a, b = floats(rng, *left), floats(rng, *right)
        near(a.astype("f8") @ b, Tensor(a) @ Tensor(b))
        near(
            a.astype("f8") @ b,
            Tensor.from_numpy(np.asfortranarray(a)) @ Tensor(b[..., ::-1].copy()).flip(-1),
        )
        for dtype in ("i1", "u1", "i4", "i8", "u2", "?"):
            c = rng.integers(-9, 9, left).astype(dtype)
            d = rng.integers(-9, 9, right).astype(dtype)
            expected = (c.astype("i8") @ d.astype("i8")).astype(dtype)
            assert np.array_equal(expected, (Tensor(c) @ Tensor(d)).numpy())
        near(a.astype("f8") @ b, Tensor(a).astype("float16").astype("float32") @ b, 4000)
    with pytest.raises(ShapeError, match="MatMul"):
        ct.ones(2, 3) @ ct.ones(2, 3)


def test_linear(rng):
    """Any leading dimensions, with and without bias, halves."""
    for lead in ((), (4,), (2, 3), (0,), (2, 0, 3)):
        x, w, b = floats(rng, *lead, 5), floats(rng, 7, 5), floats(rng, 7)
        near(x.astype("f8") @ w.T + b, ct.linear(x, w, b))
        near(x.astype("f8") @ w.T, ct.linear(x, w))
        half = ct.linear(Tensor(x, "bfloat16"), Tensor(w, "bfloat16"), Tensor(b, "bfloat16"))
        assert half.dtype is DType.BFLOAT16
        assert half.shape == (*lead, 7)
    with pytest.raises(ShapeError, match="linear: x of shape"):
        ct.linear(ct.ones(2, 3), ct.ones(4, 5))
    with pytest.raises(ShapeError, match="bias"):
        ct.linear(ct.ones(2, 3), ct.ones(4, 3), ct.ones(5))


def test_convolutions(rng):
    """Strides, padding, dilation, groups, depthwise; 1-D is 2-D of height 1."""
    for _ in range(60):
        groups = int(rng.choice([1, 1, 2, 4]))
        ic, oc = (groups * int(n) for n in rng.integers(1, 4, 2))
        kernel = rng.integers(1, 4, 2)
        stride, dilation = (tuple(int(n) for n in rng.integers(1, 3, 2)) for _ in "ab")
        pad = tuple(int(n) for n in rng.integers(0, 3, 2))
        x = floats(rng, int(rng.integers(1, 3)), ic, *(int(n) for n in rng.integers(6, 10, 2)))
        w, b = floats(rng, oc, ic // groups, *kernel), floats(rng, oc)
        expected = conv(x, w, stride, pad, dilation, groups)
        how = {"stride": stride, "padding": pad, "dilation": dilation, "groups": groups}
        near(
            expected, ct.conv2d(x, w, groups=groups, stride=stride, padding=pad, dilation=dilation)
        )
        near(expected + b[:, None, None], ct.conv2d(x, w, b, **how), 40)
        last = Tensor(np.ascontiguousarray(x.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
        near(expected, ct.conv2d(last, w, **how))
        near(expected[0], ct.conv2d(x[0], w, **how))
        line = conv(x[:, :, :1], w[:, :, :1], (1, stride[1]), (0, pad[1]), (1, dilation[1]), groups)
        one = {"stride": stride[1], "padding": pad[1], "dilation": dilation[1], "groups": groups}
        near(line[:, :, 0], ct.conv1d(x[:, :, 0], w[:, :, 0], **one))
    assert ct.conv2d(ct.ones(1, 2, 5, 5), ct.ones(3, 2, 3, 3), padding="same").shape == (1, 3, 5, 5)
    assert ct.conv2d(ct.ones(1, 2, 5, 5), ct.ones(3, 2, 3, 3), padding="valid").shape == (
        1,
        3,
        3,
        3,
    )
    with pytest.raises(InputError, match="padding must be"):
        ct.conv2d(ct.ones(1, 2, 5, 5), ct.ones(3, 2, 3, 3), padding="full")
    with pytest.raises(ShapeError, match="conv2d: x must have 4 dimensions"):
        ct.conv2d(ct.ones(5, 5), ct.ones(3, 2, 3, 3))
    with pytest.raises(ShapeError, match="Conv"):
        ct.conv2d(ct.ones(1, 3, 5, 5), ct.ones(3, 2, 3, 3))


def test_transposed_convolutions_are_adjoint(rng):
    """<conv(x), y> = <x, conv_transpose(y)>, which defines it."""
    for _ in range(20):
        groups, stride, pad = (int(rng.integers(1, n)) for n in (3, 3, 2))
        ic, oc = 2 * groups, 3 * groups
        kernel = int(rng.integers(pad + 1, 4))
        n = int(rng.integers(4, 7))
        size = (n - 1) * stride + kernel - 2 * pad
        x, y = floats(rng, 1, ic, size, size), floats(rng, 1, oc, n, n)
        w = floats(rng, oc, ic // groups, kernel, kernel)
        forward = ct.conv2d(x, w, stride=stride, padding=pad, groups=groups)
        back = ct.conv_transpose2d(y, w, stride=stride, padding=pad, groups=groups)
        assert back.shape == x.shape
        left = float((ct.to_numbers(forward).astype("f8") * y).sum())
        right = float((ct.to_numbers(back).astype("f8") * x).sum())
        assert abs(left - right) < 1e-3 * (1 + abs(left))
    wide = ct.conv_transpose1d(
        ct.ones(1, 1, 3), ct.ones(1, 1, 2), [1.0], stride=2, output_padding=1
    )
    assert wide.tolist() == [[[2, 2, 2, 2, 2, 2, 1]]]


def windows(x, kernel, stride, pad, fill):
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(x, (kernel, kernel), (2, 3))
    return seen[:, :, ::stride, ::stride]


def test_pools(rng):
    """Windows, strides, padding; adaptive and global ones; types."""
    for _ in range(30):
        kernel, stride = (int(n) for n in rng.integers(1, 4, 2))
        pad = int(rng.integers(0, kernel // 2 + 1))
        x = floats(rng, 2, 3, *(int(n) for n in rng.integers(5, 9, 2)))
        seen = windows(x, kernel, stride, pad, -np.inf)
        assert np.array_equal(seen.max((-1, -2)), ct.max_pool2d(x, kernel, stride, pad).numpy())
        seen = windows(x.astype("f8"), kernel, stride, pad, 0)
        near(seen.mean((-1, -2)), ct.avg_pool2d(x, kernel, stride, pad))
        for size in ((1, 1), (2, 3), (5, 4)):
            found, largest = ct.adaptive_avg_pool2d(x, size), ct.adaptive_max_pool2d(x, size)
            h, w = x.shape[2:]
            for i in range(size[0]):
                for j in range(size[1]):
                    part = x[:, :, i * h // size[0] : -(-(i + 1) * h // size[0])]
                    part = part[..., j * w // size[1] : -(-(j + 1) * w // size[1])]
                    near(part.astype("f8").mean((2, 3)), found[:, :, i, j])
                    assert np.array_equal(part.max((2, 3)), largest[:, :, i, j].numpy())
        near(x.astype("f8").mean((2, 3), keepdims=True), ct.global_avg_pool2d(x))
        assert np.array_equal(x.max((2, 3), keepdims=True), ct.global_max_pool2d(x).numpy())
    codes = Tensor(rng.integers(0, 255, (1, 2, 6, 6)), "uint8")
    assert ct.max_pool2d(codes, 2).dtype is DType.UINT8
    assert ct.avg_pool2d(ct.ones(1, 1, 5, 5), 2, ceil_mode=True).shape == (1, 1, 3, 3)
    with pytest.raises(ShapeError, match="max_pool2d: x must have 4"):
        ct.max_pool2d(ct.ones(3, 3), 2)


def test_activations(rng):
    """Each by its formula in float64; halves keep their type; integers become float32."""
    x = np.concatenate([floats(rng, 400) * 4, [0, -0.0, 100, -100]]).astype("f4")
    z = x.astype("f8")
    s = 1 / (1 + np.exp(-z))
    formulas = {
        "relu": np.maximum(z, 0),
        "relu6": z.clip(0, 6),
        "leaky_relu": np.where(z < 0, 0.01 * z, z),
        "elu": np.where(z < 0, np.expm1(z), z),
        "selu": 1.0507009873554805 * np.where(z < 0, 1.6732632423543772 * np.expm1(z), z),
        "sigmoid": s,
        "silu": z * s,
        "swish": z * s,
        "hardsigmoid": (z / 6 + 0.5).clip(0, 1),
        "hardswish": z * (z / 6 + 0.5).clip(0, 1),
        "softplus": np.logaddexp(0, z),
        "softsign": z / (1 + np.abs(z)),
        "mish": z * np.tanh(np.logaddexp(0, z)),
    }
    for name, expected in formulas.items():
        found = getattr(ct, name)(x).numpy()
        assert (np.abs(found - expected) <= 1e-6 * (1 + np.abs(expected))).all(), name
        assert getattr(ct, name)(Tensor(x, "bfloat16")).dtype is DType.BFLOAT16
        assert getattr(ct, name)(ct.arange(3)).dtype is (
            DType.INT64 if name.startswith("relu") else DType.FLOAT32
        )
    near(
        ct.to_numbers(ct.gelu(x)),
        ct.multiply(x, 0.5 * (1 + ct.to_numbers(ct.erf(x / np.float32(2**0.5))))),
        100,
    )
    assert abs(ct.gelu(x, "tanh").numpy() - ct.gelu(x).numpy()).max() < 1e-2
    assert np.array_equal(ct.prelu(x, 0.01).numpy(), ct.leaky_relu(x).numpy())
    with pytest.raises(InputError, match="approximate"):
        ct.gelu(x, "sigmoid")


def test_softmax(rng):
    """Any axis, any strides; rows sum to 1; no overflow."""
    for _ in range(30):
        x = floats(rng, *(int(n) for n in rng.integers(1, 6, int(rng.integers(1, 5))))) * 30
        axis = int(rng.integers(-x.ndim, x.ndim))
        e = np.exp(x.astype("f8") - x.max(axis, keepdims=True))
        expected = e / e.sum(axis, keepdims=True)
        near(expected, ct.softmax(x, axis))
        near(expected.T, ct.softmax(Tensor(x).T, x.ndim - 1 - axis % x.ndim))
        logs = ct.log_softmax(x, axis).numpy()
        assert np.allclose(
            logs, x - x.max(axis, keepdims=True) - np.log(e.sum(axis, keepdims=True)), atol=1e-4
        )
    assert ct.softmax(3.0).item() == 1


def test_normalisations(rng):
    """layer, rms, group, instance and batch normalisation by their formulas."""
    for dims in ((2, 6), (2, 6, 5), (2, 6, 4, 5)):
        x = floats(rng, *dims) * 3 + 1
        z = x.astype("f8")
        w, b = floats(rng, dims[-1]), floats(rng, dims[-1])
        m, v = z.mean(-1, keepdims=True), z.var(-1, keepdims=True)
        near((z - m) / np.sqrt(v + 1e-5), ct.layer_norm(x, dims[-1]))
        near((z - m) / np.sqrt(v + 1e-5) * w + b, ct.layer_norm(x, (dims[-1],), w, b))
        near(z / np.sqrt((z * z).mean(-1, keepdims=True) + 1e-5) * w, ct.rms_norm(x, dims[-1], w))
        w, b, mean, var = floats(rng, 6), floats(rng, 6), floats(rng, 6), np.abs(floats(rng, 6)) + 1
        wide = (-1, *(1 for _ in dims[2:]))
        g = z.reshape(dims[0], 3, -1)
        g = ((g - g.mean(-1, keepdims=True)) / np.sqrt(g.var(-1, keepdims=True) + 1e-5)).reshape(
            dims
        )
        near(g, ct.group_norm(x, 3))
        near(g * w.reshape(wide) + b.reshape(wide), ct.group_norm(x, 3, w, b))
        c = (z - mean.reshape(wide)) / np.sqrt(var.reshape(wide) + 1e-5)
        near(c, ct.batch_norm(x, mean, var), 40)
        near(c * w.reshape(wide) + b.reshape(wide), ct.batch_norm(x, mean, var, w, b), 40)
        if len(dims) > 2:
            g = z.reshape(*dims[:2], -1)
            g = (g - g.mean(-1, keepdims=True)) / np.sqrt(g.var(-1, keepdims=True) + 1e-5)
            near(g.reshape(dims), ct.instance_norm(x))
    assert ct.layer_norm(ct.ones(2, 3, dtype="float16"), 3).dtype is DType.FLOAT16
    with pytest.raises(ShapeError, match="does not end in"):
        ct.layer_norm(ct.ones(2, 3), 4)
    with pytest.raises(ShapeError, match="per channel"):
        ct.batch_norm(ct.ones(2, 3), ct.ones(4), ct.ones(3))


def test_recurrent_layers(rng):
    """LSTM and GRU with torch's weights, step by step."""
    t, n, i, h = 4, 3, 5, 6
    x = floats(rng, t, n, i)

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    weights = floats(rng, 4 * h, i), floats(rng, 4 * h, h)
    biases = floats(rng, 4 * h), floats(rng, 4 * h)
    for used in (biases, None):
        a, c, out = floats(rng, n, h), floats(rng, n, h), []
        start = (a, c)
        for step in x:
            gates = (
                step @ weights[0].T + a @ weights[1].T + (0 if used is None else used[0] + used[1])
            )
            gi, gf, gg, go = np.split(gates, 4, 1)
            c = sigmoid(gf) * c + sigmoid(gi) * np.tanh(gg)
            a = sigmoid(go) * np.tanh(c)
            out.append(a)
        y, (last, cell) = ct.lstm(x, weights, used, start)
        near(np.stack(out), y, 60)
        near(a, last, 60)
        near(c, cell, 60)
    weights = floats(rng, 3 * h, i), floats(rng, 3 * h, h)
    biases = floats(rng, 3 * h), floats(rng, 3 * h)
    a, out = np.zeros((n, h)), []
    for step in x:
        u, v = step @ weights[0].T + biases[0], a @ weights[1].T + biases[1]
        r, z = (sigmoid(u[:, k * h : (k + 1) * h] + v[:, k * h : (k + 1) * h]) for k in (0, 1))
        fresh = np.tanh(u[:, 2 * h :] + r * v[:, 2 * h :])
        a = (1 - z) * fresh + z * a
        out.append(a)
    y, last = ct.gru(x, weights, biases)
    near(np.stack(out), y, 60)
    near(a, last, 60)
    with pytest.raises(ShapeError, match="lstm: x must be"):
        ct.lstm(x[0], weights)
    with pytest.raises(ShapeError, match="gates"):
        ct.gru(x, (ct.ones(10, i), ct.ones(10, h)))


def test_interpolate(rng):
    """Nearest by index, linear by the half-pixel rule, identity at the same size."""
    x = floats(rng, 1, 2, 4, 6)
    assert np.array_equal(x.repeat(2, 2).repeat(2, 3), ct.interpolate(x, scale_factor=2).numpy())
    assert np.array_equal(x[:, :, ::2, ::2], ct.interpolate(x, (2, 3)).numpy())
    for mode in ("nearest", "bilinear", "bicubic"):
        assert np.array_equal(x, ct.interpolate(x, (4, 6), mode=mode).numpy())
    near(
        x.reshape(1, 2, 2, 2, 3, 2).astype("f8").mean((3, 5)),
        ct.interpolate(x, (2, 3), mode="bilinear"),
    )
    corners = ct.interpolate(x, (7, 11), mode="bilinear", align_corners=True).numpy()
    assert np.allclose(x, corners[:, :, ::2, ::2], atol=1e-6)
    assert ct.interpolate(x[:, :, 0], 3, mode="linear", antialias=True).shape == (1, 2, 3)
    for wrong in (
        {},
        {"size": 2, "scale_factor": 2},
        {"size": (1, 2, 3)},
        {"size": 2, "mode": "area"},
    ):
        with pytest.raises(InputError, match="interpolate"):
            ct.interpolate(x, **wrong)


def test_quantization(rng):
    """clip(rint(x / scale) + zero point) and back; per axis, per block, packed codes."""
    x = floats(rng, 4, 6) * 3
    for dtype, low, high in (
        ("uint8", 0, 255),
        ("int8", -128, 127),
        ("int4", -8, 7),
        ("uint4", 0, 15),
    ):
        for scale, zero, axis in ((np.float32(0.05), 3, 1), (np.abs(floats(rng, 4)) + 0.01, 2, 0)):
            wide = np.asarray(scale).reshape(-1, 1)
            points = np.full(np.shape(scale), zero)
            expected = (np.rint(x / wide) + zero).clip(low, high)
            q = ct.quantize_linear(x, Tensor(scale), Tensor(points).astype(dtype), axis=axis)
            assert q.dtype is DType[dtype.upper()]
            assert np.array_equal(expected, ct.to_numbers(q))
            back = ct.dequantize_linear(q, Tensor(scale), Tensor(points).astype(dtype), axis=axis)
            assert np.array_equal(((expected - zero) * wide).astype("f4"), back.numpy())
    blocks = np.abs(floats(rng, 4, 2)) + 0.1
    q = ct.quantize_linear(x, blocks, axis=1, block_size=3, dtype="int4")
    assert np.array_equal(np.rint(x / blocks.repeat(3, 1)).clip(-8, 7), ct.to_numbers(q))
    assert q.nbytes == 12
    back = ct.dequantize_linear(q, blocks, axis=1, block_size=3)
    assert np.abs(back.numpy() - x).max() <= np.abs(x).max()
    assert ct.quantize_linear([0.5, 1.5, -9.0], 1.0, 0, axis=0).tolist() == [0, 2, 0]
