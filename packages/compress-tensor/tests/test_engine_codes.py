"""Fusions of operators on codes: fewer records, the same bytes."""

from __future__ import annotations

import numpy as np
import pytest

from compress_tensor import DType, Graph, Node, Value, compile  # noqa: A004


def gated(rng, op, function, *, swapped=False, watched=False):
    """Return y = op(x, function(x)) on random grids; ``watched``: the function's codes too."""
    constants = {}

    def grid(name, low, high):
        scale = np.float32((high - low) / 255 * rng.uniform(1.0, 1.3))
        zero = np.clip(np.rint(-low / scale), 0, 255)
        constants[f"{name}_s"], constants[f"{name}_z"] = np.array(scale), np.array(zero, np.uint8)
        return [f"{name}_s", f"{name}_z"]

    x, f, y = grid("x", -6, 7), grid("f", -1, 1), grid("y", -3, 7)
    inputs = ["xf", "ff"][:: -1 if swapped else 1]
    nodes = [
        Node("QuantizeLinear", ["x", *x], ["xq"]),
        Node("DequantizeLinear", ["xq", *x], ["xf"]),
        Node(function, ["xf"], ["f"]),
        Node("QuantizeLinear", ["f", *f], ["fq"]),
        Node("DequantizeLinear", ["fq", *f], ["ff"]),
        Node(op, inputs, ["y"]),
        Node("QuantizeLinear", ["y", *y], ["yq"]),
    ]
    outputs = [Value("yq"), *([Value("fq")] if watched else [])]
    given = [Value("x", DType.FLOAT32, (1, 8, 40, 8))]
    return Graph(nodes=nodes, inputs=given, outputs=outputs, constants=constants)


def kernels(session, feeds):
    return [record.kernel for record, _ in session.profile(feeds)]


@pytest.mark.parametrize("op", ["Mul", "Add"])
@pytest.mark.parametrize("function", ["Sigmoid", "Tanh", "HardSigmoid", "Softplus"])
def test_a_gate_is_one_table(op, function):
    """X * sigmoid(x) on codes is one look-up, of the bytes that table and product give."""
    feeds = {"x": np.linspace(-9, 9, 2560, dtype=np.float32).reshape(1, 8, 40, 8)}
    for seed in range(6):
        made = [
            compile(gated(np.random.default_rng(seed), op, function, swapped=seed % 2, watched=w))
            for w in (True, False)
        ]
        apart, fused = (session.run(feeds)["yq"] for session in made)

        assert np.array_equal(apart, fused)
        assert len(np.unique(fused)) > 50
        assert kernels(made[1], feeds) == ["quantize_linear", "lut_u8"]
        assert "lut_u8" in kernels(made[0], feeds)
        assert f"{op.lower()}_q8" in kernels(made[0], feeds)
