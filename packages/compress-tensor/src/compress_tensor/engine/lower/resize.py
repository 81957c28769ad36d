"""Resize and Upsample: index tables for nearest, banded weights per axis for the other modes."""

from __future__ import annotations

import numpy as np

from ...backend.reference.resize import Axis, coordinates, floats, nearest, resized, weight_bands
from ...dtype import DType
from ...graph.graph import Array, Attribute, Node
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View
from .elementwise import MOVABLE


@lower("Resize", "Upsample")
def resize(ctx: Lowering, node: Node) -> None:
    """Plan a resize whose scales or sizes are known."""
    x = ctx.view(node.inputs[0])
    attributes = _attributes(ctx, node)
    mode = attributes["coordinate_transformation_mode"]
    require(mode != "tf_crop_and_resize", "tf_crop_and_resize")
    names = ["", node.inputs[1], ""] if node.op == "Upsample" else [*node.inputs[1:], "", "", ""]
    scales, sizes = (ctx.value(name) if name else None for name in names[1:3])
    wanted = None if sizes is None or sizes.size == 0 else [int(n) for n in sizes]
    changed = resized(
        x.shape,
        None,
        floats(scales),
        wanted,
        attributes["axes"],
        attributes["keep_aspect_ratio_policy"],
        crops=False,
    )
    axes = {at: a for at, a in changed.items() if a.output != a.length or a.scale != 1.0}
    out_shape = ctx.info(node.outputs[0]).dims
    require(all(n > 0 for n in (*x.shape, *out_shape)), "an empty tensor")
    if not axes:
        ctx.define(node.outputs[0], x)
    elif attributes["mode"] == "nearest":
        _by_index(ctx, node, x, axes, mode, attributes["nearest_mode"])
    else:
        require(x.dtype is DType.FLOAT32, f"{x.dtype.label} elements")
        _by_weights(ctx, node, x, axes, attributes)


def _attributes(ctx: Lowering, node: Node) -> dict[str, Attribute]:
    found = dict(ctx.attributes(node))
    if node.op == "Upsample":
        found |= {
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
            "axes": None,
            "keep_aspect_ratio_policy": "stretch",
            "cubic_coeff_a": -0.75,
            "antialias": 0,
            "exclude_outside": 0,
        }
    return found


def _by_index(
    ctx: Lowering, node: Node, x: View, axes: dict[int, Axis], mode: str, rounding: str
) -> None:
    require(x.dtype in MOVABLE, f"{x.dtype.label} elements")
    tables: list[View | None] = [None] * len(x.shape)
    for at, axis in axes.items():
        index = nearest(coordinates(axis, mode), rounding)
        tables[at] = ctx.constant(index.clip(0, axis.length - 1).astype(np.int64))
    out = ctx.output(node.outputs[0], ctx.like(node.inputs[0]))
    ctx.emit("resize_nearest", [x, out, *tables])


def _by_weights(
    ctx: Lowering, node: Node, x: View, axes: dict[int, Axis], attributes: dict[str, Attribute]
) -> None:
    mode = attributes["coordinate_transformation_mode"]
    kind, a = attributes["mode"], float(attributes["cubic_coeff_a"])
    flags = (int(attributes["antialias"]), int(attributes["exclude_outside"]))
    for n, (at, axis) in enumerate(axes.items()):
        first, bands = weight_bands(axis, coordinates(axis, mode), kind, a, *flags)
        starts, weights = trimmed(first, bands)
        if n == len(axes) - 1:
            out = ctx.output(node.outputs[0], ctx.like(node.inputs[0]))
        else:
            shape = [*x.shape[:at], axis.output, *x.shape[at + 1 :]]
            out = ctx.temp(shape, DType.FLOAT32, ctx.like(node.inputs[0]))
        ctx.emit("resize_weights", [x, ctx.constant(starts), ctx.constant(weights), out], [at])
        x = out


def trimmed(starts: Array, bands: Array) -> tuple[Array, Array]:
    """Return bands as int32 and float32, without outer columns that hold nothing but 0."""
    weights = np.ascontiguousarray(bands, np.float32)
    used = np.flatnonzero((weights != 0).any(axis=0))
    if used.size:
        weights = np.ascontiguousarray(weights[:, used[0] : used[-1] + 1])
        starts = starts + used[0]
    return starts.astype(np.int32), weights
