"""Graph to ONNX file: opset 21 and IR 10, or the first later ones that its operators need.

The same graph gives the same bytes.  A file is written whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from google.protobuf.message import EncodeError

from compress_tensor.dtype import DType
from compress_tensor.errors import FileError, UnsupportedError
from compress_tensor.files import write_atomically
from compress_tensor.graph.graph import OPSET, Attribute, Graph, Node, Value
from compress_tensor.graph.stored import Entry, unread

from ._version import __version__
from .messages import pb
from .tensors import array_to_raw, array_to_tensor

if TYPE_CHECKING:
    from onnx.defs import OpSchema

#: protobuf refuses larger messages; some room is left for everything but the weights
EXTERNAL_THRESHOLD = (1 << 31) - (1 << 26)
#: smaller tensors stay in the model file, where shape inference can read them
MIN_EXTERNAL_BYTES = 1024
#: where tensors start in an external file, so that it can be mapped into memory
ALIGNMENT = 4096

# The first IR version for an opset, and for element types; opset 21 came with IR 10.
_IR_OF_OPSET = {21: 10, 22: 10, 23: 11, 24: 12, 25: 13}
_OPSET_OF_TYPE = {DType.FLOAT4E2M1: 23, DType.FLOAT8E8M0: 24, DType.UINT2: 25, DType.INT2: 25}


def write_onnx(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    external_data: Literal["auto", "never", "always"] = "auto",
    threshold: int = EXTERNAL_THRESHOLD,
) -> None:
    """Write a graph as an ONNX file.

    Args:
        graph: the network.
        path: the file; with external data, its name and ``.data`` beside it holds the weights.
        external_data: "auto" keeps weights outside when they take more than ``threshold`` bytes.
        threshold: bytes of weights from which "auto" keeps them outside.

    Raises:
        GraphError: if the graph is not well formed.
        UnsupportedError: if ONNX cannot say something that the graph says.
        FileError: if the file cannot be written.
    """
    if external_data not in ("auto", "never", "always"):
        raise ValueError(f"external_data is {external_data!r}, not auto, never or always")
    graph.check()
    path = Path(path)
    total = sum(array.nbytes for array in unread(graph.constants).values())
    if external_data == "never" and total > EXTERNAL_THRESHOLD:
        raise FileError(f"{path}: {total} bytes of weights do not fit in one file; allow external")
    outside = external_data == "always" or (external_data == "auto" and total > threshold)
    layout = _layout(graph) if outside else {}
    data = path.with_name(f"{path.name}.data")
    model = _model(graph, {name: (data.name, *place) for name, place in layout.items()})
    with write_atomically(path) as file:
        file.write(_serialized(model, path))
        if layout:
            with write_atomically(data) as weights:
                for name, (offset, _) in layout.items():
                    weights.write(b"\0" * (offset - weights.tell()))
                    weights.write(array_to_raw(graph.constants[name]))


def to_bytes(graph: Graph) -> bytes:
    """Return the ONNX file of a graph, weights included, as bytes."""
    graph.check()
    return _serialized(_model(graph, {}), None)


def _serialized(model: pb.ModelProto, path: Path | None) -> bytes:
    try:
        found: bytes = model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError) as error:  # larger than 2 GB
        where = f"{path}: " if path else ""
        raise FileError(f"{where}the model does not fit in one ONNX file ({error})") from error
    return found


def _layout(graph: Graph) -> dict[str, tuple[int, int]]:
    """Return offset and length in the external file, by constant."""
    places: dict[str, tuple[int, int]] = {}
    end = 0
    for name, array in unread(graph.constants).items():
        dtype = DType.of(array.dtype)
        length = -(-array.size * dtype.bits // 8)
        if dtype is not DType.STRING and length >= MIN_EXTERNAL_BYTES:
            end += -end % ALIGNMENT
            places[name] = (end, length)
            end += length
    return places


def _model(graph: Graph, outside: Mapping[str, tuple[str, int, int]]) -> pb.ModelProto:
    opset, domains = _opset(graph)
    model = pb.ModelProto(
        ir_version=_IR_OF_OPSET.get(opset, max(_IR_OF_OPSET.values())),
        producer_name="compress",
        producer_version=__version__,
    )
    model.opset_import.add(domain="", version=opset)
    for domain in sorted(domains):
        model.opset_import.add(domain=domain, version=1)
    model.graph.CopyFrom(_graph(graph, outside))
    for key, value in sorted(graph.metadata.items()):
        model.metadata_props.add(key=key, value=value)
    return model


def _graph(graph: Graph, outside: Mapping[str, tuple[str, int, int]]) -> pb.GraphProto:
    proto = pb.GraphProto(name=graph.name, doc_string=graph.doc)
    proto.input.extend(_value(value) for value in graph.inputs)
    proto.output.extend(_value(value) for value in graph.outputs)
    proto.value_info.extend(_value(value) for value in graph.values.values())
    for name, entry in unread(graph.constants).items():
        if name in outside:
            proto.initializer.append(_outside(name, entry, outside[name]))
        else:
            proto.initializer.append(array_to_tensor(graph.constants[name], name))
    proto.node.extend(_node(node) for node in graph.nodes)
    return proto


def _outside(name: str, array: Entry, place: tuple[str, int, int]) -> pb.TensorProto:
    dtype = DType.of(array.dtype)
    proto = pb.TensorProto(name=name, data_type=int(dtype), dims=list(array.shape))
    proto.data_location = pb.TensorProto.EXTERNAL
    for key, value in zip(("location", "offset", "length"), place, strict=True):
        proto.external_data.add(key=key, value=str(value))
    return proto


def _value(value: Value) -> pb.ValueInfoProto:
    proto = pb.ValueInfoProto(name=value.name)
    if value.dtype is None and value.shape is None:
        return proto
    tensor = proto.type.tensor_type
    if value.dtype is not None:
        tensor.elem_type = int(value.dtype)
    if value.shape is not None:
        tensor.shape.SetInParent()
        for dim in value.shape:
            place = tensor.shape.dim.add()
            if isinstance(dim, str):
                place.dim_param = dim
            elif dim is not None:
                place.dim_value = dim
    return proto


def _node(node: Node) -> pb.NodeProto:
    proto = pb.NodeProto(
        op_type=node.op, name=node.name, domain=node.domain, input=node.inputs, output=node.outputs
    )
    for name, value in sorted(node.attributes.items()):
        proto.attribute.append(_attribute(node, name, value))
    for key, text in sorted(node.metadata.items()):
        proto.metadata_props.add(key=key, value=text)
    return proto


def _attribute(node: Node, name: str, value: Attribute) -> pb.AttributeProto:
    proto = pb.AttributeProto(name=name)
    kinds = pb.AttributeProto
    if isinstance(value, (bool, int, np.integer)):
        proto.type, proto.i = kinds.INT, int(value)
    elif isinstance(value, (float, np.floating)):
        proto.type, proto.f = kinds.FLOAT, float(value)
    elif isinstance(value, (str, bytes)):
        proto.type, proto.s = kinds.STRING, _raw(value)
    elif isinstance(value, np.ndarray):
        proto.type = kinds.TENSOR
        proto.t.CopyFrom(array_to_tensor(value))
    elif isinstance(value, Graph):
        proto.type = kinds.GRAPH
        proto.g.CopyFrom(_graph(value, {}))
    elif isinstance(value, (list, tuple)):
        _list_attribute(proto, node, list(value))
    else:
        raise UnsupportedError(
            f"{node.label}: attribute {name!r} is a {type(value).__name__}, which ONNX cannot hold"
        )
    return proto


def _list_attribute(proto: pb.AttributeProto, node: Node, values: list[Attribute]) -> None:
    kinds = pb.AttributeProto
    if all(isinstance(v, (bool, int, np.integer)) for v in values):
        proto.type = kinds.INTS  # an empty list too: ONNX's operators have no other that may be
        proto.ints.extend(int(v) for v in values)
    elif all(isinstance(v, (int, float, np.integer, np.floating)) for v in values):
        proto.type = kinds.FLOATS
        proto.floats.extend(float(v) for v in values)
    elif all(isinstance(v, (str, bytes)) for v in values):
        proto.type = kinds.STRINGS
        proto.strings.extend(_raw(v) for v in values)
    else:
        raise UnsupportedError(f"{node.label}: attribute {proto.name!r} mixes types in a list")


def _raw(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _opset(graph: Graph) -> tuple[int, set[str]]:
    """Return the lowest opset from OPSET on that has all operators, and the other domains."""
    needed, domains = OPSET, set()
    for node in _all_nodes(graph):
        if node.domain:
            domains.add(node.domain)
        else:
            needed = max(needed, _introduced(node))
    for inner in _all_graphs(graph):
        held = {DType.of(array.dtype) for array in unread(inner.constants).values()}
        held |= {v.dtype for v in [*inner.inputs, *inner.outputs] if v.dtype is not None}
        needed = max([needed, *(_OPSET_OF_TYPE.get(dtype, OPSET) for dtype in held)])
    return needed, domains


def _introduced(node: Node) -> int:
    """Return the first opset from OPSET on whose definition of the operator fits the node."""
    from onnx import defs  # takes as long to import as most networks to be read

    for version in range(OPSET, defs.onnx_opset_version() + 1):
        try:
            schema = defs.get_schema(node.op, version, "")
        except defs.SchemaError:
            continue
        if schema.deprecated:
            continue
        if schema.attributes.keys() >= node.attributes.keys() and _fits(schema, node):
            return version
    return OPSET  # an operator that ONNX does not know is written as it is


def _fits(schema: OpSchema, node: Node) -> bool:
    return len(node.inputs) <= schema.max_input and len(node.outputs) <= schema.max_output


def _all_graphs(graph: Graph) -> Iterator[Graph]:
    yield graph
    for node in graph.nodes:
        for inner in node.subgraphs():
            yield from _all_graphs(inner)


def _all_nodes(graph: Graph) -> Iterator[Node]:
    for each in _all_graphs(graph):
        yield from each.nodes
