"""LSTM, GRU and RNN in training: forward with what is kept, and back through time."""

from __future__ import annotations

from ...backend.reference.gradient import DOMAIN
from ...backend.reference.recurrent_gradient import GATES
from ...graph.graph import Node
from ..lowering import Lowering
from ..registry import lower, require
from ..view import View
from .matrix import floats, packed_matrix
from .recurrent import CODES, DIRECTIONS, lengths, packed_weights


def _dense(ctx: Lowering, name: str) -> View | None:
    return ctx.contiguous(ctx.view(name)) if name else None


@lower("RecurrentForward", domain=DOMAIN)
def recurrent_forward(ctx: Lowering, node: Node) -> None:
    """Plan a layer that keeps what its derivative needs as one record."""
    names = [ctx.optional(node, i) for i in range(8)]
    floats(ctx, *names[:4], *names[5:])
    require(all(node.outputs), "an output is not wanted")
    attributes = ctx.attributes(node)
    kind = str(attributes["kind"])
    x = ctx.view(names[0])
    require(x.size, "no elements")
    r, w = (
        packed_weights(ctx, name, GATES[kind], half=False) if name else None for name in names[1:3]
    )
    states = [ctx.view(name) if name else None for name in names[5:7]]
    operands = [x, w, r, _dense(ctx, names[3]), lengths(ctx, names[4]), states[0]]
    y, y_h, saved, *y_c = (ctx.output(name) for name in node.outputs)
    if kind == "LSTM":
        operands += [states[1], _dense(ctx, names[7]), y, y_h, *y_c, saved]
    else:
        operands += [y, y_h, saved]
    args: list[int | float] = [DIRECTIONS[attributes["direction"]], 0.0, int(attributes["flag"])]
    for name in attributes["activations"]:
        args += [CODES[name], 0.0, 0.0]
    ctx.emit(kind.lower(), operands, [*args, ctx.info(names[1]).dims[-1]])


@lower("RecurrentGrad", domain=DOMAIN)
def recurrent_grad(ctx: Lowering, node: Node) -> None:
    """Plan all steps back as one record."""
    names = [ctx.optional(node, i) for i in range(7)]
    floats(ctx, *names[:3], *names[4:])
    require(all(node.outputs), "an output is not wanted")
    attributes = ctx.attributes(node)
    kind, flag = str(attributes["kind"]), int(attributes["flag"])
    saved, r = ctx.contiguous(ctx.view(names[0])), ctx.view(names[1])
    require(saved.size, "no elements")
    n = r.shape[2]
    inner = None
    if kind == "GRU" and not flag:
        inner = packed_matrix(ctx, r.slice(1, 2 * n, n))
        r = r.slice(1, 0, 2 * n)
    grads = [ctx.view(name) if name else None for name in names[4:]]
    operands = [saved, packed_matrix(ctx, r), inner, _dense(ctx, names[2]), lengths(ctx, names[3])]
    dz, dh, sums, *third = (ctx.output(name) for name in node.outputs)
    fresh = third.pop() if kind == "GRU" and third else None
    operands += [*grads, dz, fresh, dh, third[0] if third else None, sums]
    args = [list(GATES).index(kind), DIRECTIONS[attributes["direction"]], flag]
    args += [CODES[name] for name in attributes["activations"]]
    ctx.emit("recurrent_grad", operands, [*args, n])
