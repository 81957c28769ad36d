"""Four small networks: a convolutional one, a transformer, an LSTM, and one in int8."""

from __future__ import annotations

import numpy as np

from compress_tensor import DType, Graph, Node, Value


def floats(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32)


def convolutional(rng):
    """Return a network with residual, concatenation, depthwise, transposed parts and a head."""
    c = {
        "w1": floats(rng, 16, 3, 3, 3),
        "b1": floats(rng, 16),
        "w2": floats(rng, 16, 16, 3, 3) / 12,
        "gamma": floats(rng, 16),
        "beta": floats(rng, 16),
        "mean": floats(rng, 16),
        "variance": np.abs(floats(rng, 16)) + 1,
        "wd": floats(rng, 32, 1, 3, 3),
        "wt": floats(rng, 32, 8, 3, 3) / 17,
        "fc": floats(rng, 10, 8),
        "fcb": floats(rng, 10),
    }
    nodes = [
        Node("Conv", ["x", "w1", "b1"], ["c1"], {"pads": [1, 1, 1, 1]}),
        Node("Relu", ["c1"], ["r1"]),
        Node("Conv", ["r1", "w2"], ["c2"], {"pads": [1, 1, 1, 1]}),
        Node("BatchNormalization", ["c2", "gamma", "beta", "mean", "variance"], ["n2"]),
        Node("Add", ["n2", "r1"], ["a2"]),
        Node("Relu", ["a2"], ["r2"]),
        Node("MaxPool", ["r2"], ["p1"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        Node("AveragePool", ["r2"], ["p2"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        Node("Concat", ["p1", "p2"], ["cat"], {"axis": 1}),
        Node("Conv", ["cat", "wd"], ["d"], {"pads": [1, 1, 1, 1], "group": 32}),
        Node("ConvTranspose", ["d", "wt"], ["t"], {"strides": [2, 2], "pads": [1, 1, 0, 0]}),
        Node("GlobalAveragePool", ["t"], ["gp"]),
        Node("Flatten", ["gp"], ["fl"]),
        Node("Gemm", ["fl", "fc", "fcb"], ["logits"], {"transB": 1}),
        Node("Softmax", ["logits"], ["y"]),
    ]
    inputs = [Value("x", DType.FLOAT32, ("N", 3, "H", "H"))]
    return Graph(nodes=nodes, inputs=inputs, outputs=[Value("y")], constants=c)


def attention(rng):
    """Return a transformer block written in elementary operators, two heads."""
    d = 32
    c = {f"w{i}": floats(rng, d, d) / 6 for i in range(4)}
    c |= {"gamma": floats(rng, d), "beta": floats(rng, d), "scale": np.float32(0.25).reshape(())}
    c |= {"shape": np.array([0, -1, 2, d // 2]), "flat": np.array([0, -1, d])}
    c |= {"eps": np.float32(1e-5).reshape(()), "two": np.float32(2).reshape(())}
    c |= {"root": np.float32(np.sqrt(2)).reshape(()), "one": np.float32(1).reshape(())}
    c |= {"half": np.float32(0.5).reshape(()), "axes": np.array([-1])}
    nodes = []
    for i, name in enumerate("qkv"):
        nodes += [
            Node("MatMul", ["x", f"w{i}"], [name]),
            Node("Reshape", [name, "shape"], [f"{name}4"]),
            Node("Transpose", [f"{name}4"], [f"{name}t"], {"perm": [0, 2, 1, 3]}),
        ]
    nodes += [
        Node("Transpose", ["kt"], ["ktt"], {"perm": [0, 1, 3, 2]}),
        Node("MatMul", ["qt", "ktt"], ["s"]),
        Node("Mul", ["s", "scale"], ["ss"]),
        Node("Softmax", ["ss"], ["p"], {"axis": -1}),
        Node("MatMul", ["p", "vt"], ["o4"]),
        Node("Transpose", ["o4"], ["ot"], {"perm": [0, 2, 1, 3]}),
        Node("Reshape", ["ot", "flat"], ["o"]),
        Node("MatMul", ["o", "w3"], ["m"]),
        Node("Add", ["x", "m"], ["a"]),
        Node("ReduceMean", ["a", "axes"], ["mu"]),
        Node("Sub", ["a", "mu"], ["dev"]),
        Node("Pow", ["dev", "two"], ["sq"]),
        Node("ReduceMean", ["sq", "axes"], ["var"]),
        Node("Add", ["var", "eps"], ["ve"]),
        Node("Sqrt", ["ve"], ["sd"]),
        Node("Div", ["dev", "sd"], ["norm"]),
        Node("Mul", ["norm", "gamma"], ["ng"]),
        Node("Add", ["ng", "beta"], ["ln"]),
        Node("Div", ["ln", "root"], ["e1"]),
        Node("Erf", ["e1"], ["e2"]),
        Node("Add", ["e2", "one"], ["e3"]),
        Node("Mul", ["ln", "e3"], ["e4"]),
        Node("Mul", ["e4", "half"], ["y"]),
    ]
    inputs = [Value("x", DType.FLOAT32, ("N", "T", d))]
    return Graph(nodes=nodes, inputs=inputs, outputs=[Value("y")], constants=c)


def recurrent(rng):
    """Return two LSTM layers, the second in both directions, and a classifier of the last step."""
    c = {
        "w0": floats(rng, 1, 96, 16) / 4,
        "r0": floats(rng, 1, 96, 24) / 5,
        "b0": floats(rng, 1, 192),
        "w1": floats(rng, 2, 64, 24) / 5,
        "r1": floats(rng, 2, 64, 16) / 4,
        "fc": floats(rng, 32, 10) / 6,
        "axis": np.array([1]),
        "flat": np.array([0, 0, -1]),
        "last": np.array(-1),
    }
    both = {"hidden_size": 16, "direction": "bidirectional"}
    nodes = [
        Node("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}),
        Node("LSTM", ["t", "w0", "r0", "b0"], ["h0"], {"hidden_size": 24}),
        Node("Squeeze", ["h0", "axis"], ["s0"]),
        Node("LSTM", ["s0", "w1", "r1"], ["h1"], both),
        Node("Transpose", ["h1"], ["t1"], {"perm": [0, 2, 1, 3]}),
        Node("Reshape", ["t1", "flat"], ["s1"]),
        Node("Gather", ["s1", "last"], ["e"], {"axis": 0}),
        Node("MatMul", ["e", "fc"], ["y"]),
    ]
    inputs = [Value("x", DType.FLOAT32, ("N", "T", 16))]
    return Graph(nodes=nodes, inputs=inputs, outputs=[Value("y")], constants=c)


def coded(rng):
    """Return a QDQ network: convolutions, a residual sum, a depthwise one, a classifier."""
    c = {"zero": np.uint8(0).reshape(()), "middle": np.uint8(120).reshape(())}
    nodes = []

    def scale(value):
        name = f"s{len(c)}"
        c[name] = np.float32(value).reshape(())
        return name

    def coded_as(x, step, zero):
        s = scale(step)
        nodes.append(Node("QuantizeLinear", [x, s, zero], [f"{x}_q"]))
        nodes.append(Node("DequantizeLinear", [f"{x}_q", s, zero], [f"{x}_d"]))
        return f"{x}_d"

    def weight(name, *shape):
        c[f"{name}_q"] = rng.integers(-127, 128, shape, dtype=np.int8)
        nodes.append(Node("DequantizeLinear", [f"{name}_q", scale(0.01)], [name]))
        return name

    x = coded_as("x", 0.03, "middle")
    same = {"pads": [1, 1, 1, 1]}
    nodes.append(Node("Conv", [x, weight("w1", 16, 3, 3, 3)], ["c1"], same))
    nodes.append(Node("Relu", ["c1"], ["r1"]))
    r1 = coded_as("r1", 0.05, "zero")
    nodes.append(Node("Conv", [r1, weight("w2", 16, 16, 3, 3)], ["c2"], same))
    nodes.append(Node("Add", [coded_as("c2", 0.2, "middle"), r1], ["a2"]))
    a2 = coded_as("a2", 0.2, "middle")
    nodes.append(Node("Conv", [a2, weight("w3", 16, 1, 3, 3)], ["c3"], {**same, "group": 16}))
    c3 = coded_as("c3", 0.5, "middle")
    nodes.append(Node("GlobalAveragePool", [c3], ["g"]))
    nodes.append(Node("Flatten", [coded_as("g", 0.1, "middle")], ["f"]))
    nodes.append(Node("MatMul", ["f", weight("w4", 16, 10)], ["y"]))
    inputs = [Value("x", DType.FLOAT32, ("N", 3, "H", "H"))]
    return Graph(nodes=nodes, inputs=inputs, outputs=[Value("y")], constants=c)


#: each with an input's shape
NETWORKS = (
    (convolutional, (2, 3, 20, 20)),
    (attention, (2, 17, 32)),
    (recurrent, (3, 7, 16)),
    (coded, (2, 3, 20, 20)),
)
