"""Networks of the tests, written with the Builder, and their twins in torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from compress_tensor import Builder, DType, Graph, Symbol

Array = np.ndarray[Any, np.dtype[Any]]


class Net:
    """A builder with layers whose weights are named."""

    def __init__(self, seed: int = 0) -> None:
        self.b = Builder("net")
        self.rng = np.random.default_rng(seed)

    def weight(self, name: str, *shape: int, scale: float = 1.0, shift: float = 0.0) -> Symbol:
        values = self.rng.standard_normal(shape) * scale + shift
        return self.b.constant(values.astype(np.float32), name)

    def conv_bn(
        self, x: Symbol, name: str, ci: int, co: int, k: int = 3, stride: int = 1
    ) -> Symbol:
        w = self.weight(f"{name}.weight", co, ci, k, k, scale=(2 / (k * k * ci)) ** 0.5)
        x = self.b.conv(x, w, strides=[stride, stride], pads=[k // 2] * 4)
        scale = self.weight(f"{name}.scale", co, scale=0.1, shift=1.0)
        bias = self.weight(f"{name}.bias", co, scale=0.1)
        mean = self.b.constant(np.zeros(co, np.float32), f"{name}.mean")
        var = self.b.constant(np.ones(co, np.float32), f"{name}.var")
        found: Symbol = self.b.batchnormalization(x, scale, bias, mean, var)
        return found

    def linear(self, x: Symbol, name: str, n: int, m: int) -> Symbol:
        w = self.weight(f"{name}.weight", n, m, scale=n**-0.5)
        return x @ w + self.weight(f"{name}.bias", m, scale=0.1)

    def norm(self, x: Symbol, name: str, n: int) -> Symbol:
        scale = self.weight(f"{name}.scale", n, scale=0.1, shift=1.0)
        bias = self.weight(f"{name}.bias", n, scale=0.1)
        found: Symbol = self.b.layernormalization(x, scale, bias)
        return found

    def attention(self, x: Symbol, name: str, length: int, width: int, heads: int) -> Symbol:
        b, size = self.b, width // heads
        parts = []
        for part in "qkv":
            y = self.linear(x, f"{name}.{part}", width, width)
            y = b.reshape(y, np.array([0, length, heads, size]))
            parts.append(b.transpose(y, perm=[0, 2, 1, 3]))
        q, k, v = parts
        scores = q @ b.transpose(k, perm=[0, 1, 3, 2]) * float(size**-0.5)
        y = b.transpose(b.softmax(scores) @ v, perm=[0, 2, 1, 3])
        y = b.reshape(y, np.array([0, length, width]))
        return self.linear(y, f"{name}.out", width, width)


def resnet(blocks: int = 3, width: int = 16, classes: int = 10, size: int = 32) -> Graph:
    """ResNet of He et al., 2016, section 4.2: 6 n + 2 layers; ResNet20 for 3 blocks."""
    net = Net()
    b = net.b
    x = b.input("input", DType.FLOAT32, ("N", 3, size, size))
    h, ci = b.relu(net.conv_bn(x, "stem", 3, width)), width
    for stage in range(3):
        co = width << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            name = f"s{stage}.b{block}"
            y = b.relu(net.conv_bn(h, f"{name}.1", ci, co, 3, stride))
            y = net.conv_bn(y, f"{name}.2", co, co)
            if ci != co:
                h = net.conv_bn(h, f"{name}.0", ci, co, 1, stride)
            h, ci = b.relu(y + h), co
    h = b.flatten(b.globalaveragepool(h))
    w, bias = net.weight("fc.weight", classes, ci, scale=ci**-0.5), net.weight("fc.bias", classes)
    b.output("logits", b.gemm(h, w, bias, transB=1))
    return b.graph()


def transformer(kind: str, length: int = 17, width: int = 48, heads: int = 4) -> Graph:
    """A block of a vision transformer ("vit": norm first) or of BERT ("bert": norm last)."""
    net = Net()
    b = net.b
    h = b.input("input", DType.FLOAT32, ("N", length, width))

    def mlp(x: Symbol) -> Symbol:
        return net.linear(b.gelu(net.linear(x, "up", width, 4 * width)), "down", 4 * width, width)

    if kind == "vit":
        h = h + net.attention(net.norm(h, "n1", width), "a", length, width, heads)
        h = h + mlp(net.norm(h, "n2", width))
    else:
        h = net.norm(h + net.attention(h, "a", length, width, heads), "n1", width)
        h = net.norm(h + mlp(h), "n2", width)
    b.output("output", h)
    return b.graph()


def lstm(layers: int = 2, inputs: int = 10, hidden: int = 16) -> Graph:
    """Layers of LSTM over (time, batch, inputs)."""
    net = Net()
    b = net.b
    x = b.input("input", DType.FLOAT32, ("T", "N", inputs))
    for n in range(layers):
        width = inputs if n == 0 else hidden
        w = net.weight(f"w{n}", 1, 4 * hidden, width, scale=hidden**-0.5)
        r = net.weight(f"r{n}", 1, 4 * hidden, hidden, scale=hidden**-0.5)
        y = b.lstm(x, w, r, net.weight(f"b{n}", 1, 8 * hidden, scale=0.1), hidden_size=hidden)
        x = b.squeeze(y, np.array([1]))
    b.output("output", x)
    return b.graph()
