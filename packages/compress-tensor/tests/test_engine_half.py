"""precision="bf16": products of operands rounded to bfloat16, the same bytes everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from every_way import LEVELS, assert_same_bytes
from session_networks import attention

import compress_tensor
from compress_tensor import Graph, InputError, Node, Value
from compress_tensor.dtype import DType
from compress_tensor.graph.interpret import interpret
from compress_tensor.native import library

CASES = 40
F32 = DType.FLOAT32


def rounded(array: np.ndarray) -> np.ndarray:
    """Return float32 numbers rounded to the nearest bfloat16, half to even, as float64."""
    bits = array.astype(np.float32).view(np.uint32).astype(np.uint64)
    near = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return near.astype(np.uint32).view(np.float32).astype(np.float64)


def graph_of(nodes: list[Node], constants: dict[str, Any], output: str) -> Graph:
    """Return a graph from x to one output."""
    return Graph(
        nodes=nodes, inputs=[Value("x", F32)], outputs=[Value(output)], constants=constants
    )


def random_product(rng: np.random.Generator) -> tuple[Graph, np.ndarray]:
    """Return one Conv, MatMul or Gemm with what its kernel takes over, and its input."""
    kind = rng.choice(["Conv", "MatMul", "Gemm"])
    n = int(rng.integers(16, 80))
    if kind != "Conv":
        m, k = int(rng.integers(1, 40)), int(rng.choice([16, 17, 33, 100, 2048]))
        x = rng.standard_normal((m, k)).astype(np.float32)
        w = rng.standard_normal((k, n)).astype(np.float32)
        nodes = [Node(str(kind), ["x", "w"], ["y"]), Node("Relu", ["y"], ["z"])]
        return graph_of(nodes, {"w": w}, str(rng.choice(["y", "z"]))), x
    groups = int(rng.choice([1, 1, 2]))
    ic, oc = int(rng.choice([3, 8, 9, 16, 32])), n * groups
    kernel = int(rng.choice([1, 3, 5]))
    if ic * kernel * kernel < 16 or (groups == 2 and ic % 2):
        ic = 16
    size = tuple(int(d) for d in rng.integers(kernel, 12, 2))
    x = rng.standard_normal((int(rng.integers(1, 3)), ic * groups, *size)).astype(np.float32)
    w = rng.standard_normal((oc, ic, kernel, kernel)).astype(np.float32)
    b = rng.standard_normal(oc).astype(np.float32)
    pads = [int(p) for p in rng.integers(0, kernel // 2 + 1, 4)]
    strides = [int(s) for s in rng.integers(1, 3, 2)]
    attributes: dict[str, Any] = {"group": groups, "pads": pads, "strides": strides}
    return graph_of([Node("Conv", ["x", "w", "b"], ["y"], attributes)], {"w": w, "b": b}, "y"), x


def exact(graph: Graph, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the result with operands rounded, else in float64, and the sum of magnitudes."""
    constants = {
        n: rounded(a) if n == "w" else a.astype(np.float64) for n, a in graph.constants.items()
    }
    (name,) = [value.name for value in graph.outputs]
    results = []
    for absolute in (False, True):
        held = {n: abs(a) if absolute else a for n, a in constants.items()}
        given = rounded(x)
        wide = Graph(graph.nodes, [Value("x")], graph.outputs, held)
        results.append(interpret(wide, {"x": abs(given) if absolute else given})[name])
    return results[0], results[1]


@pytest.mark.usefixtures("best_isa")
@pytest.mark.parametrize("case", range(CASES))
def test_one_product(case: int) -> None:
    """A product is that of its rounded operands, up to the rounding of k additions in float32."""
    rng = np.random.default_rng([case, 7])
    graph, x = random_product(rng)
    session = compress_tensor.compile(graph, threads=1, precision="bf16")
    (found,) = session.run({"x": x}).values()
    expected, magnitude = exact(graph, x)
    w = graph.constants["w"]
    terms = w.shape[0] if w.ndim == 2 else w[0].size
    how = " ".join(line.how for line in session.report({"x": x}))

    assert "bf16" in how
    assert found.dtype == np.float32
    assert (abs(found - expected) <= 2 * (terms + 3) * 2.0**-24 * magnitude).all()


def network(rng: np.random.Generator) -> Graph:
    """Return convolutions, a residual and a head: all ways from one product to the next."""

    def floats(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    same = {"pads": [1, 1, 1, 1]}
    constants = {
        "w0": floats(32, 3, 3, 3), "w1": floats(48, 32, 1, 1), "w2": floats(32, 48, 3, 3),
        "d": floats(32, 1, 3, 3), "w3": floats(64, 32, 3, 3), "b3": floats(64, 1)[:, 0],
        "m": floats(64, 40), "h": floats(10, 40), "axes": np.array([2, 3]),
        "shape": np.array([0, -1]),
    }  # fmt: skip
    nodes = [
        Node("Conv", ["x", "w0"], ["a"], {**same, "strides": [2, 2]}),
        Node("Relu", ["a"], ["a1"]),
        Node("Conv", ["a1", "w1"], ["b"]),
        Node("Clip", ["b"], ["b1"]),
        Node("Conv", ["b1", "w2"], ["c"], same),
        Node("Add", ["c", "a1"], ["c1"]),
        Node("Conv", ["c1", "d"], ["e"], {**same, "group": 32}),
        Node("Conv", ["e", "w3", "b3"], ["f"], {**same, "strides": [2, 2]}),
        Node("Relu", ["f"], ["f1"]),
        Node("ReduceMean", ["f1", "axes"], ["g"], {"keepdims": 1}),
        Node("Reshape", ["g", "shape"], ["g1"]),
        Node("MatMul", ["g1", "m"], ["i"]),
        Node("Relu", ["i"], ["i1"]),
        Node("Gemm", ["i1", "h"], ["j"], {"transB": 1}),
    ]
    return graph_of(nodes, constants, "j")


@pytest.mark.usefixtures("below_amx")
def test_same_bytes() -> None:
    """Threads, instruction set and neighbours change no bit of a whole network."""
    rng = np.random.default_rng(3)
    graph = network(rng)
    x = rng.standard_normal((3, 3, 21, 19)).astype(np.float32)
    first = compress_tensor.compile(graph, threads=1, precision="bf16").run({"x": x})["j"]
    for threads in (2, 3, 8):
        session = compress_tensor.compile(graph, threads=threads, precision="bf16")

        assert first.tobytes() == session.run({"x": x})["j"].tobytes()
    for level in LEVELS:
        library.limit_isa(level)
        assert_same_bytes(first, graph, x, threads=(1,), precision="bf16")


def test_near_float32() -> None:
    """A network is as far from its float32 form as operands rounded to 8 bits make it."""
    rng = np.random.default_rng(4)
    graph = network(rng)
    x = rng.standard_normal((8, 3, 21, 19)).astype(np.float32)
    full = compress_tensor.compile(graph).run({"x": x})["j"]
    half = compress_tensor.compile(graph, precision="bf16").run({"x": x})["j"]
    noise = float(np.sqrt(np.mean((half - full) ** 2) / np.mean(full**2)))

    assert 0 < noise
    # Six products, each with two operands off by 2**-9 at most, with independent signs.
    assert noise <= np.sqrt(2 * 6) * 2.0**-9


def residual_blocks(rng: np.random.Generator) -> Graph:
    """Return two blocks of convolutions with a sum, the first with a convolution beside."""
    same = {"pads": [1, 1, 1, 1]}
    sizes = {"w": (32, 16, 3, 3), "s": (32, 16, 1, 1), "v": (32, 32, 3, 3), "u": (32, 32, 3, 3)}
    constants = {
        n: (rng.standard_normal(size) / np.sqrt(np.prod(size[1:]))).astype(np.float32)
        for n, size in sizes.items()
    }
    nodes = [
        Node("Conv", ["x", "s"], ["side"]),
        Node("Conv", ["x", "w"], ["a"], same),
        Node("Add", ["a", "side"], ["b"]),
        Node("Relu", ["b"], ["c"]),
        Node("Conv", ["c", "v"], ["d"], same),
        Node("Relu", ["d"], ["e"]),
        Node("Conv", ["e", "u"], ["f"], same),
        Node("Add", ["c", "f"], ["g"]),
    ]
    return graph_of(nodes, constants, "g")


@pytest.mark.usefixtures("below_amx")
def test_what_is_added_to_a_product_is_stored_rounded() -> None:
    """No value of a chain of residual blocks exists in two types; the same bytes everywhere."""
    rng = np.random.default_rng(9)
    graph = residual_blocks(rng)
    x = rng.standard_normal((2, 16, 9, 7)).astype(np.float32)
    session = compress_tensor.compile(graph, threads=1, precision="bf16")
    first = session.run({"x": x})["g"]
    full = compress_tensor.compile(graph).run({"x": x})["g"]
    kernels = [step.kernel for step, _ in session.profile({"x": x})]

    assert kernels.count("cast") == 2  # of x, and of c: the result that it is added to is float32
    assert np.sqrt(np.mean((first - full) ** 2) / np.mean(full**2)) < np.sqrt(6) * 2.0**-9
    for level in LEVELS:
        library.limit_isa(level)
        session = compress_tensor.compile(graph, threads=3, precision="bf16")
        alone = [session.run({"x": x[i : i + 1]})["g"] for i in range(len(x))]

        assert first.tobytes() == np.concatenate(alone).tobytes()


@pytest.mark.usefixtures("below_amx")
def test_attention_between_products() -> None:
    """From the products that make q, k and v to the one behind: rounded once, the same bytes."""
    rng = np.random.default_rng(8)
    graph = attention(rng)
    x = rng.standard_normal((3, 37, 32)).astype(np.float32)
    session = compress_tensor.compile(graph, threads=1, precision="bf16")
    first = session.run({"x": x})["y"]
    how = [line.how for line in session.report({"x": x})]
    full = compress_tensor.compile(graph).run({"x": x})["y"]

    assert sum("attention_bf16" in line for line in how) == 1
    assert [step.kernel for step, _ in session.profile({"x": x})].count("cast") == 1
    assert 0 < np.sqrt(np.mean((first - full) ** 2) / np.mean(full**2)) < 2.0**-7
    for level in (*LEVELS, library.isa()):
        library.limit_isa(level)
        assert_same_bytes(first, graph, x, threads=(1, 3), precision="bf16")


@pytest.mark.parametrize("tail", ["", "Relu", "Add"])
def test_graphs_of_bfloat16_stay_in_it(tail: str) -> None:
    """No record converts between two products of a bfloat16 graph, nor before or after them."""
    rng = np.random.default_rng(5)
    brain = DType.BFLOAT16
    w, v = (rng.standard_normal((k, n)).astype(np.float32) for k, n in ((40, 64), (64, 48)))
    bits = {name: (a.view(np.uint32) >> 16).astype(np.uint16) for name, a in (("w", w), ("v", v))}
    nodes = [Node("MatMul", ["x", "w"], ["y"])]
    if tail:
        nodes.append(Node(tail, ["y", "y"] if tail == "Add" else ["y"], ["z"]))
    nodes.append(Node("MatMul", [nodes[-1].outputs[0], "v"], ["out"]))
    graph = Graph(
        nodes=nodes,
        inputs=[Value("x", brain)],
        outputs=[Value("out")],
        constants={name: a.view(brain.numpy) for name, a in bits.items()},
    )
    x = rng.standard_normal((9, 40)).astype(np.float32)
    given = {"x": (x.view(np.uint32) >> 16).astype(np.uint16).view(brain.numpy)}

    session = compress_tensor.compile(graph, threads=1, precision="bf16")
    assert all("cast" not in line.how for line in session.report(given)) or tail == "Add"
    found = session.run(given)["out"]
    assert found.dtype == brain.numpy
    want = interpret(graph, given)["out"]
    near, exact = (a.view(np.uint16).astype(np.uint32) << 16 for a in (found, want))
    error = np.abs(near.view(np.float32) - exact.view(np.float32))
    assert error.max() <= 2**-6 * np.abs(exact.view(np.float32)).max()
    assert_same_bytes(found, graph, given["x"], threads=(1, 2, 3), precision="bf16")


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_cast_like_has_a_kernel(precision: str) -> None:
    """A cast that takes its type from another value is planned as any cast."""
    graph = graph_of([Node("CastLike", ["x", "t"], ["y"])], {"t": np.zeros(1, np.int32)}, "y")
    x = np.array([[1.5, -2.5]], np.float32)
    session = compress_tensor.compile(graph, precision=precision)

    assert [line.how for line in session.report({"x": x})] == ["cast"]
    assert session.run({"x": x})["y"].tolist() == [[1, -2]]


def test_any_value_of_the_graph() -> None:
    """Values that exist only rounded can still be asked for."""
    rng = np.random.default_rng(5)
    graph = network(rng)
    x = rng.standard_normal((1, 3, 21, 19)).astype(np.float32)
    session = compress_tensor.compile(graph, precision="bf16")
    values = session.run({"x": x}, outputs=["a1", "b1", "c1", "f1", "i1"])
    expected = compress_tensor.compile(graph).run({"x": x}, outputs=list(values))
    for name, found in values.items():
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[name], atol=2.0**-6 * abs(found).max())


@pytest.mark.usefixtures("best_isa")
def test_report_without_the_instruction() -> None:
    """Where the processor has no VDPBF16PS the report says what that means."""
    graph = network(np.random.default_rng(6))
    x = np.zeros((1, 3, 21, 19), np.float32)
    for isa in ("avx512bf16", "avx512vnni"):
        library.limit_isa(isa)
        report = compress_tensor.compile(graph, precision="bf16").report({"x": x})
        slower = any("slower than float32" in line.how for line in report)

        assert slower == (library.isa() != "avx512bf16")


def test_unknown_precision() -> None:
    """Another precision is refused with the ones there are."""
    graph = network(np.random.default_rng(7))
    with pytest.raises(InputError, match="float32, bf16, not 'fp8'"):
        compress_tensor.compile(graph, precision="fp8")
