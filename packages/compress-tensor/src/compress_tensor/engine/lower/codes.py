"""Operators on codes that need no arithmetic of their own: movement, tables, sums, products."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf

import numpy as np

from ...backend.reference.registry import evaluate
from ...dtype import DType
from ...graph.graph import Array, Node
from ...graph.rules.registry import Info
from ..lowering import Lowering
from ..parts import codes_name
from ..quantized import Quantized
from ..registry import LOWERINGS, on_codes
from .elementwise import UNARY, clip_bounds
from .quant import grid_of

BYTES = (DType.UINT8, DType.INT8)
MOST_PIXELS = 1 << 22  #: of a mean whose sum stays inside int32


@dataclass
class Requantized:
    """What follows a float result: perhaps a clip, perhaps its quantization.

    Attributes:
        output: the last value made.
        grid: of the result; None: it stays float.
        low: lower bound of the clip, as a real number.
        high: upper bound of the clip.
        nodes: what was taken over.
    """

    output: str
    grid: Quantized | None = None
    low: float = -inf
    high: float = inf
    nodes: list[Node] = field(default_factory=list)

    def bounds(self) -> tuple[float, float]:
        """Return the clip in steps from the zero point, inside the range of the codes."""
        assert self.grid is not None
        scale, zero = scalar(self.grid)
        least, most = DType.of(self.grid.zero_point.dtype).integer_range
        low = max(float(least - zero), float(np.float32(self.low / scale)))
        high = min(float(most - zero), float(np.float32(self.high / scale)))
        return min(low, float(most - zero)), max(high, float(least - zero))

    def finish(self, ctx: Lowering) -> None:
        """Mark the nodes as planned."""
        for node in self.nodes:
            ctx.finish(node)


def scalar(grid: Quantized) -> tuple[float, int]:
    """Return the scale and zero point of a per-tensor grid."""
    return float(grid.scale.reshape(())), int(grid.zero_point.reshape(()))


def bytes_of(ctx: Lowering, name: str) -> Quantized | None:
    """Return the grid of a value that exists as per-tensor 8-bit codes."""
    found = ctx.quantized.get(name)
    if found is None or found.scale.size != 1 or DType.of(found.zero_point.dtype) not in BYTES:
        return None
    return found


def requantized(ctx: Lowering, name: str, nodes: list[Node] | None = None) -> Requantized:
    """Follow a float result to the QuantizeLinear that alone reads it."""
    found = Requantized(name, nodes=list(nodes or []))
    node = ctx.only_consumer(name)
    if node is not None and node.op in ("Relu", "Clip") and not node.domain:
        bounds = clip_bounds(ctx, node)
        if bounds is None:
            return found
        found.low, found.high = bounds
        found.nodes.append(node)
        found.output = node.outputs[0]
        node = ctx.only_consumer(found.output)
    grid = None if node is None else grid_to_bytes(ctx, node)
    if node is not None and grid is not None:
        found.grid, found.output = grid, node.outputs[0]
        found.nodes.append(node)
    return found


def grid_to_bytes(ctx: Lowering, node: Node) -> Quantized | None:
    """Return the grid of a QuantizeLinear to bytes, if it is one and known; None else."""
    if node.op != "QuantizeLinear" or node.domain:
        return None
    codes = node.outputs[0]
    dtype = ctx.info(codes).dtype
    grid = grid_of(ctx, node, codes, dtype)
    return grid if grid is not None and grid.scale.size == 1 and dtype in BYTES else None


@on_codes(
    *("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Expand"),
    *("Tile", "DepthToSpace", "SpaceToDepth", "MaxPool", "Gather", "Split", "Dropout"),
)
def move(ctx: Lowering, node: Node) -> bool:
    """Move codes instead of floats: the outputs lie on the input's grid.

    Maxima are among the moves: dequantizing keeps the order.
    """
    grid = bytes_of(ctx, node.inputs[0])
    if grid is None or any(name in ctx.quantized for name in node.inputs[1:]):
        return False
    if node.op == "Dropout" and any(node.outputs[1:]):
        return False
    if node.op == "MaxPool" and any(node.outputs[1:]):
        return False
    if any(name in ctx.outputs for name in node.outputs):
        return False
    shadow = node.copy()
    shadow.inputs[0] = grid.codes
    for i, name in enumerate(node.outputs):
        if name:
            shadow.outputs[i] = _codes_of(ctx, name, grid)
    LOWERINGS["", node.op](ctx, shadow)
    for name, codes in zip(node.outputs, shadow.outputs, strict=True):
        if name:
            ctx.defer(name, replace(grid, codes=codes))
    return True


@on_codes("Pad")
def pad(ctx: Lowering, node: Node) -> bool:
    """Pad codes: a border of real zeros is one of zero points, the other modes move codes."""
    grid = bytes_of(ctx, node.inputs[0])
    if grid is None or node.outputs[0] in ctx.outputs:
        return False
    value_name = ctx.optional(node, 2)
    value = ctx.value(value_name) if value_name else np.zeros(1, np.float32)
    if value is None or value.any():
        return False
    zero = f"{node.outputs[0]}/zero"
    ctx.constants[zero] = grid.zero_point
    ctx.infos[zero] = Info(DType.of(grid.zero_point.dtype), grid.zero_point.shape, None, zero)
    codes = _codes_of(ctx, node.outputs[0], grid)
    shadow = node.copy()
    shadow.inputs = [grid.codes, node.inputs[1], zero, *node.inputs[3:]]
    shadow.outputs = [codes]
    LOWERINGS["", "Pad"](ctx, shadow)
    ctx.defer(node.outputs[0], replace(grid, codes=codes))
    return True


def _codes_of(ctx: Lowering, name: str, grid: Quantized) -> str:
    """Declare the codes of a value under a name of their own."""
    codes = codes_name(name)
    info = ctx.info(name)
    ctx.infos[codes] = Info(DType.of(grid.zero_point.dtype), info.shape, None, codes)
    return codes


@on_codes("Concat")
def concat(ctx: Lowering, node: Node) -> bool:
    """Concatenate codes of one grid; others first go through a table to the result's grid."""
    grids = [bytes_of(ctx, name) for name in node.inputs]
    if any(grid is None for grid in grids) or node.outputs[0] in ctx.outputs:
        return False
    known = [grid for grid in grids if grid is not None]
    chain = requantized(ctx, node.outputs[0])
    target = known[0]
    plain = all(grid.same_grid(target) for grid in known)
    if not plain:
        if chain.grid is None or chain.low != -inf or chain.high != inf:
            return False
        target = chain.grid
    names = [_on_grid(ctx, grid, target) for grid in known]
    codes = _codes_of(ctx, node.outputs[0], target)
    shadow = Node("Concat", names, [codes], dict(node.attributes), node.name)
    LOWERINGS["", "Concat"](ctx, shadow)
    ctx.defer(node.outputs[0], replace(target, codes=codes))
    return True


def _on_grid(ctx: Lowering, grid: Quantized, target: Quantized) -> str:
    """Return the name of the same values as codes of another grid."""
    if grid.same_grid(target):
        return grid.codes
    view = ctx.view(grid.codes)
    dtype = DType.of(target.zero_point.dtype)
    moved = ctx.temp(view.shape, dtype, ctx.like(grid.codes))
    identity = Node("Identity", ["x"], ["y"])
    table = ctx.constant(table_of(ctx, grid, identity, target))
    ctx.elementwise_table(view, table, moved)
    name = f"{grid.codes}/{len(ctx.steps)}"
    ctx.infos[name] = Info(dtype, moved.shape, None, name)
    ctx.define(name, moved)
    return name


def table_of(ctx: Lowering, grid: Quantized, node: Node, target: Quantized) -> Array:
    """Return the codes of node(x) on ``target`` for all 256 codes of x, by the definitions."""
    codes = np.arange(256, dtype=np.uint8).view(grid.zero_point.dtype)
    (x,) = evaluate("DequantizeLinear", [codes, grid.scale, grid.zero_point], {})
    given: list[Array | None] = [x, *(ctx.value(n) if n else None for n in node.inputs[1:])]
    (y,) = evaluate(node.op, given, node.attributes)
    (found,) = evaluate("QuantizeLinear", [y, target.scale, target.zero_point], {})
    return found


@on_codes(*UNARY, "Gelu", "Clip")
def unary(ctx: Lowering, node: Node) -> bool:
    """Look up f(x) in a table, where the result is quantized; a Relu keeps the grid."""
    grid = bytes_of(ctx, node.inputs[0])
    if grid is None or any(n and ctx.value(n) is None for n in node.inputs[1:]):
        return False
    out = node.outputs[0]
    chain = requantized(ctx, out)
    if chain.grid is not None and chain.low == -inf and chain.high == inf:
        target, output = chain.grid, chain.output
    elif node.op == "Relu" and out not in ctx.outputs:
        target, output = replace(grid, codes=""), _codes_of(ctx, out, grid)
    else:
        return False
    view = ctx.view(grid.codes)
    entries = table_of(ctx, grid, node, target)
    if output == chain.output:
        chain, entries = _with_source(ctx, grid, chain, entries)
        output = chain.output
    made = ctx.output(output, ctx.like(grid.codes))
    ctx.elementwise_table(view, ctx.constant(entries), made)
    if output == chain.output:
        chain.finish(ctx)
    else:
        ctx.defer(out, replace(grid, codes=output))
    return True


def _with_source(
    ctx: Lowering, source: Quantized, chain: Requantized, entries: Array
) -> tuple[Requantized, Array]:
    """Take in the Add or Mul of what a table makes and what it reads, as in x * sigmoid(x).

    That is one table too, of the codes that the two records would give.
    """
    reader = ctx.only_consumer(chain.output)
    if reader is None or reader.op != "DequantizeLinear" or reader.domain:
        return chain, entries
    made = grid_of(ctx, reader, chain.output, DType.UINT8)
    node = ctx.only_consumer(reader.outputs[0])
    if made is None or made.scale.size != 1 or entries.dtype != np.uint8:
        return chain, entries
    if node is None or node.domain:
        return chain, entries
    if node.op not in ("Add", "Mul") or len(node.inputs) != 2:
        return chain, entries
    other = bytes_of(ctx, next(n for n in node.inputs if n != reader.outputs[0]))
    if other is None or other.codes != source.codes:
        return chain, entries
    summed = _combination(ctx, node, [made, other])
    if summed is None:
        return chain, entries
    _, args, after = summed
    after.nodes = [*chain.nodes, reader, node, *after.nodes]
    codes = np.arange(256, dtype=np.uint8)
    return after, combined_codes(node.op, entries, codes, args)


def combined_codes(op: str, a: Array, b: Array, args: list[float]) -> Array:
    """Return what the kernels add_q8 and mul_q8 make of codes u8, for their arguments."""
    za, zb, sa, sb, low, high, zero = (np.float32(arg) for arg in args)
    left, right = a.astype(np.float32) - za, b.astype(np.float32) - zb
    value = left * right * sa if op == "Mul" else left * sa + right * sb
    codes: Array = (np.rint(np.clip(value, low, high)) + zero).astype(np.uint8)
    return codes


@on_codes("Add", "Mul", "Sum")
def combine(ctx: Lowering, node: Node) -> bool:
    """Add or multiply codes, with a clip and the quantization of the result."""
    if len(node.inputs) != 2:
        return False
    grids = [grid for grid in (bytes_of(ctx, name) for name in node.inputs) if grid is not None]
    found = _combination(ctx, node, grids) if len(grids) == 2 else None
    if found is None:
        return False
    kernel, args, chain = found
    views = [ctx.view(grid.codes) for grid in grids]
    out = ctx.output(chain.output, ctx.like(*(grid.codes for grid in grids)))
    ctx.elementwise(kernel, [*views, out], args)
    chain.finish(ctx)
    return True


def _combination(
    ctx: Lowering, node: Node, grids: list[Quantized]
) -> tuple[str, list[float], Requantized] | None:
    """Return the kernel for a sum or product of codes u8, its arguments, and what follows."""
    chain = requantized(ctx, node.outputs[0])
    if chain.grid is None or ctx.info(chain.output).dtype is not DType.UINT8:
        return None
    if any(grid.zero_point.dtype != np.uint8 for grid in grids):
        return None
    (sa, za), (sb, zb) = (scalar(grid) for grid in grids)
    so, zo = scalar(chain.grid)
    one, other, target = np.float32(sa), np.float32(sb), np.float32(so)
    if node.op == "Mul":
        kernel, factors = "mul_q8", [float(one * other / target), 0.0]
    else:
        kernel, factors = "add_q8", [float(one / target), float(other / target)]
    return kernel, [za, zb, *factors, *chain.bounds(), zo], chain


@on_codes("GlobalAveragePool", "AveragePool")
def mean(ctx: Lowering, node: Node) -> bool:
    """Average the codes of a whole image."""
    grid = bytes_of(ctx, node.inputs[0])
    chain = requantized(ctx, node.outputs[0])
    if grid is None or chain.grid is None or len(ctx.info(node.inputs[0]).dims) != 4:
        return False
    if grid.zero_point.dtype != np.uint8 or chain.grid.zero_point.dtype != np.uint8:
        return False
    view = ctx.view(grid.codes)
    height, width = view.shape[2:]
    if node.op == "AveragePool":
        attributes = ctx.attributes(node)
        whole = tuple(attributes["kernel_shape"]) == (height, width)
        if (
            not whole
            or ctx.info(node.outputs[0]).dims[2:] != (1, 1)
            or any(attributes["pads"] or [])
        ):
            return False
    if not 0 < height * width <= MOST_PIXELS:
        return False
    (sx, zx), (sy, zy) = scalar(grid), scalar(chain.grid)
    factor = np.float32(sx) / (np.float32(height * width) * np.float32(sy))
    out = ctx.output(chain.output)
    if out.size:
        ctx.emit("mean_q8", [view, out], [zx, float(factor), *chain.bounds(), zy])
    chain.finish(ctx)
    return True
