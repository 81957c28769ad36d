"""ONNX file to Graph: parse, check, inline functions, and rewrite to the semantics of opset 21.

Files are not trusted: whatever is wrong with one ends in a CompressError that names the place.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError, Message

from compress_tensor.collector import collector_held
from compress_tensor.errors import CompressError, FileError, GraphError, UnsupportedError
from compress_tensor.graph.graph import Array, Attribute, Dim, Graph, Node, Value
from compress_tensor.graph.stored import Constants, Entry, Place, Stored

from .external import ExternalData
from .functions import Call, Functions
from .messages import pb
from .sort import sort_nodes
from .tensors import (
    MAX_DENSE_BYTES,
    element_type,
    sparse_to_array,
    tensor_entry,
    tensor_to_array,
)
from .upgrade import Names, Versions, upgrade_graph
from .wire import contents

#: the newest operator set this reader was written for
NEWEST_OPSET = 28
_Kind = pb.AttributeProto
_MANY = (pb.NodeProto.DESCRIPTOR, pb.TensorProto.DESCRIPTOR)
_TEXT = {str}
_STRING, _MESSAGE = 9, 11  # descriptor.proto: FieldDescriptorProto.Type


@collector_held()
def read_onnx(source: str | os.PathLike[str] | bytes) -> Graph:
    """Return the network of an ONNX file as a Graph of opset 21.

    Args:
        source: the file, or its bytes (then without external data).

    Raises:
        FileError: if the file cannot be read or is damaged.
        GraphError: if the network in it is not well formed.
        ShapeError: if an operator has attributes that do not fit it.
        UnsupportedError: if it needs a newer opset, or types that compress does not have.
    """
    if isinstance(source, bytes):
        where, folder = "the model", None
        data, places = source, dict[int, Place]()
    else:
        path = Path(source)
        where, folder = str(path), path.parent
        data, places = contents(path)
    try:
        model = pb.ModelProto.FromString(data)
    except DecodeError as error:
        raise FileError(f"{where} is not an ONNX model, or is damaged or incomplete") from error
    del data
    try:
        _check_texts(model)
        return _Reader(model, folder, places).read()
    except CompressError as error:
        error.args = (f"{where}: {error}",)
        raise
    except RecursionError as error:
        raise GraphError(f"{where} nests subgraphs or functions too deeply") from error
    except MemoryError as error:
        raise FileError(f"{where} needs more memory than there is") from error


def _check_texts(model: Message) -> None:
    """Refuse text that is not UTF-8, which protobuf hands out as bytes.

    That of nodes and tensors, of which there are many, is looked at where it is read.

    Raises:
        FileError: naming the field.
    """
    pending = [model]
    while pending:
        for field, value in pending.pop().ListFields():
            kind = field.type
            if kind == _MESSAGE:
                if field.message_type not in _MANY:
                    pending += [value] if isinstance(value, Message) else value
                continue
            if kind == _STRING:
                texts = [value] if isinstance(value, (str, bytes)) else value
            else:
                continue
            for text in texts:
                if type(text) is not str:
                    raise FileError(f"a {field.name} is not UTF-8 text; the file is damaged")


def _require_text(*texts: str | bytes) -> None:
    """Refuse text of a node, its attribute or a tensor that is not UTF-8."""
    if {*map(type, texts)} != _TEXT:
        raise FileError("a name of a node or tensor is not UTF-8 text; the file is damaged")


class _Reader:
    """Turns one model into a Graph; holds what all its graphs share."""

    def __init__(
        self, model: pb.ModelProto, folder: Path | None, places: Mapping[int, Place]
    ) -> None:
        self.model = model
        self.places = places
        self.files = ExternalData(folder)
        self.versions: Versions = {}
        self.names = Names(_all_names(model.graph))
        self.functions = Functions(model.functions)
        self.dense_bytes = MAX_DENSE_BYTES  # what sparse tensors may still grow to
        self.inlined_bytes = MAX_DENSE_BYTES  # what constants in functions may still take

    def read(self) -> Graph:
        """Return the main graph, functions inlined, at opset 21, checked."""
        model = self.model
        if not model.HasField("graph"):
            raise FileError("this is not an ONNX model: it holds no graph")
        opsets = _opsets(model.opset_import, model.ir_version)
        graph = self.graph(model.graph, Call(opsets), is_main=True)
        graph.doc = graph.doc or model.doc_string
        graph.metadata = {
            **{entry.key: entry.value for entry in model.graph.metadata_props},
            **{entry.key: entry.value for entry in model.metadata_props},
        }
        sort_nodes(graph)
        graph.check()
        upgrade_graph(graph, self.versions, self.names)
        graph.check()
        return graph

    def graph(self, proto: pb.GraphProto, call: Call, *, is_main: bool = False) -> Graph:
        """Read a graph; ``call`` says how names are spelled and which opsets hold."""
        graph = Graph(name=proto.name, doc=proto.doc_string)
        places = self.places if is_main else {}
        for number, tensor in enumerate(proto.initializer):
            name = tensor.name
            _require_text(name)
            name = call.name(name, self.names)
            entry = tensor_entry(tensor, self.files, places.get(number))
            _define(graph, name, entry)
        for sparse in proto.sparse_initializer:
            _require_text(sparse.values.name)
            name = call.name(sparse.values.name, self.names)
            _define(graph, name, self.sparse(sparse, f"sparse tensor {name!r}"))
        for item in proto.input:
            value = self.value(item, call)
            if value.name not in graph.constants:  # old files list initializers here too
                graph.inputs.append(value)
            elif not is_main:
                raise GraphError(f"subgraph input {value.name!r} has an initializer")
        self.nodes(proto.node, call, graph)
        graph.outputs = [self.value(item, call) for item in proto.output]
        _refuse_twice([value.name for value in graph.outputs], "graph output")
        made = {name for node in graph.nodes for name in node.outputs}
        for item in proto.value_info:
            value = self.value(item, call)
            if value.name in made:
                graph.values[value.name] = value
        return graph

    def nodes(self, protos: Iterable[pb.NodeProto], call: Call, graph: Graph) -> None:
        """Read nodes into ``graph``: constants as arrays, function calls as their bodies."""
        for proto in protos:
            kind, label = proto.op_type, proto.name
            given, made = list(proto.input), list(proto.output)
            _require_text(kind, label, proto.domain, *given, *made)
            name = f"{call.prefix}{label}" if label else ""
            label = f"node {kind} {label!r}"
            function = self.functions.find(proto)
            attributes = self.attributes(proto.attribute, call, label)
            if function is not None:
                self.inline(function, proto, attributes, call, graph)
                continue
            domain = _domain(proto.domain)
            version = call.opsets.get(domain)
            if version is None:
                raise GraphError(
                    f"{label} is of the domain {domain!r}, which the file does not import"
                )
            inputs = [call.name(name, self.names) for name in given]
            while inputs and not inputs[-1]:  # left out at the end: the same as not given
                inputs.pop()
            outputs = [call.name(name, self.names) for name in made]
            if not any(outputs):
                raise GraphError(f"{label} has no outputs; the file is damaged")
            if not domain and kind == "Constant":
                _define(graph, outputs[0], _constant(attributes, label))
                continue
            node = Node(kind, inputs, outputs, attributes, name, domain)
            if proto.metadata_props:
                node.metadata = {entry.key: entry.value for entry in proto.metadata_props}
                _require_text(*node.metadata, *node.metadata.values())
            if not domain:
                self.versions[id(node)] = (node, version)
            graph.nodes.append(node)

    def inline(
        self,
        function: pb.FunctionProto,
        proto: pb.NodeProto,
        attributes: dict[str, Attribute],
        call: Call,
        graph: Graph,
    ) -> None:
        """Read the body of a function in place of the node that calls it."""
        inner, through = self.functions.enter(function, call, proto, self.names)
        inner.opsets = _opsets(function.opset_import, self.model.ir_version)
        where = f"function {function.name!r}"
        defaults = self.attributes(function.attribute_proto, Call(inner.opsets), where)
        inner.attributes = {**defaults, **attributes}
        self.nodes(function.node, inner, graph)
        for source, target in through:
            graph.nodes.append(Node("Identity", [source], [target]))

    def attributes(
        self, protos: Iterable[pb.AttributeProto], call: Call, label: str
    ) -> dict[str, Attribute]:
        """Read attributes; references to a function's attributes are replaced by its caller's."""
        found: dict[str, Attribute] = {}
        for proto in protos:
            name, other = proto.name, proto.ref_attr_name
            _require_text(name, other)
            if name in found:
                raise GraphError(f"{label} has the attribute {name!r} twice")
            if other:
                if call.renamed is None:
                    raise GraphError(f"{label} refers to an attribute, but is in no function")
                if other in call.attributes:
                    found[name] = call.attributes[other]
                continue
            found[name] = self.attribute(proto, call, f"attribute {name!r} of {label}")
        return found

    def attribute(self, proto: pb.AttributeProto, call: Call, where: str) -> Attribute:
        """Read one attribute's value."""
        kind = proto.type or _kind_of(proto)
        if kind == _Kind.FLOAT:
            return proto.f
        if kind == _Kind.INT:
            return proto.i
        if kind == _Kind.STRING:
            return _string(proto.s)
        if kind == _Kind.FLOATS:
            return list(proto.floats)
        if kind == _Kind.INTS:
            return list(proto.ints)
        if kind == _Kind.STRINGS:
            return [_string(text) for text in proto.strings]
        if kind == _Kind.TENSOR:
            array = tensor_to_array(proto.t, self.files, where=where)
            if call.renamed is not None:
                self.inlined_bytes -= array.nbytes
                if self.inlined_bytes < 0:
                    raise UnsupportedError(
                        f"functions repeat more than {MAX_DENSE_BYTES} bytes of constants; "
                        "keep weights outside functions"
                    )
            return array
        if kind == _Kind.GRAPH:
            _check_texts(proto.g)
            return self.graph(proto.g, call)
        if kind == _Kind.SPARSE_TENSOR:
            return self.sparse(proto.sparse_tensor, where)
        name = _Kind.AttributeType.Name(kind) if kind in _Kind.AttributeType.values() else kind
        raise UnsupportedError(f"{where} is of the kind {name}, which compress does not read")

    def sparse(self, proto: pb.SparseTensorProto, where: str) -> Array:
        """Read a sparse tensor within what is left for all of them."""
        array = sparse_to_array(proto, self.files, where=where, max_bytes=self.dense_bytes)
        self.dense_bytes -= array.nbytes
        return array

    def value(self, proto: pb.ValueInfoProto, call: Call) -> Value:
        """Read what is said of a value; sequences, maps and optionals have no type here."""
        name = call.name(proto.name, self.names)
        if not name:
            raise GraphError("a graph input or output has no name; the file is damaged")
        if proto.type.WhichOneof("value") != "tensor_type":
            return Value(name)
        tensor = proto.type.tensor_type
        where = f"value {name!r}"
        dtype = element_type(tensor.elem_type, where) if tensor.elem_type else None
        if not tensor.HasField("shape"):
            return Value(name, dtype)
        return Value(name, dtype, tuple(_dim(dim, where) for dim in tensor.shape.dim))


# The attributes of Constant that are not tensors already, and the types they make.
_CONSTANTS = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_string": object,
    "value_strings": object,
}


def _constant(attributes: dict[str, Attribute], label: str) -> Array:
    """Return what a Constant node makes."""
    if len(attributes) == 1:
        ((name, value),) = attributes.items()
        if name in ("value", "sparse_value") and isinstance(value, np.ndarray):
            return value
        if name in _CONSTANTS:
            try:
                array = np.array(value, _CONSTANTS[name])
            except (TypeError, ValueError, OverflowError):
                array = np.empty(0)
            if array.ndim == name.endswith("s"):
                array.flags.writeable = False
                return array
    raise GraphError(f"{label} needs exactly one value, of the kind its attribute's name says")


def _all_names(graph: pb.GraphProto) -> Iterator[str]:
    """Yield every value name of a graph and its subgraphs."""
    yield from (item.name for item in graph.input)
    yield from (item.name for item in graph.initializer)
    yield from (item.values.name for item in graph.sparse_initializer)
    for node in graph.node:
        yield from node.input
        yield from node.output
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _all_names(attribute.g)


def _define(graph: Graph, name: str, entry: Entry) -> None:
    if not name:
        raise GraphError("an initializer has no name; the file is damaged")
    if name in graph.constants:
        raise GraphError(f"constant {name!r} is defined twice")
    if isinstance(entry, Stored):
        if not isinstance(graph.constants, Constants):
            graph.constants = Constants(graph.constants)
        graph.constants.store(name, entry)
    else:
        graph.constants[name] = entry


def _refuse_twice(names: list[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise GraphError(f"{what} {name!r} is listed twice")
        seen.add(name)


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _opsets(imports: Iterable[pb.OperatorSetIdProto], ir_version: int) -> dict[str, int]:
    found = {_domain(entry.domain): entry.version for entry in imports}
    if not found and ir_version < 3:  # files from before operator sets were named
        found[""] = 1
    version = found.get("", 1)
    if version < 1:
        raise FileError(f"the file names the operator set {version}; it is damaged")
    if version > NEWEST_OPSET:
        raise UnsupportedError(
            f"the model uses opset {version}; compress reads up to {NEWEST_OPSET}, "
            "so export the model for an older opset"
        )
    return found


def _kind_of(proto: pb.AttributeProto) -> int:
    """Return the kind of an attribute of an old file, which did not state it."""
    fields = {descriptor.name for descriptor, _ in proto.ListFields()}
    kinds: dict[str, Any] = {
        "f": _Kind.FLOAT,
        "i": _Kind.INT,
        "s": _Kind.STRING,
        "t": _Kind.TENSOR,
        "g": _Kind.GRAPH,
        "floats": _Kind.FLOATS,
        "ints": _Kind.INTS,
        "strings": _Kind.STRINGS,
    }
    return next((int(kind) for name, kind in kinds.items() if name in fields), int(_Kind.INTS))


def _string(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _dim(proto: pb.TensorShapeProto.Dimension, where: str) -> Dim:
    kind = proto.WhichOneof("value")
    if kind == "dim_param":
        return proto.dim_param or None
    if kind is None or proto.dim_value == -1:  # some converters write -1 for "any"
        return None
    if proto.dim_value < 0:
        raise GraphError(f"{where} has the negative size {proto.dim_value}")
    return int(proto.dim_value)
