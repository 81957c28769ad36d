"""Mutated model files: whatever is in one, reading and running it ends well or in a CompressError.

``COMPRESS_FUZZ`` multiplies the number of files; under a sanitizer the same files are used.
"""

from __future__ import annotations

import os
import random
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from fuzz_seeds import branching, convolutional, integer, random_ones, sequential
from onnx import TensorProto

import compress_tensor
from compress_export import read_onnx
from compress_export.onnx_write import to_bytes
from compress_tensor import CompressError, DType, Graph
from compress_tensor.graph.infer import infer
from compress_tensor.graph.support import all_nodes

FILES = 8000 * int(os.environ.get("COMPRESS_FUZZ", "1"))
BATCH = 100
FIRST = 4  # of the seeds: half of the files are made of these
MOST_ELEMENTS = 1 << 20  # of any value, for a readable model to be run as well

NUMBERS = [0, 1, -1, 2, 3, 7, 127, 128, 255, 256, -128, 1 << 15, (1 << 31) - 1, -(1 << 31)]
NUMBERS += [1 << 31, 1 << 32, 1 << 40, (1 << 62) + 1, (1 << 63) - 1, -(1 << 63)]
TEXTS = ["", "x", "y", "w", "/etc/passwd", "../up", "NOTSET", "linear", "ai.onnx", "a" * 5000, "\0"]


@cache
def seeds() -> list[bytes]:
    """Return the files that are mutated."""
    from onnx.backend.test.loader import load_model_tests

    found = [convolutional(), sequential(), branching(), integer()]
    root = os.environ.get("COMPRESS_DATA")
    if root:
        path = Path(root) / "zoo" / "mnist_winml.onnx"
        found += [path.read_bytes()] if path.is_file() else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    # Every 12th of ONNX's own node cases: some 150 operators in all opsets.
    found += [case.model.SerializeToString() for case in cases[::12]]
    found[FIRST:FIRST] = random_ones()
    return [data for data in found if len(data) < 100_000]


# Mutations of bytes.


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    """Flip one to eight bits."""
    made = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def truncate(data: bytes, rng: random.Random) -> bytes:
    """Cut the end off."""
    return data[: rng.randrange(len(data))]


def splice(data: bytes, rng: random.Random) -> bytes:
    """Remove or repeat a stretch of bytes, or put noise in."""
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.randint(1, 32))
    middle = rng.choice([b"", data[start:end] * 2, rng.randbytes(end - start), b"\xff" * 10])
    return data[:start] + middle + data[end:]


# Mutations of fields: the message stays well formed, what it says does not.


def _pick(rng: random.Random, items: Any) -> Any:
    return items[rng.randrange(len(items))] if len(items) else None


def _graph(model: Any, rng: random.Random) -> Any:
    """Return the main graph, or sometimes a subgraph."""
    inner = [a.g for n in model.graph.node for a in n.attribute if a.HasField("g")]
    return rng.choice(inner) if inner and rng.random() < 0.4 else model.graph


def _tensor(model: Any, rng: random.Random) -> Any:
    held = [a.t for n in model.graph.node for a in n.attribute if a.HasField("t")]
    held += [s.values for s in model.graph.sparse_initializer]
    return _pick(rng, [*model.graph.initializer, *held])


def dims(model: Any, rng: random.Random) -> None:
    """Change the shape of a tensor or a value."""
    tensor = _tensor(model, rng)
    if tensor is not None and rng.random() < 0.6:
        if len(tensor.dims) and rng.random() < 0.7:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
        else:
            tensor.dims.append(rng.choice(NUMBERS))
        return
    graph = _graph(model, rng)
    value = _pick(rng, [*graph.input, *graph.output, *graph.value_info])
    if value is not None:
        shape = value.type.tensor_type.shape
        place = _pick(rng, shape.dim) if shape.dim and rng.random() < 0.7 else shape.dim.add()
        place.dim_value = rng.choice(NUMBERS)


def types(model: Any, rng: random.Random) -> None:
    """Change an element type."""
    number = rng.choice([*range(28), -1, 99, 1 << 30])
    tensor, value = _tensor(model, rng), _pick(rng, model.graph.input)
    if tensor is not None and rng.random() < 0.6:
        tensor.data_type = number
    elif value is not None:
        value.type.tensor_type.elem_type = number


def contents(model: Any, rng: random.Random) -> None:
    """Change what a tensor holds, how much of it, or where it lies."""
    tensor = _tensor(model, rng)
    if tensor is None:
        return
    way = rng.randrange(5)
    if way == 0:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data) + 1)]
    elif way == 1:
        tensor.raw_data = rng.randbytes(len(tensor.raw_data))
    elif way == 2:
        rng.choice([tensor.int64_data, tensor.int32_data]).append(rng.choice([0, 1, -1, 1 << 30]))
    elif way == 3:
        numbers = np.array([rng.choice(NUMBERS) for _ in range(len(tensor.raw_data) // 8)], "<i8")
        tensor.raw_data = numbers.tobytes() or tensor.raw_data
    else:
        tensor.data_location = TensorProto.EXTERNAL
        for key in ("location", "offset", "length"):
            tensor.external_data.add(key=key, value=str(rng.choice([*TEXTS, *NUMBERS])))


def edges(model: Any, rng: random.Random) -> None:
    """Rewire, rename, repeat or remove nodes and initializers."""
    graph = _graph(model, rng)
    node, other = _pick(rng, graph.node), _pick(rng, graph.node)
    if node is None:
        return
    names = [*node.input, *other.output, *other.input, *TEXTS]
    way = rng.randrange(8)
    if way < 3 and len(node.input):
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif way == 3 and len(node.output):
        node.output[rng.randrange(len(node.output))] = rng.choice(names)
    elif way == 4:
        graph.node.append(node)
    elif way == 5:
        rng.choice([node.input, node.output]).append(rng.choice(names))
    elif way == 6 and len(graph.initializer):
        del graph.initializer[rng.randrange(len(graph.initializer))]
    else:
        del rng.choice([node.input, node.output])[-1:]


@cache
def _operators() -> list[str]:
    return sorted({schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain})


def operators(model: Any, rng: random.Random) -> None:
    """Change an operator, a domain or the operator set."""
    node = _pick(rng, _graph(model, rng).node)
    way = rng.randrange(5)
    if way < 3 and node is not None:
        node.op_type = rng.choice(_operators())
    elif way == 3 and node is not None:
        node.domain = rng.choice(TEXTS)
    elif len(model.opset_import):
        entry = _pick(rng, model.opset_import)
        entry.version = rng.choice([*range(-1, 31), 1 << 40])


def attributes(model: Any, rng: random.Random) -> None:
    """Change, add, retype or remove an attribute."""
    nodes = [n for n in _graph(model, rng).node if n.attribute]
    node = _pick(rng, nodes)
    if node is None:
        return
    attribute = _pick(rng, node.attribute)
    way = rng.randrange(6)
    if way == 0:
        node.attribute.remove(attribute)
    elif way == 1:
        attribute.type = rng.choice(range(15))
    elif way == 2:
        attribute.name = rng.choice(["axis", "axes", "pads", "value", "to", *TEXTS])
    elif way == 3 and len(attribute.ints):
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
    elif way == 4:
        attribute.ints.append(rng.choice(NUMBERS))
    else:
        attribute.i = rng.choice(NUMBERS)
        attribute.f = rng.choice([0.0, -1.0, float("inf"), float("nan"), 1e30, 0.5])
        attribute.s = rng.choice(TEXTS).encode() + rng.choice([b"", b"\xff"])


FIELDS: list[Callable[[Any, random.Random], None]] = [
    dims,
    types,
    contents,
    edges,
    operators,
    attributes,
]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Return a file that is damaged in one to three ways."""
    if rng.random() < 0.35:
        return rng.choice([flip_bits, truncate, splice])(data, rng)
    model = onnx.ModelProto.FromString(data)
    for _ in range(rng.randint(1, 3)):
        rng.choice(FIELDS)(model, rng)
    return model.SerializeToString()


def small_feeds(graph: Graph, rng: np.random.Generator) -> dict[str, np.ndarray] | None:
    """Return small inputs, or None if the graph asks for large ones or says too little."""
    feeds = {}
    for value in graph.inputs:
        if value.dtype is None or value.shape is None:
            return None
        shape = tuple(dim if isinstance(dim, int) else 2 for dim in value.shape)
        if prod(shape) > 1 << 14 or max(shape, default=0) > 1 << 14 or len(shape) > 10:
            return None
        held = value.dtype.numpy
        if value.dtype is DType.STRING:
            feeds[value.name] = np.full(shape, "a", object)
        elif held.names:
            raw = rng.integers(0, 2, shape).astype(held[0])
            feeds[value.name] = raw.view(held) if raw.ndim else np.array(raw).view(held)
        else:
            feeds[value.name] = np.asarray(rng.standard_normal(shape) * 3).astype(held)
    return feeds


def use(data: bytes, rng: np.random.Generator) -> str:
    """Read a file and use it as far as it goes; return how far that was."""
    stage = "read"
    try:
        graph = read_onnx(data)
        stage = "written"
        to_bytes(graph)
        stage = "inferred"
        feeds = small_feeds(graph, rng)
        if feeds is None or any(node.op == "Loop" for node in all_nodes(graph)):
            return "not run"
        infos = infer(graph, values=feeds)
        sizes = [prod(info.shape) for info in infos.values() if info.shape is not None]
        if max(sizes, default=0) > MOST_ELEMENTS:
            return "not run"
        stage = "run"
        compress_tensor.compile(graph, threads=1).run(feeds)
    except CompressError as error:
        text = str(error)
        assert text.strip(), "an error without a sentence"
        assert len(text) < 20_000, f"a sentence of {len(text)} characters"
        return f"refused when {stage}"
    return "ran"


@pytest.mark.parametrize("batch", range(FILES // BATCH))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflow in numpy: noise has infinities
def test_mutated_files_end_well(batch: int) -> None:
    """Each of a hundred mutated files runs, or is refused with a CompressError."""
    rng = random.Random(batch)
    ends: Counter[str] = Counter()
    for number in range(BATCH):
        data = mutate(rng.choice(seeds()[: FIRST if number % 2 else None]), rng)
        try:
            ends[use(data, np.random.default_rng(number))] += 1
        except Exception as error:
            where = Path(os.environ.get("COMPRESS_FUZZ_KEEP", ""), f"fuzz-{batch}-{number}.onnx")
            if "COMPRESS_FUZZ_KEEP" in os.environ:
                where.write_bytes(data)
            raise AssertionError(
                f"file {number} of batch {batch} raised {type(error).__name__}: {error}"
            ) from error

    assert sum(ends.values()) == BATCH


def test_unmutated_files_run() -> None:
    """The files that are mutated are good ones, so that mutations reach the engine."""
    ends = Counter(use(data, np.random.default_rng(0)) for data in seeds())

    assert ["ran"] * FIRST == [use(data, np.random.default_rng(0)) for data in seeds()[:FIRST]]
    assert ends["ran"] > len(seeds()) // 2
