"""Upgrade rules for normalisation, pooling, resizing, dropout and recurrent layers."""

from __future__ import annotations

import numpy as np

from compress_tensor.errors import UnsupportedError
from compress_tensor.graph.graph import Node

from .registry import ALWAYS, Scope, move_to_inputs, require_unused, upgrade


@upgrade("BatchNormalization", below=9)
def normalise_per_element(node: Node, scope: Scope) -> list[Node]:
    """Say ``spatial = 0`` (statistics for every element of a sample) with arithmetic."""
    node.attributes.pop("is_test", None)
    if node.attributes.pop("spatial", 1):
        return [node]
    require_unused(node, 1, scope, "which compress computes only with spatial = 1")
    x, scale, bias, mean, var = node.inputs
    hint = node.outputs[0]
    epsilon, made = scope.like(f"{hint}_epsilon", node.attributes.get("epsilon", 1e-5), var)
    shifted = scope.apply("Add", var, epsilon, hint=f"{hint}_var")
    deviation = scope.apply("Sqrt", shifted.outputs[0], hint=f"{hint}_deviation")
    centred = scope.apply("Sub", x, mean, hint=f"{hint}_centred")
    unit = scope.apply("Div", centred.outputs[0], deviation.outputs[0], hint=f"{hint}_unit")
    scaled = scope.apply("Mul", unit.outputs[0], scale, hint=f"{hint}_scaled")
    last = Node("Add", [scaled.outputs[0], bias], [hint], name=node.name)
    return [*made, shifted, deviation, centred, unit, scaled, last]


@upgrade("BatchNormalization", below=14)
def training_is_an_attribute(node: Node, scope: Scope) -> None:
    """State ``training_mode`` where running statistics are asked for.

    Without such outputs a network is read as meant for inference, as every runtime does.
    """
    require_unused(node, 3, scope, "the saved statistics, which opset 14 removed")
    if any(name in scope.reads for name in node.outputs[1:]):
        node.attributes["training_mode"] = 1
    else:
        del node.outputs[1:]


@upgrade("Dropout", below=12)
def ratio_becomes_an_input(node: Node, scope: Scope) -> list[Node]:
    """Move ``ratio`` to input 1; a mask that is read keeps its old type, the data's."""
    node.attributes.pop("is_test", None)
    move_to_inputs(node, scope, {"ratio": 1}, np.float32)
    if len(node.outputs) < 2 or node.outputs[1] not in scope.reads:
        del node.outputs[1:]
        return [node]
    mask = node.outputs[1]
    node.outputs[1] = scope.names.fresh(f"{mask}_bool")
    return [node, Node("CastLike", [node.outputs[1], node.inputs[0]], [mask])]


@upgrade("Dropout", below=10)
def dropout_was_older(node: Node, scope: Scope) -> None:
    """Drop ``is_test``."""
    node.attributes.pop("is_test", None)


@upgrade("GroupNormalization", below=21)
def scale_every_channel(node: Node, scope: Scope) -> list[Node]:
    """Repeat scale and bias, given per group, for every channel of the group."""
    groups = node.attributes.get("num_groups", 0)
    if groups < 1 or len(node.inputs) != 3:
        raise UnsupportedError(f"{node.label} needs three inputs and a positive num_groups")
    hint = node.outputs[0]
    channels = scope.apply("Shape", node.inputs[0], hint=f"{hint}_channels", start=1, end=2)
    count = scope.constant(f"{hint}_groups", [groups])
    repeat = scope.apply("Div", channels.outputs[0], count, hint=f"{hint}_repeat")
    shape = scope.apply("Concat", count, repeat.outputs[0], hint=f"{hint}_repeat", axis=0)
    made = [channels, repeat, shape]
    column = scope.constant(f"{hint}_column", [groups, 1])
    flat = scope.constant(f"{hint}_all", [-1])
    for position in (1, 2):
        name = node.inputs[position]
        apart = scope.apply("Reshape", name, column, hint=f"{name}_groups")
        wide = scope.apply("Expand", apart.outputs[0], shape.outputs[0], hint=f"{name}_wide")
        whole = scope.apply("Reshape", wide.outputs[0], flat, hint=f"{name}_channels")
        made += [apart, wide, whole]
        node.inputs[position] = whole.outputs[0]
    return [*made, node]


@upgrade("Upsample", below=7)
def upsample_names_two_scales(node: Node, scope: Scope) -> None:
    """Gather the height and width scales into one list."""
    given = node.attributes
    if "scales" not in given:
        height, width = given.pop("height_scale", 1.0), given.pop("width_scale", 1.0)
        given["scales"] = [1.0, 1.0, height, width]


@upgrade("Upsample", below=9)
def upsample_takes_scales(node: Node, scope: Scope) -> None:
    """Move ``scales`` to input 1."""
    move_to_inputs(node, scope, {"scales": 1}, np.float32)


@upgrade("Upsample", below=ALWAYS)
def upsample_is_resize(node: Node, scope: Scope) -> list[Node]:
    """Upsample is the Resize of opset 10."""
    node.op = "Resize"
    return resize_was_asymmetric(node, scope)


@upgrade("Resize", below=11)
def resize_was_asymmetric(node: Node, scope: Scope) -> list[Node]:
    """State the old mapping: ``x / scale``, rounded down to enlarge and up to shrink.

    Where an axis may do either, two nodes share the work: the first only enlarges, the second
    only shrinks, and each leaves the other's axes alone.
    """
    if len(node.inputs) < 2:
        raise UnsupportedError(f"{node.label} lacks its scales")
    data, scales = node.inputs[:2]
    mode = node.attributes.pop("mode", "nearest")
    mode = "linear" if mode == "bilinear" else mode
    same = {"mode": mode, "coordinate_transformation_mode": "asymmetric"}
    if mode != "nearest":
        return [Node("Resize", [data, "", scales], node.outputs, same, node.name)]
    known = scope.array(scales)
    if known is not None and (known >= 1).all():
        attributes = {**same, "nearest_mode": "floor"}
        return [Node("Resize", [data, "", scales], node.outputs, attributes, node.name)]
    if known is not None and (known <= 1).all():
        attributes = {**same, "nearest_mode": "ceil"}
        return [Node("Resize", [data, "", scales], node.outputs, attributes, node.name)]
    hint = node.outputs[0]
    one = scope.constant(f"{hint}_one", 1.0, np.float32)
    grow = scope.apply("Max", scales, one, hint=f"{hint}_grow")
    shrink = scope.apply("Min", scales, one, hint=f"{hint}_shrink")
    bigger = scope.apply(
        "Resize",
        data,
        "",
        grow.outputs[0],
        hint=f"{hint}_grown",
        **{**same, "nearest_mode": "floor"},
    )
    inputs = [bigger.outputs[0], "", shrink.outputs[0]]
    attributes = {**same, "nearest_mode": "ceil"}
    return [grow, shrink, bigger, Node("Resize", inputs, node.outputs, attributes, node.name)]


@upgrade("Resize", below=13)
def resize_omits_empty_inputs(node: Node, scope: Scope) -> None:
    """Leave out inputs that are empty tensors, and say the mapping that opset 13 removed."""
    for position in (1, 2):
        if position < len(node.inputs):
            known = scope.array(node.inputs[position])
            if known is not None and not known.size:
                node.inputs[position] = ""
    given = node.attributes
    if given.get("coordinate_transformation_mode") != "tf_half_pixel_for_nn":
        return
    if given.get("mode", "nearest") != "nearest" or given.get("nearest_mode") != "floor":
        raise UnsupportedError(
            f"{node.label} uses tf_half_pixel_for_nn other than with mode nearest and "
            "nearest_mode floor; convert the model to opset 13 or later"
        )
    # floor((x + 0.5) / scale) is (x + 0.5) / scale - 0.5 rounded half up.
    given["coordinate_transformation_mode"] = "half_pixel"
    given["nearest_mode"] = "round_prefer_ceil"


@upgrade("GridSample", below=20)
def grid_sample_renames_modes(node: Node, scope: Scope) -> None:
    """Rename the modes."""
    mode = node.attributes.get("mode", "bilinear")
    node.attributes["mode"] = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)


@upgrade("RoiAlign", below=16)
def roi_align_names_its_mapping(node: Node, scope: Scope) -> None:
    """State the mapping, whose default changed."""
    node.attributes["coordinate_transformation_mode"] = "output_half_pixel"


@upgrade("GlobalLpPool", "LpPool", below=2)
def p_is_whole(node: Node, scope: Scope) -> None:
    """Turn the float ``p`` into an integer."""
    p = node.attributes.get("p", 2)
    if p != int(p):
        raise UnsupportedError(f"{node.label} has p = {p}; only whole numbers are supported")
    node.attributes["p"] = int(p)


@upgrade("RNN", "GRU", "LSTM", below=7)
def outputs_say_what_is_wanted(node: Node, scope: Scope) -> None:
    """Drop ``output_sequence``: an output that is named is wanted."""
    node.attributes.pop("output_sequence", None)
    if node.attributes.get("direction") == "foward":  # the default of GRU 1, so spelled
        node.attributes["direction"] = "forward"
