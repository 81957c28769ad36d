"""Elementwise operators: unary functions, binary with broadcasting, choice, conversion."""

from __future__ import annotations

from math import inf

import numpy as np

from ...dtype import DType
from ...graph.graph import Node
from ...native.call import bits_of
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View
from . import halves

#: unary_f32 function numbers and the attributes that become alpha and beta
UNARY: dict[str, tuple[int, tuple[str, ...]]] = {
    "Relu": (0, ()),
    "LeakyRelu": (1, ("alpha",)),
    "Elu": (2, ("alpha",)),
    "Selu": (3, ("alpha", "gamma")),
    "Celu": (4, ("alpha",)),
    "Sigmoid": (5, ()),
    "HardSigmoid": (6, ("alpha", "beta")),
    "HardSwish": (7, ()),
    "Swish": (8, ("alpha",)),
    "Mish": (11, ()),
    "Softplus": (12, ()),
    "Softsign": (13, ()),
    "Tanh": (14, ()),
    "Erf": (15, ()),
    "Exp": (16, ()),
    "Log": (17, ()),
    "Sqrt": (18, ()),
    "Reciprocal": (19, ()),
    "Abs": (20, ()),
    "Neg": (21, ()),
    "Sign": (22, ()),
    "Floor": (23, ()),
    "Ceil": (24, ()),
    "Round": (25, ()),
    "Sin": (26, ()),
    "Cos": (27, ()),
    "Tan": (28, ()),
    "Asin": (29, ()),
    "Acos": (30, ()),
    "Atan": (31, ()),
    "Sinh": (32, ()),
    "Cosh": (33, ()),
    "Asinh": (34, ()),
    "Acosh": (35, ()),
    "Atanh": (36, ()),
    "ThresholdedRelu": (38, ("alpha",)),
    "Shrink": (39, ("lambd", "bias")),
}
CLIP, GELU_ERF, GELU_TANH = 37, 9, 10
UNARY_INT = {"Abs": 0, "Neg": 1, "Sign": 2, "BitwiseNot": 3}
BINARY = {
    "Add": 0,
    "Sub": 1,
    "Mul": 2,
    "Div": 3,
    "Pow": 4,
    "Min": 5,
    "Max": 6,
    "PRelu": 9,
    "Equal": 10,
    "Less": 11,
    "LessOrEqual": 12,
    "Greater": 13,
    "GreaterOrEqual": 14,
    "And": 15,
    "Or": 16,
    "Xor": 17,
    "BitwiseAnd": 15,
    "BitwiseOr": 16,
    "BitwiseXor": 17,
}
SUM, MUL, MOD, FMOD, SHIFT_LEFT, SHIFT_RIGHT = 0, 2, 7, 8, 18, 19
_INTEGERS = {
    DType.INT8,
    DType.UINT8,
    DType.INT16,
    DType.UINT16,
    DType.INT32,
    DType.UINT32,
    DType.INT64,
    DType.UINT64,
}
#: what the ``cast`` kernel converts between
CASTABLE = _INTEGERS | {
    DType.FLOAT32,
    DType.FLOAT16,
    DType.BFLOAT16,
    DType.FLOAT64,
    DType.BOOL,
}
#: what libcore can move without looking at it
MOVABLE = CASTABLE


def output_like(ctx: Lowering, node: Node, *names: str) -> View:
    """Define the node's output for an elementwise kernel, in place where an input dies."""
    return ctx.output(node.outputs[0], ctx.like(*names), reuse=names)


@lower(*UNARY)
def unary(ctx: Lowering, node: Node) -> None:
    """Plan y = f(x)."""
    (name,) = node.inputs
    dtype = ctx.info(name).dtype
    if dtype in _INTEGERS and node.op in UNARY_INT:
        bitwise_not(ctx, node)
        return
    require(dtype is DType.FLOAT32, f"{dtype.label} elements")
    code, parameters = UNARY[node.op]
    attributes = ctx.attributes(node)
    args = [float(attributes[p]) for p in parameters] + [0.0] * (2 - len(parameters))
    float_unary(ctx, node, [code, *args])


def float_unary(ctx: Lowering, node: Node, args: list[int | float]) -> None:
    """Emit a function of floats: of bfloat16 where these are stored so."""
    half = halves.passed(ctx, node)
    if half is not None:
        ctx.elementwise("unary_bf16", [*half[0], half[1]], args)
        return
    out = output_like(ctx, node, node.inputs[0])
    ctx.elementwise("unary_f32", [ctx.view(node.inputs[0]), out], args)


@lower("BitwiseNot")
def bitwise_not(ctx: Lowering, node: Node) -> None:
    """Plan the integer functions of one operand."""
    (name,) = node.inputs
    require(ctx.info(name).dtype in _INTEGERS, "element type")
    out = output_like(ctx, node, name)
    ctx.elementwise("unary_int", [ctx.view(name), out], [UNARY_INT[node.op]])


@lower("Gelu")
def gelu(ctx: Lowering, node: Node) -> None:
    """Plan both forms of GELU."""
    (name,) = node.inputs
    require(ctx.info(name).dtype is DType.FLOAT32, "element type")
    code = GELU_TANH if ctx.attributes(node)["approximate"] == "tanh" else GELU_ERF
    float_unary(ctx, node, [code, 0.0, 0.0])


@lower("Clip")
def clip(ctx: Lowering, node: Node) -> None:
    """Plan clipping to bounds that are known or computed."""
    name = node.inputs[0]
    bounds = [ctx.optional(node, 1), ctx.optional(node, 2)]
    dtype = ctx.info(name).dtype
    known = clip_bounds(ctx, node)
    if dtype is DType.FLOAT32 and known is not None:
        float_unary(ctx, node, [CLIP, *known])
        return
    require(dtype is DType.FLOAT32 or dtype in _INTEGERS, f"{dtype.label} elements")
    view = ctx.view(name)
    out = output_like(ctx, node, name)
    for bound, code in zip(bounds, (BINARY["Max"], BINARY["Min"]), strict=True):
        if bound:
            ctx.elementwise("binary", [view, ctx.view(bound), out], [code])
            view = out
    if view is not out:
        ctx.copy(view, out)


def clip_bounds(ctx: Lowering, node: Node) -> tuple[float, float] | None:
    """Return low and high of a Clip or Relu if they are known, else None."""
    if node.op == "Relu":
        return 0.0, inf
    found = [-inf, inf]
    for i in (1, 2):
        name = ctx.optional(node, i)
        if name:
            value = ctx.value(name)
            if value is None:
                return None
            found[i - 1] = float(value.reshape(-1)[0])
    return found[0], found[1]


@lower("Not")
def logical_not(ctx: Lowering, node: Node) -> None:
    """Plan boolean negation."""
    out = output_like(ctx, node, node.inputs[0])
    ctx.elementwise("not_bool", [ctx.view(node.inputs[0]), out])


@lower("IsNaN")
def is_nan(ctx: Lowering, node: Node) -> None:
    """Plan the test for NaN."""
    require(ctx.info(node.inputs[0]).dtype in (DType.FLOAT32, DType.FLOAT64), "element type")
    out = ctx.output(node.outputs[0], ctx.like(node.inputs[0]))
    ctx.elementwise("is_nan", [ctx.view(node.inputs[0]), out])


@lower("IsInf")
def is_inf(ctx: Lowering, node: Node) -> None:
    """Plan the test for infinities."""
    require(ctx.info(node.inputs[0]).dtype in (DType.FLOAT32, DType.FLOAT64), "element type")
    attributes = ctx.attributes(node)
    args = [int(attributes["detect_negative"]), int(attributes["detect_positive"])]
    out = ctx.output(node.outputs[0], ctx.like(node.inputs[0]))
    ctx.elementwise("is_inf", [ctx.view(node.inputs[0]), out], args)


def binary_code(ctx: Lowering, node: Node) -> int:
    """Return the function number of a binary operator for its element type."""
    dtype = ctx.info(node.inputs[0]).dtype
    attributes = ctx.attributes(node)
    if node.op in ("Mod", "BitShift"):
        require(dtype in _INTEGERS or dtype is DType.FLOAT32, f"{dtype.label} elements")
    if node.op == "Mod":
        return FMOD if attributes["fmod"] else MOD
    if node.op == "BitShift":
        return SHIFT_LEFT if attributes["direction"] == "LEFT" else SHIFT_RIGHT
    code = SUM if node.op == "Sum" else BINARY[node.op]
    if dtype is DType.FLOAT32:
        require(code <= 14, f"{node.op} of float32")
    elif dtype is DType.BOOL:
        require(code in (10, 15, 16, 17), f"{node.op} of bool")
    else:
        require(dtype in _INTEGERS, f"{dtype.label} elements")
    return code


@lower(*BINARY, "Sum", "Mod", "BitShift")
def binary(ctx: Lowering, node: Node) -> None:
    """Plan binary operators; Min, Max and Sum take any number of inputs from the left."""
    dtype = ctx.info(node.inputs[0]).dtype
    require(all(ctx.info(name).dtype is dtype for name in node.inputs), "mixed element types")
    code = binary_code(ctx, node)
    half = halves.passed(ctx, node)
    if half is not None:
        ctx.elementwise("binary", [*half[0], half[1]], [code])
        return
    views = [ctx.view(name) for name in node.inputs]
    full = [n for n, v in zip(node.inputs, views, strict=True) if v.size == _size(ctx, node)]
    same_type = ctx.info(node.outputs[0]).dtype is dtype and len(views) <= 2
    out = ctx.output(node.outputs[0], ctx.like(*full), reuse=full if same_type else ())
    if len(views) == 1:
        ctx.copy(views[0].expand(out.shape), out)
        return
    so_far = views[0]
    for view in views[1:]:
        ctx.elementwise("binary", [so_far, view, out], [code])
        so_far = out


def _size(ctx: Lowering, node: Node) -> int:
    return int(np.prod(ctx.info(node.outputs[0]).dims))


@lower("Mean")
def mean(ctx: Lowering, node: Node) -> None:
    """Plan the elementwise mean of several inputs."""
    require(all(ctx.info(n).dtype is DType.FLOAT32 for n in node.inputs), "element type")
    views = [ctx.view(name) for name in node.inputs]
    out = ctx.output(node.outputs[0], ctx.like(*node.inputs))
    so_far = views[0]
    for view in views[1:]:
        ctx.elementwise("binary", [so_far, view, out], [SUM])
        so_far = out
    divisor = ctx.constant(np.array(len(views), np.float32))
    ctx.elementwise("binary", [so_far, divisor, out], [BINARY["Div"]])


@lower("Where")
def where(ctx: Lowering, node: Node) -> None:
    """Plan the choice between two inputs."""
    require(ctx.info(node.outputs[0]).dtype in MOVABLE, "element type")
    condition, x, y = (ctx.view(name) for name in node.inputs)
    out = ctx.output(node.outputs[0], ctx.like(node.inputs[1], node.inputs[2]))
    ctx.elementwise("where", [condition, x, y, out])


@lower("Cast", "CastLike")
def cast(ctx: Lowering, node: Node) -> None:
    """Plan a change of element type; a cast to the same type is an alias."""
    source, target = ctx.info(node.inputs[0]).dtype, ctx.info(node.outputs[0]).dtype
    require(source in CASTABLE and target in CASTABLE, f"{source.label} to {target.label}")
    if source is target:
        ctx.define(node.outputs[0], ctx.view(node.inputs[0]))
        return
    if halves.cast(ctx, node):
        return
    out = ctx.output(node.outputs[0], ctx.like(node.inputs[0]))
    ctx.elementwise("cast", [ctx.view(node.inputs[0]), out])


@lower("ConstantOfShape")
def constant_of_shape(ctx: Lowering, node: Node) -> None:
    """Plan a tensor of one value too large to be folded."""
    dtype = ctx.info(node.outputs[0]).dtype
    require(dtype in MOVABLE, "element type")
    value = ctx.attributes(node)["value"]
    out = ctx.output(node.outputs[0])
    element = 0 if value is None else np.asarray(value).reshape(-1)[0]
    ctx.elementwise("fill", [out], [bits_of(element, dtype)])
