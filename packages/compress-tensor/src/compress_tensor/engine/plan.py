"""Planning: from specialised nodes to records, their memory, and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from ..graph.graph import Node
from ..native.library import ISAS, isa
from .begin import begun
from .chains import chained
from .finish import finished
from .fuse import fuse
from .lower import LOWERINGS
from .lowering import Lowering
from .memory import require_memory
from .options import Options
from .program import Program, Repeated, place
from .run import Arenas, Plan, Planned
from .spaced import spaced
from .specialize import Specialized, without_dead
from .steps import HostCall, Record, Step, views_of
from .view import Kind
from .weights import Weights
from .widen import widen

_SMALL = 1 << 20  # bytes that any machine has
_HALF = ("gemm_bf16", "conv_bf16")


def make_plan(
    part: Specialized,
    inputs: Sequence[str],
    outputs: Sequence[str],
    weights: Weights,
    arenas: Arenas,
    threads: int,
    options: Options,
) -> Plan:
    """Plan the specialised nodes: lowering, memory, programs.

    Args:
        part: what to compute.
        inputs: names that a run is given.
        outputs: names that a run returns.
        weights: packed weights of the session, extended here.
        arenas: memory for runs, of the session.
        threads: the number for which scratch memory is reserved.
        options: what the session was asked for.
    """
    wanted = set(outputs)
    nodes = without_dead(part.nodes, wanted)
    nodes = widen(nodes, part.infos, part.constants, list(outputs))
    nodes = without_dead(fuse(nodes, part.infos, part.constants, outputs=wanted), wanted)
    unknown = {n for n in outputs if part.infos[n].shape is None}
    fixed = [name for name in outputs if name not in unknown]
    given = (part.infos, part.constants, list(inputs), fixed, nodes, weights, part.stable)
    ctx = Lowering(*given, options)
    report: list[Planned] = []
    _require_values(nodes, part)
    for node in nodes:
        before = len(ctx.steps)
        if id(node) in ctx.done:
            report.append(Planned(node.label, "fused"))
            continue
        if any(name and part.infos[name].shape is None for name in node.outputs):
            ctx.host(node, "its output shape depends on data")
            ctx.finish(node)
        else:
            ctx.lower(node, LOWERINGS.get((node.domain, node.op)))
        report.append(Planned(node.label, _how(ctx.steps[before:])))
    ctx.results()
    return _assemble(ctx, part, inputs, outputs, arenas, threads, report)


def _require_values(nodes: Sequence[Node], part: Specialized) -> None:
    """Refuse values that no memory holds.

    Raises:
        ShapeError: naming the first such value and its node.
    """
    for node in nodes:
        for name in node.outputs:
            info = part.infos[name] if name else None
            if info is not None and info.shape is not None:
                nbytes = prod(info.shape) * info.dtype.numpy.itemsize
                if nbytes > _SMALL:
                    require_memory(nbytes, f"{node.label}: {name!r} of shape {list(info.shape)}")


def _how(steps: Sequence[Step]) -> str:
    for step in steps:
        if isinstance(step, HostCall):
            return f"reference: {step.reason}"
    kernels = [step.kernel for step in steps if isinstance(step, Record)]
    slow = any(name in _HALF for name in kernels) and ISAS.index(isa()) < ISAS.index("avx512bf16")
    without = " (no VDPBF16PS: slower than float32)" if slow else ""
    return ", ".join(kernels) + without if kernels else "view"


def _assemble(
    ctx: Lowering,
    part: Specialized,
    inputs: Sequence[str],
    outputs: Sequence[str],
    arenas: Arenas,
    threads: int,
    report: list[Planned],
) -> Plan:
    results = {name: ctx.views[name] for name in outputs if name in ctx.views}
    kept = [view.buffer for view in results.values()]
    planned = spaced(begun(chained(finished(ctx.steps, kept), kept), kept), kept)
    uses = [(n, views_of(step)) for n, step in enumerate(planned)]
    uses.append((len(planned), list(results.values())))
    offsets, arena_bytes, bases = place(uses)
    made = sum(buffer.nbytes for buffer in bases if buffer.kind is Kind.OUTPUT)
    require_memory(arena_bytes + made, "a run with inputs of these shapes")
    steps: list[Program | Repeated | HostCall] = []
    segment: list[Record] = []
    total = arena_bytes
    for item in [*planned, None]:
        if isinstance(item, Record):
            segment.append(item)
            continue
        if segment:
            program = Program(segment, bases, offsets, arena_bytes)
            total = max(total, program.arena_bytes(threads))
            steps.append(program)
            segment = []
        if item is not None:
            steps.append(item)
    return Plan(
        steps=steps,
        bases=bases,
        offsets=offsets,
        arena_bytes=total,
        inputs=list(inputs),
        outputs=list(outputs),
        # Without contents: a plan must not keep weights that its records read packed.
        infos={name: replace(part.infos[name], value=None, stored=None) for name in outputs},
        results=results,
        report=report,
        arenas=arenas,
    )
