"""precision="bf16" between products: what is stored as bfloat16, by which kernels, how exactly."""

from __future__ import annotations

import numpy as np
import pytest
from every_way import LEVELS, assert_same_bytes

import compress_tensor
from compress_tensor import Graph, Node, Value
from compress_tensor.dtype import DType
from compress_tensor.engine.lower.halves import split_lanes
from compress_tensor.graph.interpret import interpret
from compress_tensor.native import library
from compress_tensor.native.call import call

CASES = 30
F32 = DType.FLOAT32
BRAIN = DType.BFLOAT16.numpy
#: a unit in the last place of a normal bfloat16 is at most this part of it
ULP = 2.0**-7


def to_brain(array: np.ndarray) -> np.ndarray:
    """Return floats as bfloat16, half to even."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).view(BRAIN)


def floats(array: np.ndarray) -> np.ndarray:
    """Return bfloat16 as floats."""
    return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def blocks(rng: np.random.Generator) -> Graph:
    """Return blocks of MobileNet, EfficientNet and SqueezeNet one after the other."""
    sizes = {
        "stem": (32, 3, 3, 3), "dw": (32, 1, 3, 3), "fc1": (16, 32, 1, 1), "fc2": (32, 16, 1, 1),
        "project": (32, 32, 1, 1), "squeeze": (16, 32, 1, 1), "e1": (24, 16, 1, 1),
        "e3": (40, 16, 3, 3), "dw5": (64, 1, 5, 5), "last": (48, 64, 1, 1), "head": (10, 48),
    }  # fmt: skip
    constants = {
        name: (1.5 * rng.standard_normal(size) / np.sqrt(np.prod(size[1:]))).astype(np.float32)
        for name, size in sizes.items()
    }
    same, wide = {"pads": [1, 1, 1, 1]}, {"pads": [2, 2, 2, 2], "strides": [2, 2]}
    nodes = [
        Node("Conv", ["x", "stem"], ["s"], {**same, "strides": [2, 2]}),
        Node("Sigmoid", ["s"], ["s1"]),
        Node("Mul", ["s", "s1"], ["a"]),
        Node("Conv", ["a", "dw"], ["d"], {**same, "group": 32}),
        Node("HardSwish", ["d"], ["d1"]),
        Node("GlobalAveragePool", ["d1"], ["g"]),
        Node("Conv", ["g", "fc1"], ["f1"]),
        Node("Relu", ["f1"], ["f2"]),
        Node("Conv", ["f2", "fc2"], ["f3"]),
        Node("Sigmoid", ["f3"], ["gate"]),
        Node("Mul", ["d1", "gate"], ["m"]),
        Node("Conv", ["m", "project"], ["p"]),
        Node("Add", ["p", "a"], ["r"]),
        Node("MaxPool", ["r"], ["q"], {"kernel_shape": [3, 3], "strides": [2, 2]}),
        Node("Conv", ["q", "squeeze"], ["z"]),
        Node("Relu", ["z"], ["z1"]),
        Node("Conv", ["z1", "e1"], ["e"]),
        Node("Relu", ["e"], ["ea"]),
        Node("Conv", ["z1", "e3"], ["h"], same),
        Node("Relu", ["h"], ["ha"]),
        Node("Concat", ["ea", "ha"], ["c"], {"axis": 1}),
        Node("Conv", ["c", "dw5"], ["v"], {**wide, "group": 64}),
        Node("Clip", ["v"], ["v1"]),
        Node("Conv", ["v1", "last"], ["l"]),
        Node("GlobalAveragePool", ["l"], ["t"]),
        Node("Flatten", ["t"], ["u"]),
        Node("Gemm", ["u", "head"], ["y"], {"transB": 1}),
    ]
    return Graph(nodes, [Value("x", F32)], [Value("y")], constants)


def image(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return a batch of images of an odd size."""
    return rng.standard_normal((n, 3, 37, 31)).astype(np.float32)


@pytest.mark.usefixtures("below_amx")
def test_same_bytes() -> None:
    """Threads, instruction set and neighbours change no bit."""
    rng = np.random.default_rng(1)
    graph, x = blocks(rng), image(rng, 3)
    first = compress_tensor.compile(graph, threads=1, precision="bf16").run({"x": x})["y"]
    for level in (*LEVELS, library.isa()):
        library.limit_isa(level)
        assert_same_bytes(first, graph, x, threads=(1, 3), precision="bf16")


def test_nothing_between_products_is_float32() -> None:
    """Large values are read and written as bfloat16 only; the casts are of means."""
    rng = np.random.default_rng(2)
    graph, x = blocks(rng), image(rng, 1)
    session = compress_tensor.compile(graph, threads=1, precision="bf16")
    records = [record for record, _ in session.profile({"x": x})]
    large = {
        record.kernel
        for record in records
        for view in record.operands
        if view is not None and view.dtype is F32 and view.size > x.size // 2
    }

    assert large <= {"frame"}
    assert {"depthwise_bf16", "unary_bf16", "binary", "max_pool", "reduce"} <= {
        record.kernel for record in records
    }
    assert all(r.operands[0].size <= 48 for r in records if r.kernel in ("cast", "copy"))


def test_near_float32() -> None:
    """Rounding some twenty values to 8 bits leaves the result within their noise."""
    rng = np.random.default_rng(3)
    graph, x = blocks(rng), image(rng, 8)
    full = compress_tensor.compile(graph).run({"x": x})["y"]
    half = compress_tensor.compile(graph, precision="bf16").run({"x": x})["y"]
    noise = float(np.sqrt(np.mean((half - full) ** 2) / np.mean(full**2)))

    assert 0 < noise <= np.sqrt(20 + 2 * 9) * 2.0**-9


def test_any_value_of_the_graph() -> None:
    """Values that exist only rounded, or inside others, can still be asked for."""
    rng = np.random.default_rng(4)
    graph, x = blocks(rng), image(rng, 2)
    names = ["a", "d1", "gate", "m", "r", "q", "ea", "c", "v1"]
    expected = compress_tensor.compile(graph).run({"x": x}, outputs=names)
    for chosen in (names, *([name] for name in names)):
        session = compress_tensor.compile(graph, precision="bf16")
        for name, found in session.run({"x": x}, outputs=chosen).items():
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected[name], atol=0.05 * abs(found).max())


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_concatenation_is_not_ready_before_its_last_part(precision: str) -> None:
    """A product does not add a concatenation of which only a part has been made."""
    rng = np.random.default_rng(5)
    shapes = {"w": (16, 16, 1, 1), "v": (16, 16, 1, 1), "u": (32, 16, 1, 1)}
    constants = {n: rng.standard_normal(s).astype(np.float32) / 4 for n, s in shapes.items()}
    nodes = [
        Node("Conv", ["x", "w"], ["a"]),
        Node("Conv", ["x", "u"], ["b"]),
        Node("Conv", ["x", "v"], ["c"]),
        Node("Concat", ["a", "c"], ["d"], {"axis": 1}),
        Node("Add", ["b", "d"], ["y"]),
    ]
    graph = Graph(nodes, [Value("x", F32)], [Value("y")], constants)
    x = rng.standard_normal((1, 16, 5, 7)).astype(np.float32)
    found = compress_tensor.compile(graph, precision=precision).run({"x": x})["y"]
    expected = interpret(graph, {"x": x})["y"]

    np.testing.assert_allclose(found, expected, atol=0.03 * abs(expected).max())


def logistic(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-x) in float64."""
    return 1 / (1 + np.exp(-x))


#: function number, alpha, beta, definition in float64, units in the last place that it may be off
FUNCTIONS = {
    "relu": (0, 0.0, 0.0, lambda x: np.maximum(x, 0), 0.5),
    "leaky_relu": (1, 0.125, 0.0, lambda x: np.where(x < 0, 0.125 * x, x), 0.5),
    "sigmoid": (5, 0.0, 0.0, logistic, 0.55),
    "hard_sigmoid": (6, 0.25, 0.5, lambda x: np.clip(0.25 * x + 0.5, 0, 1), 0.501),
    "hard_swish": (7, 0.0, 0.0, lambda x: x * np.clip(x / 6 + 0.5, 0, 1), 0.501),
    "swish": (8, 1.0, 0.0, lambda x: x * logistic(x), 0.55),
    "swish 1.702": (8, 1.702, 0.0, lambda x: x * logistic(np.float64(np.float32(1.702)) * x), 0.55),
    "gelu_tanh": (
        *(10, 0.0, 0.0),
        lambda x: x * logistic(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)),
        0.55,
    ),
    "clip": (37, -1.0, 6.0, lambda x: np.clip(x, -1, 6), 0.5),
    "tanh, by way of float32": (14, 0.0, 0.0, np.tanh, 0.501),
}


@pytest.mark.usefixtures("best_isa")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    """A function of every bfloat16 is off by little more than its rounding, the same everywhere."""
    code, alpha, beta, definition, units = FUNCTIONS[name]
    x = np.arange(1 << 16).astype(np.uint16).view(BRAIN)
    results = []
    for level in (*LEVELS, library.isa()):
        library.limit_isa(level)
        results.append(np.empty_like(x))
        call("unary_bf16", [x, results[-1]], [code, alpha, beta])
    given, found = floats(x), floats(results[0])
    # Of what is below -40 (-8) the result is next to nothing; e^80 stands for what is above.
    usual = (abs(given) > 1e-30) & (given > (-8 if name == "gelu_tanh" else -40)) & (given < 80)
    wide = given[usual].astype(np.float64)
    expected = definition(wide)
    unit = np.exp2(np.floor(np.log2(np.maximum(abs(expected), 1e-38))) - 7)
    # The sum inside the hard functions may cancel.
    slack = 2.0**-23 * np.maximum(abs(wide), 1) ** 2 if name.startswith("hard") else 0.0

    assert (abs(found[usual] - expected) <= units * unit + slack).all()
    assert np.isnan(found[np.isnan(given)]).all()
    for other in results[1:]:
        same = (other.view(np.uint16) == results[0].view(np.uint16)) | np.isnan(given)
        assert same.all()


@pytest.mark.usefixtures("best_isa")
@pytest.mark.parametrize("case", range(CASES))
def test_depthwise(case: int) -> None:
    """A depthwise convolution is that of its rounded input, rounded once."""
    rng = np.random.default_rng([case, 11])
    channels, kernel = int(rng.choice([1, 2, 16, 31, 32, 33, 70, 144])), rng.choice([1, 3, 5], 2)
    size = [int(rng.integers(k, 15)) for k in kernel]
    pads = [int(rng.integers(0, k // 2 + 1)) for k in (*kernel, *kernel)]
    strides, dilations = [int(s) for s in rng.integers(1, 3, 2)], [1, 1]
    x = to_brain(rng.standard_normal((2, *size, channels))).transpose(0, 3, 1, 2)
    w = rng.standard_normal((channels, 1, *kernel)).astype(np.float32)
    bias = rng.standard_normal(channels).astype(np.float32)
    attributes = {"group": channels, "pads": pads, "strides": strides, "dilations": dilations}
    node = Node("Conv", ["x", "w", "b"], ["y"], attributes)
    bounds = []
    for given in (np.asarray, abs):
        constants = {"w": given(w.astype(np.float64)), "b": given(bias.astype(np.float64))}
        graph = Graph([node], [Value("x")], [Value("y")], constants)
        wide = floats(np.ascontiguousarray(x)).astype(np.float64)
        bounds.append(interpret(graph, {"x": given(wide)})["y"])
    exact, magnitude = bounds
    n, c, height, width = exact.shape
    packed = [split_lanes(w.reshape(channels, -1).T), split_lanes(bias[None])[:, 0]]
    words = [*map(int, kernel), *strides, *pads[:2], *dilations]
    results = []
    for level in (*LEVELS, library.isa()):
        library.limit_isa(level)
        out = np.zeros((n, height, width, c), BRAIN).transpose(0, 3, 1, 2)
        call("depthwise_bf16", [x, *packed, out], [*words, -np.inf, np.inf])
        results.append(np.ascontiguousarray(out))
    found = floats(results[0])

    slack = (kernel.prod() + 2) * 2.0**-24 * magnitude
    assert (abs(found - exact) <= ULP / 2 * abs(exact) + slack).all()
    assert all(other.tobytes() == results[0].tobytes() for other in results)


@pytest.mark.usefixtures("best_isa")
def test_maximum_over_windows() -> None:
    """It is the maximum of the floats, a NaN among them wins, the same on every instruction set."""
    rng = np.random.default_rng(12)
    for channels in (1, 7, 32, 65):
        x = to_brain(rng.standard_normal((2, 9, 11, channels)))
        x.view(np.uint16)[rng.random(x.shape) < 0.02] = 0xFFC1  # a NaN with a sign
        x.view(np.uint16)[rng.random(x.shape) < 0.05] = 0xFF80  # minus infinity
        wide = floats(x)
        rows = np.stack([wide[:, i : i + 7 : 2, :, :] for i in range(3)]).max(0)
        expected = np.stack([rows[:, :, i : i + 9 : 2, :] for i in range(3)]).max(0)
        for level in (*LEVELS, library.isa()):
            library.limit_isa(level)
            out = np.zeros(expected.shape, BRAIN)
            both = [array.transpose(0, 3, 1, 2) for array in (x, out)]
            call("max_pool", both, [3, 3, 2, 2, 0, 0, 0, 0, 1, 1])

            np.testing.assert_array_equal(floats(out), expected)
