"""GELU spelled out, as PyTorch (erf) and TensorFlow (tanh) export it (Hendrycks and Gimpel, 2016).

erf:   0.5 x (1 + erf(x / sqrt(2)))
tanh:  0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
"""

from __future__ import annotations

from math import pi, sqrt

from ...dtype import DType
from ...graph.graph import Node
from .match import Matcher, Number, Pattern

_ERF: list[Pattern] = [
    ("Erf", ("Div", "x", Number(sqrt(2)))),
    ("Erf", ("Mul", "x", Number(sqrt(0.5)))),
]
_CUBE: list[Pattern] = [
    ("Pow", "x", Number(3.0)),
    ("Mul", "x", ("Mul", "x", "x")),
    ("Mul", "x", ("Pow", "x", Number(2.0))),
]
_TANH: list[Pattern] = [
    ("Tanh", ("Mul", Number(sqrt(2 / pi)), ("Add", "x", ("Mul", Number(0.044715), cube))))
    for cube in _CUBE
]
_HALF = Number(0.5)
_CURVES = ("Erf", "Tanh")


def _products(inner: Pattern) -> list[Pattern]:
    """Return the ways to multiply x, one half and 1 + inner."""
    one_plus: Pattern = ("Add", inner, Number(1.0))
    return [
        ("Mul", ("Mul", "x", _HALF), one_plus),
        ("Mul", "x", ("Mul", _HALF, one_plus)),
        ("Mul", _HALF, ("Mul", "x", one_plus)),
    ]


_PATTERNS = [(p, "none") for inner in _ERF for p in _products(inner)]
_PATTERNS += [(p, "tanh") for inner in _TANH for p in _products(inner)]


def gelu(matcher: Matcher, node: Node) -> Node | None:
    """Return the Gelu that ``node`` completes, or None."""
    if node.op != "Mul" or node.domain:
        return None
    output = node.outputs[0]
    if matcher.infos[output].dtype is not DType.FLOAT32 or not matcher.near(output, _CURVES, 3):
        return None
    for pattern, form in _PATTERNS:
        found = matcher.first(pattern, output)
        if found and matcher.infos[found["x"]].shape == matcher.infos[output].shape:
            return Node("Gelu", [found["x"]], [output], {"approximate": form}, node.name)
    return None
