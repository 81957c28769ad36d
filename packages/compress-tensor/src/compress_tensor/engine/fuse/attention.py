"""Attention spelled out, as networks are exported (Vaswani et al., 2017, section 3.2.1).

    Softmax(scale(Q K') + mask) V

with the scale a constant that multiplies or divides the product, or none, and the mask, if any, a
float value that broadcasts to the scores.  A scale on Q or K alone stays where it is.  In a QDQ
graph all three are dequantized, and the softmax is quantized before V.  The fused kernels give the
bytes of the operators that they replace.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import numpy as np

from ...backend.reference.fused import ATTENTION, ATTENTION_ON_CODES, DOMAIN
from ...dtype import DType
from ...graph.graph import Node
from ..lower.integer import MOST_K
from .match import Bindings, Constant, Matcher, Pattern

_PRODUCT: Pattern = ("MatMul", "q", "k")
_SCALED: list[tuple[Pattern, str]] = [
    (("Div", _PRODUCT, Constant("divisor")), "divisor"),
    (("Mul", _PRODUCT, Constant("factor")), "factor"),
    (_PRODUCT, ""),
]
_SCORES: list[tuple[Pattern, str]] = [
    (scores, scale) for scaled, scale in _SCALED for scores in (("Add", scaled, "mask"), scaled)
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
    found = _scores(matcher, node.inputs[0], node.inputs[1], fits)
    if found is None:
        return None
    bound, attributes = found
    names = [bound[name] for name in ("q", "k", "v", "mask") if name in bound]
    return Node(ATTENTION, names, node.outputs, attributes, node.name, DOMAIN)


def _scores(
    matcher: Matcher, softmax: str, v: str, fits: Callable[[Matcher, Bindings, str], bool]
) -> tuple[Bindings, dict[str, float]] | None:
    """Return what the first pattern that fits binds, and the scale, for the result of a softmax."""
    scores = matcher.producers[softmax].inputs[0]
    for pattern, scale in _SCORES:
        found = matcher.first(pattern, scores)
        if found and fits(matcher, {**found, "v": v}, scale):
            return {**found, "v": v}, {scale: number_of(matcher, found[scale])} if scale else {}
    return None


def attention_on_codes(matcher: Matcher, node: Node) -> Node | None:
    """Return the fused attention that ``node``, its last product, completes in a QDQ graph."""
    if node.op != "MatMul" or node.domain:
        return None
    weights = matcher.sole(node.inputs[0], "DequantizeLinear")
    codes = None if weights is None else matcher.sole(weights.inputs[0], "QuantizeLinear")
    if weights is None or codes is None or not _over_last_axis(matcher, codes.inputs[0]):
        return None
    grid = _grid(matcher, weights)
    if grid is None or grid != _grid(matcher, codes) or grid[0] is not DType.UINT8:
        return None
    found = _scores(matcher, codes.inputs[0], node.inputs[1], _fits_on_codes)
    if found is None:
        return None
    bound, attributes = found
    zero = weights.inputs[2] if len(weights.inputs) > 2 else ""
    names = [*(bound[name] for name in "qkv"), weights.inputs[1], zero, bound.get("mask", "")]
    while not names[-1]:
        names.pop()
    return Node(ATTENTION_ON_CODES, names, node.outputs, attributes, node.name, DOMAIN)


def _grid(matcher: Matcher, node: Node) -> tuple[DType, float, int] | None:
    """Return codes' type, scale and zero point of a (De)QuantizeLinear with one known grid."""
    scale = matcher.constants.get(node.inputs[1])
    zero = matcher.constants.get(node.inputs[2]) if len(node.inputs) > 2 else None
    if scale is None or scale.size != 1 or scale.dtype != np.float32 or scale.ndim > 1:
        return None
    if len(node.inputs) > 2 and (zero is None or zero.size != 1):
        return None
    codes = node.outputs[0] if node.op == "QuantizeLinear" else node.inputs[0]
    number = 0 if zero is None else int(zero.reshape(()))
    return matcher.infos[codes].dtype, float(scale.reshape(())), number


def _fits_on_codes(matcher: Matcher, found: Bindings, scale: str) -> bool:
    """Whether all three are codes of 8 bits, those of K and V signed with zero point 0."""
    for name in "qkv":
        value = found[name]
        node = matcher.producers.get(value)
        if node is None or node.op != "DequantizeLinear" or node.domain or value in matcher.outputs:
            return False
        grid = _grid(matcher, node)
        if grid is None or grid[0] not in (DType.INT8, DType.UINT8):
            return False
        if name != "q" and (grid[0] is not DType.INT8 or grid[2]):
            return False
    k = matcher.infos[found["k"]].shape
    return k is not None and max(k[-2:]) <= MOST_K and _heads_fit(matcher, found, scale)


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
    # A constant is packed once, and codes are multiplied as integers: better apart.
    if any(found[n] in matcher.constants or _is_dequantized(matcher, found[n]) for n in "qkv"):
        return False
    return _heads_fit(matcher, found, scale)


def _heads_fit(matcher: Matcher, found: Bindings, scale: str) -> bool:
    q, k, v = (matcher.infos[found[name]] for name in "qkv")
    if any(info.dtype is not DType.FLOAT32 or info.shape is None for info in (q, k, v)):
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
