"""Layer normalisation spelled out (Ba, Kiros and Hinton, 2016, equation 4), over the last axis.

With mean and variance over that axis, d = x - mean, in the forms that exporters write:

    PyTorch      gamma * (d / sqrt(variance + epsilon)) + beta
    TensorFlow   x * s + (beta - mean * s),  s = gamma / sqrt(variance + epsilon)
"""

from __future__ import annotations

import numpy as np

from ...dtype import DType
from ...graph.graph import Array, Node
from ...graph.infer import info_of
from .match import Bindings, Constant, Matcher, Number, Pattern

_MEAN: Pattern = ("ReduceMean", "x", Constant("axes"))
_D: Pattern = ("Sub", "x", _MEAN)


def _variances() -> list[Pattern]:
    squares: list[Pattern] = [("Mul", _D, _D), ("Pow", _D, Number(2.0))]
    return [("ReduceMean", square, Constant("axes2")) for square in squares]


def _patterns() -> list[Pattern]:
    found: list[Pattern] = []
    for variance in _variances():
        deviation: Pattern = ("Sqrt", ("Add", variance, Constant("epsilon")))
        inverse: Pattern = ("Reciprocal", deviation)
        for scale in (("Mul", inverse, Constant("gamma")), ("Div", Constant("gamma"), deviation)):
            shift: Pattern = ("Sub", Constant("beta"), ("Mul", _MEAN, scale))
            found.append(("Add", ("Mul", "x", scale), shift))
        for normal in (("Div", _D, deviation), ("Mul", _D, inverse)):
            found.append(("Add", ("Mul", normal, Constant("gamma")), Constant("beta")))
    return found


_PATTERNS = _patterns()


def layer_norm(matcher: Matcher, node: Node) -> Node | None:
    """Return the LayerNormalization that ``node`` completes, or None."""
    if node.op != "Add" or node.domain:
        return None
    output = node.outputs[0]
    info = matcher.infos[output]
    if info.dtype is not DType.FLOAT32 or not info.shape or not matcher.near(output, ["Sqrt"], 4):
        return None
    for pattern in _PATTERNS:
        found = matcher.first(pattern, output)
        if found and _fits(matcher, found, info.shape):
            epsilon = float(matcher.constants[found["epsilon"]].reshape(-1)[0])
            names = [found["x"], *(_vector(matcher, found[n]) for n in ("gamma", "beta"))]
            return Node(
                "LayerNormalization", names, [output], {"axis": -1, "epsilon": epsilon}, node.name
            )
    return None


def _fits(matcher: Matcher, found: Bindings, shape: tuple[int, ...]) -> bool:
    """Whether all means are over the last axis, and the constants have fitting shapes."""
    if matcher.infos[found["x"]].shape != shape:
        return False
    for name in ("axes", "axes2"):
        axes = matcher.constants[found[name]].reshape(-1).tolist()
        if [axis % len(shape) for axis in axes] != [len(shape) - 1]:
            return False
    if matcher.constants[found["epsilon"]].size != 1:
        return False
    vectors: list[Array] = [matcher.constants[found[n]] for n in ("gamma", "beta")]
    return all(v.size == shape[-1] == v.shape[-1] and v.dtype == np.float32 for v in vectors)


def _vector(matcher: Matcher, name: str) -> str:
    """Return the name of the constant as a vector, adding one if it has more dimensions."""
    array = matcher.constants[name]
    if array.ndim == 1:
        return name
    flat = f"{name}/flat"
    matcher.constants[flat] = array.reshape(-1)
    matcher.infos[flat] = info_of(matcher.constants[flat], flat)
    return flat
