"""Which values can be computed in their place inside the concatenation that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..graph.graph import Array, Node
from ..graph.rules.registry import Info


@dataclass(frozen=True, slots=True)
class Part:
    """A value's place: ``whole``, from ``start`` on along ``axis``."""

    whole: str
    axis: int
    start: int


def find_parts(
    nodes: Sequence[Node], infos: dict[str, Info], constants: dict[str, Array]
) -> dict[str, Part]:
    """Return the place of every value that one concatenation alone reads once.

    Where all inputs are dequantized from one grid, the codes have places too, inside the codes of
    the result: `codes_name` says what these are called.
    """
    made_by = {name: node for node in nodes for name in node.outputs if name}
    found: dict[str, Part] = {}
    for node in nodes:
        if node.op != "Concat" or node.domain:
            continue
        whole = node.outputs[0]
        shape = infos[whole].shape
        if not shape:
            continue
        sources = [_codes_behind(name, made_by) for name in node.inputs]
        grids = {_grid(source, constants) for source in sources}
        on_codes = len(grids) == 1 and None not in grids
        axis, start = int(node.attributes["axis"]) % len(shape), 0
        for name, source in zip(node.inputs, sources, strict=True):
            if node.inputs.count(name) == 1 and name not in constants:
                found.setdefault(name, Part(whole, axis, start))
                if on_codes and source is not None and source.inputs[0] not in constants:
                    codes = source.inputs[0]
                    place = Part(codes_name(whole), axis, start)
                    found.setdefault(codes, place)
                    declared = Info(infos[codes].dtype, shape, None, place.whole)
                    infos.setdefault(place.whole, declared)
            start += infos[name].dims[axis]
    return found


def codes_name(name: str) -> str:
    """Return what the codes of a float value are called inside a plan."""
    return f"{name}/codes"


def _codes_behind(name: str, made_by: dict[str, Node]) -> Node | None:
    node = made_by.get(name)
    return node if node is not None and node.op == "DequantizeLinear" else None


def _grid(node: Node | None, constants: dict[str, Array]) -> tuple[bytes, ...] | None:
    """Return scale and zero point of a per-tensor grid, comparable."""
    if node is None or len(node.inputs) < 3:
        return None
    arrays = [constants.get(name) for name in node.inputs[1:3]]
    if any(array is None or array.size != 1 for array in arrays):
        return None
    return tuple(
        array.dtype.str.encode() + array.tobytes() for array in arrays if array is not None
    )
