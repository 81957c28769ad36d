"""Attention spelled out, as networks are exported (Vaswani et al., 2017, section 3.2.1).

    Softmax(scale(Q K') + mask) V

with the scale a constant that multiplies or divides the product, or none, and the mask, if any, a
float value that broadcasts to the scores.  A scale on Q or K alone stays where it is.  The fused
kernel gives the bytes of the operators that it replaces.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from ...backend.reference.fused import ATTENTION, DOMAIN
from ...dtype import DType
from ...graph.graph import Node
from .match import Bindings, Constant, Matcher, Pattern

_PRODUCT: Pattern = ("MatMul", "q", "k")
_SCALED: list[tuple[Pattern, str]] = [
    (("Div", _PRODUCT, Constant("divisor")), "divisor"),
    (("Mul", _PRODUCT, Constant("factor")), "factor"),
    (_PRODUCT, ""),
]
_PATTERNS: list[tuple[Pattern, str]] = [
    (("MatMul", ("Softmax", scores), "v"), scale)
    for scaled, scale in _SCALED
    for scores in (("Add", scaled, "mask"), scaled)
]
#: what leaves codes as they are on their way to a product
_MOVES = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity"})


def attention(matcher: Matcher, node: Node) -> Node | None:
    """Return the fused attention that ``node``, its last product, completes, or None."""
    return spelled_out(matcher, node, _fits)


def spelled_out(
    matcher: Matcher, node: Node, fits: Callable[[Matcher, Bindings, str], bool]
) -> Node | None:
    """Return the fused attention of the first pattern that fits.

    Args:
        matcher: the nodes.
        node: the last product.
        fits: whether what a pattern bound will do; its last argument is the name of the scale,
            ``divisor`` or ``factor``, or empty.
    """
    if node.op != "MatMul" or node.domain or not _over_last_axis(matcher, node.inputs[0]):
        return None
    for pattern, scale in _PATTERNS:
        found = matcher.first(pattern, node.outputs[0])
        if found and fits(matcher, found, scale):
            names = [found[name] for name in ("q", "k", "v", "mask") if name in found]
            attributes = {scale: number_of(matcher, found[scale])} if scale else {}
            return Node(ATTENTION, names, node.outputs, attributes, node.name, DOMAIN)
    return None


def _over_last_axis(matcher: Matcher, name: str) -> bool:
    """Whether a value is a softmax over its last axis that has one reader."""
    node = matcher.producers.get(name)
    if node is None or node.op != "Softmax" or node.domain or matcher.readers[name] != 1:
        return False
    axis = int(node.attributes.get("axis", -1))
    info = matcher.infos[name]
    return axis == -1 or (info.shape is not None and axis == info.rank - 1)


def _fits(matcher: Matcher, found: Bindings, scale: str) -> bool:
    """Whether types, ranks and shapes are what the kernel takes."""
    q, k, v = (matcher.infos[found[name]] for name in "qkv")
    if any(info.dtype is not DType.FLOAT32 or info.shape is None for info in (q, k, v)):
        return False
    # A constant is packed once, and codes are multiplied as integers: better apart.
    if any(found[n] in matcher.constants or _is_dequantized(matcher, found[n]) for n in "qkv"):
        return False
    if not (2 <= q.rank <= 4 and q.rank == k.rank == v.rank):
        return False
    if not (q.dims[:-2] == k.dims[:-2] == v.dims[:-2]) or k.dims[-1] == 0:
        return False
    if scale:
        number = number_of(matcher, found[scale])
        if not isfinite(number) or number == 0.0:
            return False
    return "mask" not in found or _is_mask(matcher, found["mask"], (*q.dims[:-1], k.dims[-1]))


def _is_mask(matcher: Matcher, name: str, scores: tuple[int, ...]) -> bool:
    mask = matcher.infos[name]
    if mask.dtype is not DType.FLOAT32 or mask.shape is None or mask.rank > len(scores):
        return False
    padded = (1,) * (len(scores) - mask.rank) + mask.dims
    return all(have in (1, want) for have, want in zip(padded, scores, strict=True))


def _is_dequantized(matcher: Matcher, name: str) -> bool:
    node = matcher.producers.get(name)
    while node is not None and node.op in _MOVES:
        node = matcher.producers.get(node.inputs[0])
    return node is not None and node.op == "DequantizeLinear"


def number_of(matcher: Matcher, name: str) -> float:
    """Return a constant of one element, NaN for any other."""
    value = matcher.constants[name]
    return float(value.reshape(-1)[0]) if value.size == 1 and value.ndim <= 1 else float("nan")
