"""The products that are measured: a fixed list, and what the networks of the zoo contain."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from math import prod

from compress_tensor import Graph, InputError, Node
from compress_tensor.graph.infer import infer

from .products import Shape
from .zoo import NETWORKS, Blank, build, feeds_for

#: square, BERT, one row, ResNet's second stage and last one, its first layer, short k, few columns
BASIC: tuple[Shape, ...] = (
    (1024, 1024, 1024),
    (512, 512, 512),
    (128, 768, 768),
    (128, 768, 3072),
    (128, 3072, 768),
    (1, 768, 3072),
    (1, 2048, 1000),
    (3136, 64, 64),
    (12544, 147, 64),
    (196, 2304, 256),
    (49, 4608, 512),
    (49, 960, 320),
    (128, 64, 128),
    (64, 512, 10),
)


def parse(words: Iterable[str]) -> list[Shape]:
    """Return shapes from ``MxKxN``, ``basic`` or ``zoo``.

    Raises:
        InputError: for anything else.
    """
    found: list[Shape] = []
    for word in words:
        sizes = re.fullmatch(r"(\d+)x(\d+)x(\d+)", word)
        if word == "basic":
            found += BASIC
        elif word == "zoo":
            found += zoo_shapes()
        elif sizes and all(0 < int(size) <= 1 << 16 for size in sizes.groups()):
            m, k, n = (int(size) for size in sizes.groups())
            found.append((m, k, n))
        else:
            raise InputError(f"{word!r} is no shape; give basic, zoo or MxKxN, each at most 65536")
    return list(dict.fromkeys(found))


def zoo_shapes() -> list[Shape]:
    """Return the distinct products of the larger networks, one sample, the largest first."""
    found: set[Shape] = set()
    for name, entry in NETWORKS.items():
        if not entry.small:
            found.update(products_of(build(name, weights=Blank())))
    return sorted(found, key=lambda shape: (-prod(shape), shape))


def products_of(graph: Graph) -> Iterator[Shape]:
    """Yield (m, k, n) of each convolution in one group and each product with a constant."""
    feeds = feeds_for(graph, 1)
    infos = infer(graph, {name: array.shape for name, array in feeds.items()})

    def dims(name: str) -> tuple[int, ...]:
        return infos[name].dims

    for node in graph.nodes:
        if node.op == "Conv" and node.attributes.get("group", 1) == 1:
            weight, out = dims(node.inputs[1]), dims(node.outputs[0])
            yield prod(out[2:]), prod(weight[1:]), weight[0]
        elif node.op in ("MatMul", "Gemm") and node.inputs[1] in graph.constants:
            yield _matrix(node, dims(node.inputs[0]), dims(node.outputs[0]))


def _matrix(node: Node, a: tuple[int, ...], out: tuple[int, ...]) -> Shape:
    k = a[0] if node.op == "Gemm" and node.attributes.get("transA") else a[-1]
    return prod(out[:-1]), k, out[-1]
