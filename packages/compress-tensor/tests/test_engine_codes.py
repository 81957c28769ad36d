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


def block(rng, *, op="MatMul", norm=True, float_too=True, watched=False, dtype=np.uint8):
    """Return a product of codes, a float residual, and a normalisation whose result is quantized.

    ``watched``: every value in between is an output, so that each operator has its own record.
    """
    shape = (2, 30, 24) if op == "MatMul" else (2, 24, 5, 6)
    axis = len(shape) - 1 if op == "MatMul" else 1
    weights = rng.integers(-127, 128, (24, 24) if op == "MatMul" else (24, 24, 1, 1), np.int8)
    constants = {
        "as": np.array(0.03, np.float32),
        "az": np.array(128, np.uint8),
        "w": weights,
        "ws": rng.uniform(1e-3, 2e-3, 24).astype(np.float32),
        "wz": np.zeros(24, np.int8),
        "one": np.ones(shape[-1], np.float32),
        "ys": np.array(0.021, np.float32),
        "yz": np.array(5, dtype),
    }
    y = "n" if norm else "r"
    nodes = [
        Node("QuantizeLinear", ["x", "as", "az"], ["aq"]),
        Node("DequantizeLinear", ["aq", "as", "az"], ["a"]),
        Node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], {"axis": 1 if axis > 1 else 0}),
        Node(op, ["a", "wf"], ["p"]),
        Node("Add", ["x", "p"], ["r"]),
        *([Node("LayerNormalization", ["r", "one"], ["n"])] if norm else []),
        Node("QuantizeLinear", [y, "ys", "yz"], ["codes"]),
    ]
    outputs = ["codes", *([y] if float_too else []), *(["p", "r"] if watched else [])]
    return Graph(
        nodes=nodes,
        inputs=[Value("x", DType.FLOAT32, shape)],
        outputs=[Value(name) for name in dict.fromkeys(outputs)],
        constants=constants,
    )


@pytest.mark.parametrize("op", ["MatMul", "Conv"])
@pytest.mark.parametrize("norm", [True, False], ids=["norm", "plain"])
@pytest.mark.parametrize("float_too", [True, False], ids=["both", "codes"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_a_block_of_a_transformer_on_codes(op, norm, float_too, dtype, level, rng):
    """The residual is added by the product, the codes are written by the normalisation."""
    given = {"op": op, "norm": norm, "float_too": float_too, "dtype": dtype}
    seed = int(rng.integers(1 << 30))
    fused, apart = (
        block(np.random.default_rng(seed), **given, watched=watched) for watched in (False, True)
    )
    x = (rng.standard_normal(fused.inputs[0].shape) * 2).astype(np.float32)
    expected = compile(apart, threads=1).run({"x": x})
    for threads in (1, 3):
        session = compile(fused, threads=threads)
        found = session.run({"x": x})
        assert all(found[name].tobytes() == expected[name].tobytes() for name in found)
    used = kernels(session, {"x": x})
    assert not {"binary", "chain_f32"} & {*used}
    assert used.count("quantize_linear") == (1 if norm else 2)
    assert {"binary", "chain_f32"} & {*kernels(compile(apart, threads=1), {"x": x})}


@pytest.fixture
def rng():
    """One seeded generator per test."""
    return np.random.default_rng(35)
