"""Winograd's filtering: fewer multiplications, bounded errors, the same bytes everywhere."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from every_way import LEVELS, assert_same_bytes

import compress_tensor
from compress_tensor import Graph, Node, Value
from compress_tensor.dtype import DType
from compress_tensor.engine.lower import winograd
from compress_tensor.errors import InputError
from compress_tensor.graph.interpret import interpret
from compress_tensor.native import library

UNIT = 2.0**-24  #: of rounding in float32
CASES = 24
KERNEL = "conv_winograd_f32"
#: where the filtering interpolates, beside infinity, by the tile (libcore's winograd.h)
POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 0.625, -0.625, 1.5, -1.5)}


def always(monkeypatch: pytest.MonkeyPatch, tile: int) -> None:
    """Use this tile for every convolution that can have one."""
    monkeypatch.setattr(winograd, "best_tile", lambda *shape: tile)


def graph_of(nodes: list[Node], constants: dict[str, Any], output: str) -> Graph:
    """Return a graph from x to one output."""
    return Graph(
        nodes=nodes,
        inputs=[Value("x", DType.FLOAT32)],
        outputs=[Value(output)],
        constants=constants,
    )


def random_convolution(rng: np.random.Generator) -> tuple[Graph, np.ndarray]:
    """Return a convolution, perhaps with bias, residual and clip, and its input."""
    sides = (1, 3, 15, 16, 17, 33, 64, 70)
    c, oc = (int(rng.choice(sides)) for _ in range(2))
    pads = [int(p) for p in rng.integers(0, 3, 4)]
    if rng.random() < 0.5:
        pads, oc = [1, 1, 1, 1], c
    size = [int(d) for d in rng.integers(3, 15, 2)]
    x = rng.standard_normal((int(rng.integers(1, 4)), c, *size)).astype(np.float32)
    w = rng.standard_normal((oc, c, 3, 3)).astype(np.float32)
    b = rng.standard_normal(oc).astype(np.float32)
    inputs = ["x", "w", "b"] if rng.random() < 0.7 else ["x", "w"]
    nodes = [Node("Conv", inputs, ["y"], {"pads": pads})]
    name = "y"
    if pads == [1, 1, 1, 1] and oc == c:
        nodes.append(Node("Add", [name, "x"], ["sum"]))
        name = "sum"
    if rng.random() < 0.5:
        nodes.append(Node("Relu", [name], ["z"]))
        name = "z"
    return graph_of(nodes, {"w": w, "b": b}, name), x


def transform(tile: int) -> np.ndarray:
    """Return G: row p is [1, p, p^2] / prod over the other points q of (p - q)."""
    points = POINTS[tile]
    rows = [np.array([1.0, p, p * p]) / prod(p - q for q in points if q != p) for p in points]
    return np.stack([*rows, np.array([0.0, 0.0, 1.0])])


def matrices(tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return A', G and B' of the filtering, by interpolation at its points."""
    points = POINTS[tile]
    n = tile + 2
    a, b = np.zeros((tile, n)), np.zeros((n, n))
    for j, p in enumerate(points):
        a[:, j] = [p**i for i in range(tile)]
        b[j, : n - 1] = np.poly([q for q in points if q != p])[::-1]
    a[-1, -1] = 1
    b[-1] = np.poly(points)[::-1]
    return a, transform(tile), b


def magnitude(x: np.ndarray, w: np.ndarray, pads: list[int], tile: int) -> np.ndarray:
    """Return the sums with every factor and matrix replaced by its absolute value."""
    a, g, b = (np.abs(m) for m in matrices(tile))
    top, left, bottom, right = pads
    padded = np.pad(np.abs(x).astype(float), ((0, 0), (0, 0), (top, bottom), (left, right)))
    height, width = padded.shape[2] - 2, padded.shape[3] - 2
    padded = np.pad(padded, ((0, 0), (0, 0), (0, tile), (0, tile)))
    u = np.einsum("ai,bj,ocij->ocab", g, g, np.abs(w).astype(float))
    out = np.zeros((x.shape[0], w.shape[0], height + tile, width + tile))
    for i in range(0, height, tile):
        for j in range(0, width, tile):
            d = padded[:, :, i : i + tile + 2, j : j + tile + 2]
            v = np.einsum("ai,bj,ncij->ncab", b, b, d)
            m = np.einsum("ocab,ncab->noab", u, v)
            out[:, :, i : i + tile, j : j + tile] = np.einsum("ia,jb,noab->noij", a, a, m)
    return out[:, :, :height, :width]


@pytest.mark.parametrize("tile", POINTS)
def test_the_matrices_filter(tile: int) -> None:
    """A' [(G g) * (B' d)] is the correlation of d with g: in exact arithmetic an identity."""
    a, g, b = matrices(tile)
    product = np.einsum("ia,ak,ad->idk", a, g, b)
    expected = np.zeros((tile, tile + 2, 3))
    for i in range(tile):
        for k in range(3):
            expected[i, i + k, k] = 1

    np.testing.assert_allclose(product, expected, atol=1e-14)


@pytest.mark.usefixtures("best_isa")
@pytest.mark.parametrize("tile", POINTS)
@pytest.mark.parametrize(("oc", "ic"), [(1, 1), (16, 14), (17, 15), (50, 29), (33, 80)])
def test_packed_kernels(oc: int, ic: int, tile: int) -> None:
    """G g G' in panels of 16 columns, zeros past the last, the same bytes everywhere."""
    w = np.random.default_rng(oc).standard_normal((oc, ic, 3, 3)).astype(np.float32)
    g = transform(tile)
    u = np.einsum("ai,bj,ocij->abco", g, g, w.astype(float)).reshape(-1, ic, oc)
    u = np.pad(u, ((0, 0), (0, 0), (0, -oc % 16))).reshape(len(u), ic, -1, 16).swapaxes(1, 2)
    found = []
    for level in LEVELS:
        library.limit_isa(level)
        found.append(winograd.pack_kernel(w, tile))

    np.testing.assert_allclose(found[0], u, rtol=UNIT, atol=1e-15)
    assert {packed.tobytes() for packed in found} == {found[0].tobytes()}


@pytest.mark.parametrize("tile", POINTS)
@pytest.mark.parametrize("case", range(CASES))
def test_one_convolution(case: int, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is at most what the roundings on the way can make of the magnitudes.

    Along a path lie 3 roundings per input transform in each of 2 dimensions, 1 of the weight,
    C of the sum, 4 per output transform in each dimension, 2 of bias and residual.
    """
    rng = np.random.default_rng([case, 11])
    graph, x = random_convolution(rng)
    always(monkeypatch, tile)
    session = compress_tensor.compile(graph, threads=1, winograd=4)
    (found,) = session.run({"x": x}).values()
    wide = {n: v.astype(float) for n, v in graph.constants.items()}
    (name,) = [value.name for value in graph.outputs]
    expected = interpret(
        Graph(graph.nodes, [Value("x")], graph.outputs, wide), {"x": x.astype(float)}
    )[name]
    w, b = graph.constants["w"], graph.constants["b"]
    most = magnitude(x, w, list(graph.nodes[0].attributes["pads"]), tile)  # type: ignore[arg-type]
    most += np.abs(b).max() + (np.abs(x).max() if "sum" in name or len(graph.nodes) > 1 else 0)

    assert any(KERNEL in line.how for line in session.report({"x": x}))
    assert found.dtype == np.float32
    assert (np.abs(found - expected) <= (w.shape[1] + 18) * UNIT * most).all()


@pytest.mark.parametrize("tile", POINTS)
def test_against_torch(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as torch in float64."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(tile)
    always(monkeypatch, tile)
    x = rng.standard_normal((2, 40, 13, 10)).astype(np.float32)
    w = rng.standard_normal((50, 40, 3, 3)).astype(np.float32)
    graph = graph_of([Node("Conv", ["x", "w"], ["y"], {"pads": [1, 1, 1, 1]})], {"w": w}, "y")
    found = compress_tensor.compile(graph, winograd=4).run({"x": x})["y"]
    wide = (torch.from_numpy(v.astype(float)) for v in (x, w))
    expected = torch.nn.functional.conv2d(*wide, padding=1).numpy()

    assert (np.abs(found - expected) <= 58 * UNIT * magnitude(x, w, [1] * 4, tile)).all()


@pytest.mark.parametrize("tile", POINTS)
def test_the_points_are_good_ones(tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise is that of 16 roundings: points 0, 1, -1, 2, -2 would make twice as much."""
    rng = np.random.default_rng(5)
    always(monkeypatch, tile)
    x = np.maximum(rng.standard_normal((2, 64, 24, 24)), 0).astype(np.float32)
    w = rng.standard_normal((64, 64, 3, 3)).astype(np.float32)
    graph = graph_of([Node("Conv", ["x", "w"], ["y"], {"pads": [1, 1, 1, 1]})], {"w": w}, "y")
    found = compress_tensor.compile(graph, winograd=4).run({"x": x})["y"]
    wide = Graph(graph.nodes, [Value("x")], graph.outputs, {"w": w.astype(float)})
    expected = interpret(wide, {"x": x.astype(float)})["y"]
    noise = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))

    assert 0 < noise < 16 * UNIT


def network(rng: np.random.Generator, c: int) -> Graph:
    """Return residual blocks of c channels, and a wider convolution with other pads."""

    def floats(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    same = {"pads": [1, 1, 1, 1]}
    constants = {"u": floats(c, c, 3, 3), "v": floats(c, c, 3, 3), "b": floats(c, 1)[:, 0]}
    constants |= {"w": floats(2 * c + 5, c, 3, 3)}
    nodes = [
        Node("Conv", ["x", "u", "b"], ["a"], same),
        Node("Relu", ["a"], ["a1"]),
        Node("Conv", ["a1", "v"], ["d"], same),
        Node("Add", ["d", "x"], ["e"]),
        Node("Relu", ["e"], ["f"]),
        Node("Conv", ["f", "w"], ["g"], {"pads": [0, 1, 2, 0]}),
        Node("Clip", ["g", "low", "high"], ["h"]),
    ]
    constants |= {"low": np.float32(-1.5), "high": np.float32(1.25)}
    return graph_of(nodes, constants, "h")


@pytest.mark.usefixtures("best_isa")
@pytest.mark.parametrize("tile", POINTS)
@pytest.mark.parametrize(("c", "size"), [(16, (21, 19)), (37, (9, 14)), (80, (7, 6))])
def test_same_bytes(
    c: int, size: tuple[int, int], tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads, instruction set and neighbours, even infinite ones, change no bit."""
    rng = np.random.default_rng(c)
    graph = network(rng, c)
    always(monkeypatch, tile)
    x = rng.standard_normal((3, c, *size)).astype(np.float32)
    session = compress_tensor.compile(graph, threads=1, winograd=4)
    first = session.run({"x": x})["h"]
    spoilt = x.copy()
    spoilt[1, 0] = np.inf
    beside = session.run({"x": spoilt})["h"]

    assert [line.how for line in session.report({"x": x})].count("fused") == 4
    assert first[::2].tobytes() == beside[::2].tobytes()
    for level in LEVELS:
        library.limit_isa(level)
        threads = (1, 2, 3, 8) if level == "avx512" else (1, 3)
        assert_same_bytes(first, graph, x, threads=threads, winograd=4)


def convolution(c: int, oc: int, kernel: int = 3, **attributes: Any) -> Graph:
    """Return one convolution of an image of 14 x 14."""
    groups = attributes.get("group", 1)
    w = np.random.default_rng(1).standard_normal((oc, c // groups, kernel, kernel))
    node = Node("Conv", ["x", "w"], ["y"], attributes)
    return graph_of([node], {"w": w.astype(np.float32)}, "y")


def infinite(graph: Graph) -> Graph:
    """Return the graph with an infinite weight."""
    graph.constants["w"][3, 2, 1, 0] = np.inf
    return graph


@pytest.mark.parametrize(
    ("graph", "chosen"),
    [
        (convolution(32, 32, pads=[1, 1, 1, 1]), True),
        (convolution(16, 48, auto_pad="SAME_UPPER"), True),
        (convolution(32, 32, strides=[2, 2]), False),
        (convolution(32, 32, dilations=[2, 1]), False),
        (convolution(32, 32, group=2), False),
        (convolution(32, 32, kernel=5), False),
        (convolution(3, 32), False),
        (convolution(32, 8), False),
        (infinite(convolution(32, 32)), False),
    ],
    ids=["plain", "auto pad", "stride", "dilation", "groups", "5x5", "colours", "few", "infinite"],
)
def test_where_it_is_used(graph: Graph, chosen: bool) -> None:
    """Dense 3 x 3 convolutions of stride 1 with channels enough and finite weights."""
    groups = graph.nodes[0].attributes.get("group", 1)
    x = {"x": np.ones((1, graph.constants["w"].shape[1] * groups, 14, 14), np.float32)}
    found = [
        any(KERNEL in line.how for line in compress_tensor.compile(graph, **options).report(x))
        for options in ({}, {"winograd": 2}, {"winograd": 4}, {"winograd": 0})
    ]

    assert found == [chosen, chosen, chosen, False]


@pytest.mark.parametrize("tile", [True, 1, 3, -2, "4", None])
def test_other_tiles_are_refused(tile: Any) -> None:
    """There are two, and none."""
    with pytest.raises(InputError, match="winograd must be 0, 2 or 4"):
        compress_tensor.compile(convolution(32, 32), winograd=tile)


def test_computed_kernels_and_tiny_images_stay_direct() -> None:
    """A kernel that is computed would be transformed in every run; one pixel has no tile."""
    rng = np.random.default_rng(2)
    w = rng.standard_normal((32, 32, 3, 3)).astype(np.float32)
    graph = Graph(
        nodes=[Node("Conv", ["x", "w"], ["y"], {"pads": [1, 1, 1, 1]})],
        inputs=[Value("x", DType.FLOAT32), Value("w", DType.FLOAT32)],
        outputs=[Value("y")],
        constants={},
    )
    x = rng.standard_normal((1, 32, 14, 14)).astype(np.float32)
    one = graph_of(graph.nodes, {"w": w}, "y")
    computed = compress_tensor.compile(graph, winograd=4).report({"x": x, "w": w})
    tiny = compress_tensor.compile(one, winograd=4).report({"x": x[:, :, :1, :1]})

    assert not any(KERNEL in line.how for line in [*computed, *tiny])


@pytest.mark.parametrize(
    ("shape", "tile"),
    [
        ((64, 64, 56, 56), 4),
        ((256, 256, 14, 14), 4),
        ((512, 512, 7, 7), 2),
        ((64, 64, 4, 4), 2),
        ((64, 64, 2, 2), 0),
        ((8, 64, 56, 56), 0),
        ((64, 64, 0, 5), 0),
    ],
)
def test_the_tile_follows_the_shape(shape: tuple[int, ...], tile: int) -> None:
    """Large tiles where there are many; small ones where the weights are what takes time."""
    assert tile == winograd.best_tile(*shape, 4)
    assert min(tile, 2) == winograd.best_tile(*shape, 2)
    assert winograd.best_tile(*shape, 0) == 0


def test_shared_weights() -> None:
    """A session beside a direct one has weights of its own form, and both go on as before."""
    rng = np.random.default_rng(3)
    graph = network(rng, 16)
    x = rng.standard_normal((1, 16, 12, 12)).astype(np.float32)
    direct = compress_tensor.compile(graph, threads=1, winograd=0)
    before = direct.run({"x": x})["h"]
    shared = compress_tensor.compile(graph, threads=1, winograd=4, share=direct)
    found = shared.run({"x": x})["h"]
    own = compress_tensor.compile(graph, threads=1, winograd=4).run({"x": x})["h"]

    assert own.tobytes() == found.tobytes()
    assert before.tobytes() == direct.run({"x": x})["h"].tobytes()
    assert before.tobytes() != found.tobytes()
