"""Shape inference: the types, shapes, and as far as possible values, of a graph's values.

Everything runs with concrete numbers.  What follows from small known values alone is computed by
the reference definitions: so the arithmetic that decides shapes folds away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from inspect import unwrap
from math import prod

from ..backend import reference as _definitions
from ..backend.reference.registry import evaluate, find
from ..dtype import DType
from ..errors import CompressError, InputError, ShapeError, UnsupportedError
from . import rules as _rules
from .flow import FLOW, infer_flow
from .graph import Array, Dim, Graph, Node, Value
from .rules.common import result
from .rules.registry import RULES, Info, Rule
from .stored import Entry, Stored, unread

__all__ = ["infer", "infer_node", "info_of"]
_LOADED = (_definitions, _rules)  #: both packages fill their tables when imported

SMALL = 4096  #: most elements of an output whose value is computed
_READ = 1 << 16  #: most elements read to compute one
RANDOM = frozenset(
    {
        *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
        *("Bernoulli", "Multinomial", "Dropout"),
    }
)
#: operators whose work the sizes of inputs and outputs do not bound; shapes never hang on them
COSTLY = frozenset(
    {
        *("Conv", "ConvInteger", "ConvTranspose", "QLinearConv", "DeformConv", "Col2Im"),
        *("MaxPool", "AveragePool", "LpPool", "MaxUnpool", "RoiAlign", "MaxRoiPool", "LRN"),
        *("Resize", "Upsample", "GridSample", "Einsum", "NonMaxSuppression", "Attention"),
        *("LSTM", "GRU", "RNN", "LinearAttention", "CausalConvWithState", "MelWeightMatrix"),
        *("DFT", "STFT", "TfIdfVectorizer", "RegexFullMatch", "StringNormalizer", "StringSplit"),
    }
)
#: operators whose results stay to be computed even if all inputs are known; DequantizeLinear,
#: because integer kernels read the codes
KEPT = RANDOM | COSTLY | {"DequantizeLinear"}
_OWN_ERRORS = (TypeError, ValueError, IndexError, KeyError, AttributeError, ArithmeticError)


def info_of(value: Entry, name: str = "") -> Info:
    """Return all that is known of an array."""
    if isinstance(value, Stored):
        return Info(DType.of(value.dtype), value.shape, None, name, value)
    return Info(DType.of(value.dtype), value.shape, value, name)


def infer_node(
    node: Node,
    infos: Sequence[Info | None],
    n_outputs: int,
    scope: Mapping[str, Info] | None = None,
) -> list[Info]:
    """Return what a node's outputs look like.

    Args:
        node: the operator and its attributes.
        infos: one per input; None: omitted.
        n_outputs: how many outputs are wanted.
        scope: what its subgraphs may read.

    Raises:
        UnsupportedError: if the operator is unknown.
        ShapeError: naming the node, if inputs or attributes do not fit.
        NeedsValue: if the contents of an input must be known first.
    """
    try:
        if not node.domain and node.op in FLOW:
            found = infer_flow(node, infos, scope or {}, _infer_body)
        else:
            found = _apply(node, infos, n_outputs)
    except ShapeError as error:
        if str(error).startswith(node.label):
            raise
        raise ShapeError(f"{node.label}: {error}") from error
    except CompressError:
        raise
    except _OWN_ERRORS as error:
        why = f"{type(error).__name__}: {error}"
        raise ShapeError(f"{node.label}: inputs or attributes do not fit ({why})") from error
    if len(found) < n_outputs and any(node.outputs[len(found) :]):
        raise ShapeError(f"{node.label} has {n_outputs} outputs, but makes only {len(found)}")
    return [
        Info(info.dtype, info.shape, info.value, name)
        for info, name in zip(found[:n_outputs], node.outputs, strict=False)
    ]


def _apply(node: Node, infos: Sequence[Info | None], n_outputs: int) -> list[Info]:
    definition = find(node.op, node.domain)
    rule = RULES.get((node.domain, node.op))
    if rule is None:
        raise UnsupportedError(f"operator {node.op} has no shape rule")
    given = list(infos)
    while given and given[-1] is None:
        given.pop()
    fewest, most = definition.n_inputs
    if len(given) < fewest or (most is not None and len(given) > most):
        wanted = f"{fewest}" if most == fewest else f"{fewest} to {most or 'any number of'}"
        raise ShapeError(f"{len(given)} inputs are given, {wanted} are needed")
    if None in given and (None in given[:fewest] or most is None):
        raise ShapeError("an input that is needed is omitted")
    keywords = definition.attributes(node.attributes, node.label)
    counted = {"n_outputs": n_outputs} if definition.counts_outputs and _counts(rule) else {}
    outputs = rule(*given, **keywords, **counted)
    found = list(outputs) if isinstance(outputs, tuple) else [outputs]
    if node.op in KEPT or all(info.value is not None for info in found):
        return found
    return _folded(node, given, found, n_outputs)


@cache
def _counts(rule: Rule) -> bool:
    code = unwrap(rule).__code__
    return "n_outputs" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _folded(
    node: Node, given: Sequence[Info | None], found: list[Info], n_outputs: int
) -> list[Info]:
    """Compute the outputs when all inputs are known and everything is small."""
    if not given or any(info is not None and info.value is None for info in given):
        return found
    values = [None if info is None else info.value for info in given]
    if sum(value.size for value in values if value is not None) > _READ:
        return found
    if any(info.shape is not None and prod(info.shape) > SMALL for info in found):
        return found
    arrays = evaluate(
        node.op, values, node.attributes, n_outputs, domain=node.domain, where=node.label
    )
    return [
        info if array is None else info_of(array)
        for info, array in zip(found, arrays, strict=False)
    ] + found[len(arrays) :]


def _infer_body(graph: Graph, known: Mapping[str, Info]) -> dict[str, Info]:
    """Return everything known inside a graph whose inputs and captures are in ``known``."""
    scope = dict(known)
    for name, value in unread(graph.constants).items():
        scope[name] = info_of(value, name)
    for node in graph.nodes:
        infos = [scope[name] if name else None for name in node.inputs]
        outputs = infer_node(node, infos, len(node.outputs), scope)
        for name, info in zip(node.outputs, outputs, strict=False):
            if name:
                scope[name] = info
    return scope


def infer(
    graph: Graph,
    shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, Array] | None = None,
    symbols: Mapping[str, int] | None = None,
) -> dict[str, Info]:
    """Return what is known of every value of a graph.

    Args:
        graph: the model.
        shapes: of inputs whose shape the graph leaves open.
        values: contents of inputs, or of other values, that are known beforehand.
        symbols: numbers for the symbols in the shapes of inputs.

    Raises:
        InputError: if the shape of an input is not known, or contradicts the graph.
        ShapeError, UnsupportedError, NeedsValue: see ``infer_node``.
    """
    values, bound = values or {}, dict(symbols or {})
    scope: dict[str, Info] = {}
    given: dict[str, tuple[int, ...]] = {
        name: tuple(int(n) for n in shape) for name, shape in (shapes or {}).items()
    }
    given.update({name: value.shape for name, value in values.items()})
    for value in graph.inputs:
        if value.name in given:
            _bind(value, given[value.name], bound)
    for value in graph.inputs:
        shape = given[value.name] if value.name in given else _shape_of(value, bound)
        if value.dtype is None:
            raise InputError(f"the element type of input {value.name!r} is not known")
        content = values.get(value.name)
        if content is not None and DType.of(content.dtype) is not value.dtype:
            raise InputError(f"input {value.name!r} must have type {value.dtype.label}")
        try:
            checked = result(value.dtype, shape)
        except ShapeError as error:
            raise InputError(f"input {value.name!r}: {error}") from error
        scope[value.name] = Info(value.dtype, checked.shape, content, value.name)
    for name, constant in unread(graph.constants).items():
        scope[name] = info_of(constant, name)
    for node in graph.nodes:
        infos = [scope[name] if name else None for name in node.inputs]
        outputs = infer_node(node, infos, len(node.outputs), scope)
        for name, info in zip(node.outputs, outputs, strict=False):
            if name:
                scope[name] = info_of(values[name], name) if name in values else info
    return scope


def _bind(value: Value, shape: tuple[int, ...], bound: dict[str, int]) -> None:
    """Learn symbols from a shape that is given for an input."""
    if value.shape is None:
        return
    if len(value.shape) != len(shape):
        raise InputError(
            f"input {value.name!r} has rank {len(value.shape)}, not shape {list(shape)}"
        )
    for dim, size in zip(value.shape, shape, strict=True):
        if isinstance(dim, str) and bound.setdefault(dim, size) != size:
            raise InputError(f"input {value.name!r}: {dim!r} is {bound[dim]}, not {size}")
        if isinstance(dim, int) and dim != size:
            raise InputError(
                f"input {value.name!r} must have shape {list(value.shape)}, not {list(shape)}"
            )


def _shape_of(value: Value, bound: Mapping[str, int]) -> tuple[int, ...]:
    if value.shape is None:
        raise InputError(f"the shape of input {value.name!r} must be given")
    return tuple(_number(dim, bound, value.name) for dim in value.shape)


def _number(dim: Dim, bound: Mapping[str, int], name: str) -> int:
    if isinstance(dim, int):
        return dim
    if dim is None or dim not in bound:
        raise InputError(f"the size of dimension {dim!r} of input {name!r} must be given")
    return bound[dim]
