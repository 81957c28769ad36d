"""The model files that test_fuzz.py mutates."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from random_codes import quantized
from random_networks import random_network

from compress_export.onnx_write import to_bytes


def network(nodes: list[Any], constants: dict[str, np.ndarray], shape: list[Any]) -> bytes:
    """Return a model with one float input ``x`` and one output ``y``."""
    graph = helper.make_graph(
        nodes,
        "fuzzed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def convolutional() -> bytes:
    """Return a small image network with most of the usual layers."""
    rng = np.random.default_rng(1)

    def weights(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    make = helper.make_node
    nodes = [
        make("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        make("BatchNormalization", ["c", "b", "b", "b", "v"], ["n"]),
        make("Relu", ["n"], ["r"]),
        make("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        make("Conv", ["p", "d"], ["e"], group=4, kernel_shape=[3, 3], strides=[2, 2]),
        make("Concat", ["e", "e"], ["f"], axis=1),
        make("Slice", ["f", "one", "nine", "one"], ["s"]),
        make("Resize", ["s", "", "scales"], ["z"], mode="linear"),
        make("GlobalAveragePool", ["z"], ["g"]),
        make("Reshape", ["g", "shape"], ["h"]),
        make("Gemm", ["h", "m"], ["o"], transB=1),
        make("Softmax", ["o"], ["y"], axis=-1),
    ]
    constants = {
        "w": weights(4, 3, 3, 3),
        "b": weights(4),
        "v": np.abs(weights(4)) + 1,
        "d": weights(4, 1, 3, 3),
        "one": np.array([1], np.int64),
        "nine": np.array([7], np.int64),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "shape": np.array([0, -1], np.int64),
        "m": weights(5, 6),
    }
    return network(nodes, constants, ["N", 3, 12, 12])


def sequential() -> bytes:
    """Return a recurrent network with shape arithmetic and quantized weights."""
    rng = np.random.default_rng(2)
    make = helper.make_node
    nodes = [
        make("Shape", ["x"], ["s"]),
        make("Gather", ["s", "zero"], ["n"], axis=0),
        make("Concat", ["n", "minus"], ["t"], axis=0),
        make("LSTM", ["x", "w", "r"], ["l", "", ""], hidden_size=4),
        make("Squeeze", ["l", "one"], ["q"]),
        make("DequantizeLinear", ["i8", "scale"], ["dq"]),
        make("MatMul", ["q", "dq"], ["mm"]),
        make("QuantizeLinear", ["mm", "scale", "zp"], ["ql"]),
        make("DequantizeLinear", ["ql", "scale", "zp"], ["dl"]),
        make("Transpose", ["dl"], ["tr"], perm=[1, 0, 2]),
        make("Reshape", ["dl", "t"], ["f"]),
        make("ReduceMean", ["f"], ["y"], axes=[1], keepdims=0),
    ]
    constants = {
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "minus": np.array([-1], np.int64),
        "w": rng.standard_normal((1, 16, 6)).astype(np.float32),
        "r": rng.standard_normal((1, 16, 4)).astype(np.float32),
        "i8": rng.integers(-128, 128, (4, 3)).astype(np.int8),
        "scale": np.array(0.02, np.float32),
        "zp": np.array(3, np.int8),
    }
    return network(nodes, constants, ["T", "N", 6])


def branching() -> bytes:
    """Return a network with subgraphs, a function and a sparse initializer."""
    make = helper.make_node
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, None)
    then = helper.make_graph([make("Relu", ["x"], ["o"])], "then", [], [out])
    other = helper.make_graph([make("Twice", ["x"], ["o"], domain="own")], "other", [], [out])
    nodes = [
        make("ReduceMax", ["x"], ["m"], keepdims=0),
        make("Greater", ["m", "sparse"], ["c"]),
        make("If", ["c"], ["i"], then_branch=then, else_branch=other),
        make("Twice", ["i"], ["y"], domain="own"),
    ]
    model = onnx.ModelProto.FromString(network(nodes, {}, ["N", 4]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    body = [make("Add", ["a", "a"], ["b"])]
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Twice", ["a"], ["b"], body, imports))
    values = numpy_helper.from_array(np.array([0.5], np.float32), "sparse")
    indices = numpy_helper.from_array(np.array([0], np.int64))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1]))
    return model.SerializeToString()


def integer() -> bytes:
    """Return an image network of bytes: fused integer kernels in every layer."""
    rng = np.random.default_rng(3)
    make = helper.make_node
    grid = ["s", "z"]
    nodes = [
        make("QuantizeLinear", ["x", *grid], ["q"]),
        make("DequantizeLinear", ["q", *grid], ["d"]),
    ]
    constants = {"s": np.array(0.05, np.float32), "z": np.array(120, np.uint8)}
    before = "d"

    def codes(name: str) -> str:
        nodes.append(make("QuantizeLinear", [name, *grid], [f"{name}_q"]))
        nodes.append(make("DequantizeLinear", [f"{name}_q", *grid], [f"{name}_d"]))
        return f"{name}_d"

    for n, (shape, group) in enumerate((((8, 3, 3, 3), 1), ((8, 1, 3, 3), 8), ((8, 8, 1, 1), 1))):
        constants[f"w{n}"] = rng.integers(-128, 128, shape).astype(np.int8)
        constants[f"t{n}"] = np.full(8, 0.01, np.float32)
        constants[f"u{n}"] = np.zeros(8, np.int8)
        constants[f"b{n}"] = rng.standard_normal(8).astype(np.float32)
        nodes.append(make("DequantizeLinear", [f"w{n}", f"t{n}", f"u{n}"], [f"v{n}"], axis=0))
        pads = [1] * 4 if shape[2] == 3 else [0] * 4
        nodes.append(make("Conv", [before, f"v{n}", f"b{n}"], [f"c{n}"], group=group, pads=pads))
        nodes.append(make("Relu", [f"c{n}"], [f"r{n}"]))
        before = codes(f"r{n}")
    nodes += [make("Add", [before, "r0_d"], ["a"])]
    nodes += [make("MaxPool", [codes("a")], ["p"], kernel_shape=[2, 2], strides=[2, 2])]
    nodes += [make("GlobalAveragePool", ["p"], ["g"])]
    nodes += [make("Flatten", [codes("g")], ["f"]), make("MatMul", ["f", "v3"], ["y"])]
    constants["w3"] = rng.integers(-128, 128, (8, 5)).astype(np.int8)
    nodes.insert(0, make("DequantizeLinear", ["w3", "s", "u"], ["v3"]))
    constants["u"] = np.array(0, np.int8)
    return network(nodes, constants, ["N", 3, 12, 12])


def random_ones() -> list[bytes]:
    """Return random networks, every other one quantized."""
    found = []
    for seed in range(30):
        net = random_network(np.random.default_rng([4, seed]), 6)
        names = net.leaves()[-2:]
        if names:
            graph = quantized(net, 1.0)[0] if seed % 2 else net.graph(names)
            found.append(to_bytes(graph))
    return found
