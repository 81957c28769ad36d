"""The parity certificate: the same quantized file computed in several ways, code by code.

* simulation: QuantizeLinear and DequantizeLinear in floats, by the reference definitions;
* our integer engine;
* onnxruntime without optimizations (also a simulation in floats), and with each level of them.

Every way is compared with the simulation: how many codes differ, by how many steps at most, and
which node is the first.  One step is the distance of neighbouring codes.  Sums in floats round
where integers do not, so a value halfway between two codes may fall to either side, and from there
on the ways part.  "Node by node" therefore gives every node the codes of the simulation, so that a
difference is that node's own; this is what the promise of one step is about.  Where our engine and
onnxruntime part all the same, onnxruntime runs again without each of its optimizations in turn, and
the certificate names the one behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from compress_tensor import DType, Graph, Value, compile  # noqa: A004
from compress_tensor.graph.interpret import interpret

from .affine import Array

#: what the issue's promise allows: one step, in one of a thousand elements
MOST_STEPS = 1
MOST_SHARE = 1e-3

#: onnxruntime's optimizations that change arithmetic (names of its graph transformers)
OPTIMIZERS = (
    *("QDQSelectorActionTransformer", "QDQPropagationTransformer", "QDQS8ToU8Transformer"),
    *("ClipQuantFusion", "ReluQuantFusion", "ConvActivationFusion", "ConvAddActivationFusion"),
    *("MatMulAddFusion", "MatMulScaleFusion", "MatMulIntegerToFloatFusion", "GemmActivationFusion"),
    *("LayerNormFusion", "SkipLayerNormFusion", "BiasSkipLayerNormFusion", "AttentionFusion"),
    *("GeluFusionL1", "GeluFusionL2", "FastGeluFusion", "BiasGeluFusion", "BiasSoftmaxFusion"),
)

Feeds = Mapping[str, Array]
Made = Sequence[Mapping[str, Array]]


@dataclass(frozen=True)
class Comparison:
    """One way of computing against the simulation.

    Attributes:
        way: its name.
        codes: elements compared.
        differ: how many have another code.
        steps: largest difference of codes.
        first: label of the first node whose codes differ, or "".
        outputs: largest difference of the float outputs, as a part of their largest value.
        note: why it could not be compared, or "".
    """

    way: str
    codes: int = 0
    differ: int = 0
    steps: int = 0
    first: str = ""
    outputs: float = 0.0
    note: str = ""

    @property
    def agrees(self) -> bool:
        """Whether it keeps the promise."""
        return self.steps <= MOST_STEPS and self.differ <= MOST_SHARE * max(self.codes, 1)


@dataclass
class Certificate:
    """All comparisons of one file."""

    samples: int
    comparisons: list[Comparison] = field(default_factory=list)
    optimization: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        rows = [{**asdict(c), "agrees": c.agrees} for c in self.comparisons]
        return {"samples": self.samples, "comparisons": rows, "optimization": self.optimization}

    def lines(self) -> list[str]:
        """Return one sentence per comparison."""
        found = []
        for c in self.comparisons:
            if c.note:
                found.append(f"{c.way}: {c.note}")
            elif c.codes:
                first = f", first at {c.first}" if c.first else ""
                found.append(
                    f"{c.way}: {c.differ} of {c.codes} codes differ, by {c.steps} steps at most"
                    f"{first}; outputs within {c.outputs:.1e}"
                )
            else:
                found.append(f"{c.way}: outputs within {c.outputs:.1e}")
        return [*found, self.optimization] if self.optimization else found


def certify(
    graph: Graph,
    batches: Sequence[Feeds],
    *,
    threads: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> Certificate:
    """Return the certificate of a quantized graph.

    Args:
        graph: with explicit quantization.
        batches: inputs to compare on; a sample or two tell much, the simulation is slow.
        threads: of the engines.
        progress: told what runs.
    """
    samples = sum(len(next(iter(batch.values()))) for batch in batches)
    found = Certificate(samples)
    codes = [node.outputs[0] for node in graph.nodes if node.op == "QuantizeLinear"]
    outputs = [value.name for value in graph.outputs]
    names = [*codes, *outputs]
    by_codes = {node.outputs[0]: _cause(graph, node.inputs[0]) for node in graph.nodes
                if node.op == "QuantizeLinear"}  # fmt: skip
    progress("simulation")
    expected = [interpret(graph, batch, list(dict.fromkeys(names))) for batch in batches]
    local, feeds = _cut(graph), _cut_feeds(graph, batches, expected)

    def compare(
        way: str, made: Made, of: Sequence[str] = codes, base: Made = expected
    ) -> Comparison:
        return _compare(way, base, made, of, outputs, by_codes)

    progress("our engine")
    session, alone = compile(graph, threads=threads), compile(local, threads=threads)
    ours = [{**(session.run(b, outputs=codes) if codes else {}), **session.run(b)} for b in batches]
    found.comparisons += [
        compare("our engine, node by node", [alone.run(f) for f in feeds]),
        compare("our engine", ours),
    ]
    runtime = _onnxruntime()
    if runtime is None:
        found.comparisons.append(Comparison("onnxruntime", note="not installed"))
        return found
    wide = graph.copy()
    wide.outputs = [Value(name) for name in dict.fromkeys(names)]
    levels = runtime.GraphOptimizationLevel

    def peer(which: Graph, data: Sequence[Feeds], level: str, without: Sequence[str] = ()) -> Made:
        less = f", without {', '.join(without)}" if without else ""
        progress(f"onnxruntime, {level.lower().replace('_', ' ')}{less}")
        return _peer(runtime, which, data, getattr(levels, f"ORT_{level}"), threads, without)

    try:
        plain = peer(wide, batches, "DISABLE_ALL")
        fused = peer(wide, batches, "ENABLE_ALL")
        against = compare("our engine against onnxruntime", ours, base=fused)
        found.comparisons += [
            compare("onnxruntime without optimizations", plain),
            compare("onnxruntime, node by node", peer(local, feeds, "ENABLE_ALL")),
            compare("onnxruntime", fused),
            against,
        ]
        for level in ("BASIC", "EXTENDED", "ALL"):
            made = peer(graph, batches, f"ENABLE_{level}")
            found.comparisons.append(
                compare(f"onnxruntime, the file as it is, level {level}", made, [])
            )
        if not against.agrees:
            tried = {
                name: compare(name, peer(wide, batches, "ENABLE_ALL", [name]), base=plain)
                for name in OPTIMIZERS
            }
            found.optimization = _blame(compare("onnxruntime", fused, base=plain), tried)
    except Exception as error:  # onnxruntime's exceptions share no base class
        text = " ".join(str(error).split())[:200]
        found.comparisons.append(Comparison("onnxruntime", note=f"cannot run the file: {text}"))
    return found


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        return None
    return onnxruntime


def _cut(graph: Graph) -> Graph:
    """Return the graph in which what reads codes reads inputs, and all codes are outputs."""
    found = graph.copy()
    codes = {n.outputs[0]: n for n in found.nodes if n.op == "QuantizeLinear"}
    for node in found.nodes:
        node.inputs = [f"{name}/given" if name in codes else name for name in node.inputs]
    zeros = {name: graph.constants.get((node.inputs + [""] * 3)[2]) for name, node in codes.items()}
    found.inputs = [
        *found.inputs,
        *(
            Value(f"{name}/given", DType.UINT8 if zero is None else DType.of(zero.dtype))
            for name, zero in zeros.items()
        ),
    ]
    found.outputs = [*(Value(name) for name in codes), *found.outputs]
    return found


def _cut_feeds(
    graph: Graph, batches: Sequence[Feeds], expected: Sequence[Mapping[str, Array]]
) -> list[Feeds]:
    names = [node.outputs[0] for node in graph.nodes if node.op == "QuantizeLinear"]
    return [
        {**batch, **{f"{name}/given": made[name] for name in names}}
        for batch, made in zip(batches, expected, strict=True)
    ]


def _compare(
    way: str,
    expected: Sequence[Mapping[str, Array]],
    made: Sequence[Mapping[str, Array]],
    codes: Sequence[str],
    outputs: Sequence[str],
    causes: Mapping[str, str],
) -> Comparison:
    total = differ = steps = 0
    first = ""
    for name in codes:
        for a, b in zip(expected, made, strict=True):
            distance = np.abs(a[name].astype(np.int32) - b[name].astype(np.int32))
            total += distance.size
            wrong = int(np.count_nonzero(distance))
            if wrong:
                first = first or causes[name]
                differ += wrong
                steps = max(steps, int(distance.max()))
    worst = 0.0
    for name in outputs:
        for a, b in zip(expected, made, strict=True):
            if a[name].dtype.kind == "f" and a[name].size:
                largest = float(np.abs(a[name]).max()) or 1.0
                worst = max(worst, float(np.abs(a[name] - b[name]).max()) / largest)
    return Comparison(way, total, differ, steps, first, worst)


def _cause(graph: Graph, value: str) -> str:
    node = next((n for n in graph.nodes if value in n.outputs), None)
    return f"input {value!r}" if node is None else node.label


def _peer(
    runtime: Any,
    graph: Graph,
    batches: Sequence[Feeds],
    level: Any,
    threads: int,
    without: Sequence[str] = (),
) -> list[dict[str, Array]]:
    from compress_export.onnx_write import to_bytes  # the only need of files here
    from compress_export.peer import session_options

    options = session_options(runtime, threads)
    options.graph_optimization_level = level
    session = runtime.InferenceSession(
        to_bytes(graph),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=list(without),
    )
    names = [value.name for value in graph.outputs]
    wanted = {value.name for value in session.get_inputs()}
    found = []
    for batch in batches:
        feeds = {name: array for name, array in batch.items() if name in wanted}
        found.append(dict(zip(names, session.run(names, feeds), strict=True)))
    return found


def _blame(fused: Comparison, without: Mapping[str, Comparison]) -> str:
    """Return which of onnxruntime's optimizations changes codes, in a sentence.

    Args:
        fused: onnxruntime with all of them against onnxruntime without any.
        without: the same, with one of them left out.
    """
    if not fused.differ:
        return "onnxruntime's optimizations change no code; its plain float arithmetic differs"
    changed = {n: c for n, c in without.items() if c.differ != fused.differ}
    if not changed:
        return f"no single optimization of onnxruntime explains its {fused.differ} other codes"
    best = min(changed, key=lambda n: changed[n].differ)
    first = f", first at {fused.first}" if fused.first else ""
    more = sorted(n for n in changed if n != best)
    return (
        f"onnxruntime's optimizations change {fused.differ} of {fused.codes} codes{first}; "
        f"without {best} it would be {changed[best].differ}"
        + (f" (others that matter: {', '.join(more)})" if more else "")
    )
