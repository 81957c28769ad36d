"""Running one operator now, on tensors of any strides.

The operator is planned as a graph of one node by the engine's own lowerings and the plan is kept:
so an operator has one definition, and a call on tensors of shapes seen before is one call into
libcore.  What libcore has no kernel for runs by its reference definition.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .backend.reference.registry import evaluate
from .dtype import DType
from .engine.lower import LOWERINGS
from .engine.lowering import Lowering
from .engine.program import Program, place
from .engine.specialize import specialize
from .engine.steps import HostCall, Record
from .engine.view import Buffer, Kind, View, channels_last, row_major
from .engine.weights import Weights
from .engine.widen import widen
from .errors import InputError, NativeArgumentError, ShapeError
from .forks import Lock
from .graph.graph import Array, Graph, Node
from .graph.rules.registry import Info, NeedsValue
from .graph.stored import loaded
from .native.call import call
from .native.library import Pool, core
from .packed import PACKED
from .processors import processors
from .storage import Storage, allocate
from .tensor import Tensor, copy_of

MOST_PLANS = 2048  #: plans kept; when there are more, the older half goes
MOST_SCRATCH = 1 << 22  #: bytes of scratch memory that a thread keeps for its next call

#: attributes as pairs, so that they can be part of a key
Attributes = tuple[tuple[str, Any], ...]
Input = Tensor | Array | None  #: an array's contents are part of the plan


class _Plan:
    """What a call does.

    Attributes:
        run: the C function; None: the reference definition computes.
        handle: of the program.
        pool: of the threads.
        addresses: makes the array of addresses that a run takes.
        arena: bytes of scratch memory.
        places: where each base of the program is: an input (0, 1, ...) and the bytes from its
            element (0, ..., 0), an output (-1, -2, ...), or None and a constant's address.
        outputs: type, shape, strides and bytes of each.
        kept: what must outlive the plan.
    """

    __slots__ = ("addresses", "arena", "handle", "kept", "outputs", "places", "pool", "run")

    def __init__(self) -> None:
        self.run: Callable[..., Any] | None = None
        self.handle: ctypes.c_void_p | None = None
        self.pool: ctypes.c_void_p | None = None
        self.addresses: Any = None
        self.arena = 0
        self.places: list[tuple[int | None, int]] = []
        self.outputs: list[tuple[DType, tuple[int, ...], tuple[int, ...], int]] = []
        self.kept: list[object] = []


class _Scratch(threading.local):
    storage: Storage | None = None


_WIDTH = {dtype: dtype.numpy.itemsize for dtype in DType}
_PLANS: dict[tuple[Any, ...], _Plan] = {}
_LOCK = Lock()
_NO_WEIGHTS = Weights()  #: stays empty: no constant of an operator is for long
_SCRATCH = _Scratch()
_THREADS = [processors()]
_POOL: list[Pool] = []


def get_num_threads() -> int:
    """Return how many threads an eager operation may use."""
    return _THREADS[0]


def set_num_threads(threads: int) -> None:
    """Let eager operations use at most this many threads; results are the same bytes.

    Raises:
        InputError: unless it is from 1 to 256.
    """
    if not 1 <= threads <= 256:
        raise InputError(f"threads must be from 1 to 256, not {threads}")
    with _LOCK:
        _THREADS[0] = threads
        _PLANS.clear()
        _POOL.clear()


def _pool() -> Pool | None:
    with _LOCK:
        if _THREADS[0] > 1 and not _POOL:
            _POOL.append(Pool(_THREADS[0]))
        return _POOL[0] if _POOL else None


def _forget_threads() -> None:
    """In a forked child: the threads of the parent's pool do not exist here."""
    _POOL.clear()
    _PLANS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def kernel(name: str, arrays: Sequence[Array | None], args: Sequence[int | float] = ()) -> None:
    """Run a kernel of libcore that is no ONNX operator, on the threads of eager operations."""
    call(name, arrays, args, _pool())


def run(op: str, inputs: Sequence[Input], attributes: Attributes = ()) -> Tensor:
    """Compute one ONNX operator of one output (see `run_many`)."""
    return run_many(op, inputs, attributes, 1)[0]


def run_many(
    op: str, inputs: Sequence[Input], attributes: Attributes, outputs: int
) -> list[Tensor]:
    """Compute one ONNX operator.

    Args:
        op: its name, after ``domain::`` for one that is not ONNX's.
        inputs: tensors; arrays whose contents the plan depends on (axes, sizes); None: omitted.
        attributes: as pairs; lists as tuples.
        outputs: how many results are wanted.

    Returns:
        New dense tensors: row-major, or images channels-last where they were computed so.

    Raises:
        ShapeError: if shapes, types or attributes do not fit the operator.
        InputError: if contents do not (an index out of range).
    """
    words: list[Any] = [op, attributes, outputs]
    tape = None
    for given in inputs:
        if isinstance(given, Tensor):
            words += (given._dtype, given._shape, given._strides)
            tape = given._tape or tape
        elif given is None:
            words.append(None)
        else:
            words += (given.dtype, given.shape, given.tobytes())
    if tape is not None:
        other = tape.instead(op, inputs, attributes, outputs)
        if other is not None:
            return other
    key = tuple(words)
    plan = _PLANS.get(key)
    if plan is None:
        plan = _remember(key, _make(op, inputs, attributes, outputs))
    if plan.run is None:
        found = _reference(op, inputs, attributes, outputs)
    else:
        stores = [allocate(nbytes) for _, _, _, nbytes in plan.outputs]
        _execute(op, plan, inputs, stores)
        found = [
            Tensor._make(store, dtype, shape, strides)
            for store, (dtype, shape, strides, _) in zip(stores, plan.outputs, strict=True)
        ]
    if tape is not None:
        tape.ran(op, inputs, attributes, found)
    return found


def run_in_place(op: str, inputs: Sequence[Tensor]) -> bool:
    """Compute an elementwise operator into its first input, if libcore can.

    The caller has made sure that the first input is dense and writable, and that the others do
    not overlap with it (unless they are the same view).

    Returns:
        Whether it was done; nothing has changed if not.
    """
    words: list[Any] = [op, (), 1]
    for given in inputs:
        words += (given._dtype, given._shape, given._strides)
    key = tuple(words)
    plan = _PLANS.get(key)
    if plan is None:
        plan = _remember(key, _make(op, inputs, (), 1))
    out = inputs[0]
    if plan.run is None or plan.outputs[0][:3] != (out._dtype, out._shape, out._strides):
        return False
    at = out._storage.address + out._offset * _WIDTH[out._dtype]
    _execute(op, plan, inputs, [Storage(out._storage.memory, at, writable=True)])
    return True


def _execute(op: str, plan: _Plan, inputs: Sequence[Input], stores: Sequence[Storage]) -> None:
    """Run a plan's program on the memory of inputs and outputs."""
    bases: list[int] = [0]
    scratch = None
    if plan.arena:
        scratch = _take_scratch(plan.arena)
        bases[0] = scratch.address
    for index, shift in plan.places:
        if index is None:
            bases.append(shift)
        elif index < 0:
            bases.append(stores[-1 - index].address)
        else:
            given: Any = inputs[index]
            bases.append(given._storage.address + given._offset * _WIDTH[given._dtype] + shift)
    run = plan.run
    assert run is not None
    try:
        run(plan.handle, len(bases), plan.addresses(*bases), plan.pool, None, None)
    except NativeArgumentError as error:
        raise InputError(f"{op}: {error}") from error
    if scratch is not None and plan.arena <= MOST_SCRATCH:
        _SCRATCH.storage = scratch


def _take_scratch(nbytes: int) -> Storage:
    kept, _SCRATCH.storage = _SCRATCH.storage, None
    if kept is not None and kept.memory.size >= nbytes:
        return kept
    return allocate(nbytes)


def _remember(key: tuple[Any, ...], plan: _Plan) -> _Plan:
    with _LOCK:
        if len(_PLANS) >= MOST_PLANS:
            for old in list(_PLANS)[: MOST_PLANS // 2]:
                del _PLANS[old]
        _PLANS[key] = plan
    return plan


def _node(op: str, inputs: Sequence[Input], attributes: Attributes, outputs: int) -> Node:
    names = ["" if given is None else f"x{n}" for n, given in enumerate(inputs)]
    while names and not names[-1]:
        names.pop()
    chosen = {
        name: list(value) if isinstance(value, tuple) else value for name, value in attributes
    }
    domain, _, name = op.rpartition("::")
    return Node(name, names, [f"y{n}" for n in range(outputs)], chosen, domain=domain)


def _make(op: str, inputs: Sequence[Input], attributes: Attributes, outputs: int) -> _Plan:
    """Plan one operator for inputs of these types, shapes and strides."""
    node = _node(op, inputs, attributes, outputs)
    infos: dict[str, Info] = {}
    constants: dict[str, Array] = {}
    for n, given in enumerate(inputs):
        if isinstance(given, Tensor):
            infos[f"x{n}"] = Info(given.dtype, given.shape, None, f"x{n}")
        elif given is not None:
            constants[f"x{n}"] = given
    plan = _Plan()
    try:
        part = specialize(Graph(nodes=[node], constants=constants), infos)
    except NeedsValue:
        return plan
    except ShapeError as error:
        sentence = str(error).removeprefix(node.label).removeprefix(": ")
        raise ShapeError(f"{op}: {sentence}") from None
    if part.needs or part.rest:
        return plan
    if any(part.infos[name].shape is None for name in node.outputs):
        return plan
    if any(info.dtype in PACKED for info in part.infos.values()):
        return plan
    nodes = widen(part.nodes, part.infos, part.constants, node.outputs)
    ctx = Lowering(part.infos, part.constants, [], [], nodes, _NO_WEIGHTS)
    shifts: dict[str, int] = {}
    for n, given in enumerate(inputs):
        if isinstance(given, Tensor):
            view, shifts[f"x{n}"] = _seen(f"x{n}", given)
            ctx.define(f"x{n}", view)
    for each in nodes:
        ctx.lower(each, LOWERINGS.get((each.domain, each.op)))
    if any(isinstance(step, HostCall) for step in ctx.steps):
        return plan
    made = [_result(ctx, name, node.op) for name in node.outputs]
    records = [step for step in ctx.steps if isinstance(step, Record)]
    _assemble(plan, records, made, shifts)
    return plan


def _result(ctx: Lowering, name: str, op: str) -> View:
    """Return an output in memory of its own: where it was computed, or else in a copy.

    Images stay channels-last if they were computed like that; anything else is row-major.
    """
    view = ctx.view(name)
    layouts = {row_major(view.shape)}
    if op != "Identity":  # which is how copies are made
        layouts.add(channels_last(view.shape))
    whole = view.offset == 0 and view.buffer.nbytes == view.size * view.itemsize
    if view.buffer.kind is Kind.ARENA and whole and view.strides in layouts:
        view.buffer.kind, view.buffer.name = Kind.OUTPUT, name
        return view
    buffer = Buffer(Kind.OUTPUT, view.size * view.itemsize, name)
    target = View(buffer, 0, view.dtype, view.shape, row_major(view.shape))
    ctx.copy(view, target)
    return target


def _seen(name: str, given: Tensor) -> tuple[View, int]:
    """Return the view of an input in the memory that it reaches, and where that starts."""
    pairs = list(zip(given.shape, given.strides, strict=True))
    low = sum(min(0, stride * (size - 1)) for size, stride in pairs)
    high = sum(max(0, stride * (size - 1)) for size, stride in pairs)
    if not given.size:
        low = high = 0
    width = given.dtype.numpy.itemsize
    buffer = Buffer(Kind.INPUT, (high - low + 1) * width, name)
    return View(buffer, -low, given.dtype, given.shape, given.strides), low * width


def _assemble(
    plan: _Plan, records: list[Record], made: Sequence[View], shifts: dict[str, int]
) -> None:
    """Make the program, and say where its bases come from in a call."""
    for view in made:
        nbytes = view.size * view.itemsize
        plan.outputs.append((view.dtype, view.shape, view.strides, nbytes))
    if not records:  # nothing to compute: every output is empty
        plan.run, plan.addresses = _nothing, _no_addresses
        return
    offsets, arena, bases = place([(n, record.operands) for n, record in enumerate(records)])
    program = Program(records, bases, offsets, arena)
    pool = _pool()
    plan.kept = [program, pool]
    plan.arena = max(arena, program.arena_bytes(pool.threads if pool else 1))
    for buffer in bases:
        if buffer.kind is Kind.INPUT:
            plan.places.append((int(buffer.name[1:]), shifts[buffer.name]))
        elif buffer.kind is Kind.OUTPUT:
            plan.places.append((-1 - int(buffer.name[1:]), 0))
        else:
            assert buffer.array is not None
            array = loaded(buffer.array)
            plan.kept.append(array)
            plan.places.append((None, int(array.ctypes.data)))
    plan.run = core().cpr_program_run
    plan.handle = program.handle
    plan.pool = pool.handle if pool else None
    plan.addresses = ctypes.c_void_p * (len(bases) + 1)


def _nothing(*arguments: object) -> int:
    return 0


def _no_addresses(*addresses: int) -> None:
    return None


def _reference(
    op: str, inputs: Sequence[Input], attributes: Attributes, outputs: int
) -> list[Tensor]:
    """Compute by the definition in numpy."""
    node = _node(op, inputs, attributes, outputs)
    arrays = [given.numpy() if isinstance(given, Tensor) else given for given in inputs]
    results = evaluate(
        node.op,
        arrays[: len(node.inputs)],
        node.attributes,
        outputs,
        domain=node.domain,
        where=op,
    )
    return [copy_of(np.asarray(array)) for array in results[:outputs]]
