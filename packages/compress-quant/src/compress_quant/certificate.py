"""The parity certificate: the same quantized file computed in several ways, code by code.

* simulation: QuantizeLinear and DequantizeLinear in floats, by the reference definitions;
* our integer engine;
* onnxruntime without optimizations (also a simulation in floats), and with each level of them.

Every way is compared with the simulation: how many codes differ, by how many steps at most, and
which node is the first.  One step is the distance of neighbouring codes.  Sums in floats round
where integers do not, so a value that lies between two codes may fall to either side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from compress_export.onnx_write import to_bytes
from compress_tensor import Graph, Value, compile  # noqa: A004
from compress_tensor.graph.interpret import interpret

from .affine import Array

#: what the issue's promise allows: one step, in one of a thousand elements
MOST_STEPS = 1
MOST_SHARE = 1e-3

Feeds = Mapping[str, Array]


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

    def compare(way: str, made: Sequence[Mapping[str, Array]], of: Sequence[str]) -> Comparison:
        return _compare(way, expected, made, of, outputs, by_codes)

    progress("our engine")
    session = compile(graph, threads=threads)
    ours = [{**session.run(b, outputs=codes), **session.run(b)} if codes else session.run(b)
            for b in batches]  # fmt: skip
    found.comparisons.append(compare("our engine", ours, codes))
    try:
        import onnxruntime
    except ImportError:
        found.comparisons.append(Comparison("onnxruntime", note="not installed"))
        return found
    wide = graph.copy()
    wide.outputs = [Value(name) for name in dict.fromkeys(names)]
    levels = onnxruntime.GraphOptimizationLevel
    try:
        progress("onnxruntime")
        plain = _peer(onnxruntime, wide, batches, levels.ORT_DISABLE_ALL, threads)
        found.comparisons.append(compare("onnxruntime without optimizations", plain, codes))
        fused = _peer(onnxruntime, wide, batches, levels.ORT_ENABLE_ALL, threads)
        found.comparisons.append(compare("onnxruntime with optimizations", fused, codes))
        for level in ("BASIC", "EXTENDED", "ALL"):
            made = _peer(
                onnxruntime, graph, batches, getattr(levels, f"ORT_ENABLE_{level}"), threads
            )
            each = compare(f"onnxruntime, the file as it is, level {level}", made, [])
            found.comparisons.append(each)
    except Exception as error:  # onnxruntime's exceptions share no base class
        text = " ".join(str(error).split())[:200]
        found.comparisons.append(Comparison("onnxruntime", note=f"cannot run the file: {text}"))
        return found
    found.optimization = _blame(found.comparisons)
    return found


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
    runtime: Any, graph: Graph, batches: Sequence[Feeds], level: Any, threads: int
) -> list[dict[str, Array]]:
    options = runtime.SessionOptions()
    options.graph_optimization_level = level
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    session = runtime.InferenceSession(to_bytes(graph), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in graph.outputs]
    wanted = {value.name for value in session.get_inputs()}
    found = []
    for batch in batches:
        feeds = {name: array for name, array in batch.items() if name in wanted}
        found.append(dict(zip(names, session.run(names, feeds), strict=True)))
    return found


def _blame(comparisons: Sequence[Comparison]) -> str:
    """Return which level of onnxruntime's optimizations first moves the outputs, in a sentence."""
    engine = comparisons[0].outputs
    levels = [c for c in comparisons if "level" in c.way]
    for each in levels:
        if each.outputs > max(2.0 * engine, 1e-5):
            level = each.way.rpartition(" ")[2]
            return (
                f"onnxruntime's outputs differ from the simulation from optimization level "
                f"{level} on (by {each.outputs:.1e} of the largest value)"
            )
    return ""
