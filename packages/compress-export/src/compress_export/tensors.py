"""TensorProto to array and back, in the dtypes of `compress_tensor.dtype`.

Sizes are checked before anything is allocated: a tensor's data must have exactly the bytes that
its shape and element type ask for.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from compress_tensor.dtype import DType
from compress_tensor.errors import FileError, UnsupportedError
from compress_tensor.graph.graph import Array
from compress_tensor.graph.stored import FEW, SMALL, Entry, Place, Stored

from .external import ExternalData
from .messages import pb

#: numpy before 2.0 has no more dimensions than this
MAX_RANK = 32
#: a sparse tensor may not grow to more bytes than this when it is made dense
MAX_DENSE_BYTES = 1 << 30

_SIZES = frozenset([DType.INT32, DType.INT64])  # types of shapes, and of what they are made from

# Which repeated field holds the elements when there is no raw_data, and their type there.
_INT32_HELD = frozenset(DType) - {
    DType.FLOAT32,
    DType.FLOAT64,
    DType.INT64,
    DType.UINT32,
    DType.UINT64,
    DType.COMPLEX64,
    DType.COMPLEX128,
    DType.STRING,
}
_FIELDS: dict[DType, str] = {
    **dict.fromkeys(_INT32_HELD, "int32_data"),
    DType.FLOAT32: "float_data",
    DType.COMPLEX64: "float_data",
    DType.FLOAT64: "double_data",
    DType.COMPLEX128: "double_data",
    DType.INT64: "int64_data",
    DType.UINT32: "uint64_data",
    DType.UINT64: "uint64_data",
}


def element_type(number: int, where: str) -> DType:
    """Return the DType of an ONNX number, or raise UnsupportedError."""
    try:
        return DType(number)
    except ValueError:
        raise UnsupportedError(
            f"{where} has element type number {number}, which compress does not know; "
            "the file is damaged or newer than this version"
        ) from None


def tensor_to_array(
    proto: pb.TensorProto, base_dir: Path | ExternalData | None = None, *, where: str = ""
) -> Array:
    """Return the contents of a tensor as a read-only array.

    Args:
        proto: the tensor.
        base_dir: folder of the model file, where external data may lie; an ExternalData reads
            ranges that several tensors share only once.
        where: how messages name the tensor; default its own name.

    Raises:
        FileError: if the data does not fit shape and type, or lies outside ``base_dir``.
        UnsupportedError: if the element type is unknown.
    """
    files = base_dir if isinstance(base_dir, ExternalData) else ExternalData(base_dir)
    found = tensor_entry(proto, files, where=where)
    return found.load() if isinstance(found, Stored) else found


def tensor_entry(
    proto: pb.TensorProto,
    files: ExternalData,
    place: Place | Array | None = None,
    *,
    where: str = "",
) -> Entry:
    """Return a tensor as `tensor_to_array` does, or where it lies in a file if it is large.

    Args:
        proto: the tensor.
        files: the files beside the model.
        place: the tensor's ``raw_data`` (uint8), or where it lies, if it is not in ``proto``.
        where: how messages name the tensor; default its own name.
    """
    where = where or f"tensor {proto.name!r}"
    dtype = element_type(proto.data_type, where)
    shape = tuple(proto.dims)
    _check_shape(shape, where)
    if proto.HasField("segment"):
        raise UnsupportedError(f"{where} is stored in segments; save the model again without them")
    size = math.prod(shape)
    if dtype is DType.STRING:
        return _shaped(_strings(proto, size, where), shape, where)
    n_bytes = _packed_bytes(dtype, size)
    held: bytes | Array | Place
    if proto.data_location == pb.TensorProto.EXTERNAL:
        entries = {entry.key: entry.value for entry in proto.external_data}
        if {*map(type, entries), *map(type, entries.values())} - {str}:
            raise FileError(f"{where} names its external data in no UTF-8 text; it is damaged")
        held = files.find(entries, n_bytes, where)
    elif place is not None:
        held = place
    elif proto.HasField("raw_data"):
        held = proto.raw_data
    else:
        return _shaped(_from_field(proto, dtype, shape, where), shape, where)
    found = held.size if isinstance(held, Place) else len(held)
    if found != n_bytes:
        raise FileError(
            f"{where} of type {dtype.label} and shape {_text(shape)} needs {n_bytes} bytes "
            f"but has {found}; the file is damaged"
        )
    if isinstance(held, Place):
        # Those that are converted on the way are small, or not worth it.
        plain = dtype.bits >= 8 and dtype is not DType.BOOL and sys.byteorder == "little"
        if plain and size > (SMALL if dtype in _SIZES else FEW):
            return Stored(held, dtype.numpy, shape)
        held = held.read()
    return _shaped(_from_raw(held, dtype, size), shape, where)


def sparse_to_array(
    proto: pb.SparseTensorProto,
    base_dir: Path | ExternalData | None = None,
    *,
    where: str = "",
    max_bytes: int = MAX_DENSE_BYTES,
) -> Array:
    """Return a sparse tensor as a dense, read-only array of at most ``max_bytes``.

    Raises:
        FileError: if indices do not fit, or the dense array would be absurdly large.
    """
    where = where or f"sparse tensor {proto.values.name!r}"
    shape = tuple(proto.dims)
    _check_shape(shape, where)
    values = tensor_to_array(proto.values, base_dir, where=f"values of {where}")
    indices = tensor_to_array(proto.indices, base_dir, where=f"indices of {where}")
    size = math.prod(shape)
    if size * values.dtype.itemsize > max_bytes:
        raise FileError(
            f"{where} of shape {_text(shape)} would take {size * values.dtype.itemsize} bytes "
            f"when made dense; at most {max_bytes} are allowed"
        )
    if values.ndim != 1 or indices.dtype != np.int64 or indices.ndim not in (1, 2):
        raise FileError(f"{where} needs 1-d values and 1-d or 2-d int64 indices")
    count = len(values)
    if indices.shape not in {(count,), (count, len(shape))}:
        raise FileError(f"{where} has {count} values but indices of shape {indices.shape}")
    if indices.ndim == 2:
        bounds = np.array(shape, np.int64)
        if count and ((indices < 0) | (indices >= bounds)).any():
            raise FileError(f"{where} has an index outside its shape {_text(shape)}")
        steps = np.array([math.prod(shape[axis + 1 :]) for axis in range(len(shape))], np.int64)
        indices = indices @ steps
    elif count and (indices.min() < 0 or indices.max() >= size):
        raise FileError(f"{where} has an index outside its {size} elements")
    dense = np.zeros(size, values.dtype)
    if values.dtype == object:
        dense[:] = ""
    dense[indices] = values
    return _shaped(dense, shape, where)


def array_to_tensor(array: Array, name: str = "") -> pb.TensorProto:
    """Return the tensor that holds ``array``, in raw_data wherever ONNX allows it."""
    dtype = DType.of(array.dtype)
    proto = pb.TensorProto(name=name, data_type=int(dtype), dims=list(array.shape))
    if dtype is DType.STRING:
        proto.string_data.extend(_encoded(text) for text in array.reshape(-1).tolist())
    else:
        proto.raw_data = array_to_raw(array)
    return proto


def array_to_raw(array: Array) -> bytes:
    """Return the little-endian bytes of an array as ONNX's raw_data wants them."""
    dtype = DType.of(array.dtype)
    flat = np.ascontiguousarray(array).reshape(-1)
    if dtype.bits >= 8:
        return flat.astype(flat.dtype.newbyteorder("<"), copy=False).tobytes()
    per_byte = 8 // dtype.bits
    codes = flat.view(np.uint8) & np.uint8((1 << dtype.bits) - 1)
    codes = np.concatenate([codes, np.zeros(-len(codes) % per_byte, np.uint8)])
    packed = np.zeros(len(codes) // per_byte, np.uint8)
    for place in range(per_byte):
        packed |= codes[place::per_byte] << np.uint8(place * dtype.bits)
    return packed.tobytes()


def _encoded(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def _text(shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _check_shape(shape: tuple[int, ...], where: str) -> None:
    if len(shape) > MAX_RANK:
        raise UnsupportedError(f"{where} has {len(shape)} dimensions; at most {MAX_RANK} are read")
    if min(shape, default=0) < 0:
        raise FileError(f"{where} has a negative size in its shape {_text(shape)}")


def _packed_bytes(dtype: DType, size: int) -> int:
    return -(-size * dtype.bits // 8)


def _shaped(flat: Array, shape: tuple[int, ...], where: str) -> Array:
    try:
        array = flat.reshape(shape)
    except ValueError:  # no elements, but dimensions whose product overflows
        raise FileError(f"{where} has the impossible shape {_text(shape)}") from None
    array.flags.writeable = False
    return array


def _strings(proto: pb.TensorProto, size: int, where: str) -> Array:
    if len(proto.string_data) != size:
        raise FileError(f"{where} needs {size} strings but has {len(proto.string_data)}")
    found = np.empty(size, object)
    try:
        found[:] = [text.decode() for text in proto.string_data]
    except UnicodeDecodeError:
        raise FileError(f"{where} holds a string that is not UTF-8; the file is damaged") from None
    return found


def _from_raw(raw: bytes | Array, dtype: DType, size: int) -> Array:
    if dtype is DType.BOOL:  # a byte other than 0 and 1 would be an invalid bool
        return np.frombuffer(raw, np.uint8).astype(np.bool_)
    if dtype.bits >= 8:
        held = dtype.numpy
        found = np.frombuffer(raw, held.newbyteorder("<"))
        return found.astype(held, copy=False)
    return _unpacked(np.frombuffer(raw, np.uint8), dtype, size)


def _unpacked(packed: Array, dtype: DType, size: int) -> Array:
    """Return one code per element from 2-bit or 4-bit codes, lowest bits first."""
    bits, per_byte = dtype.bits, 8 // dtype.bits
    codes = np.empty((len(packed), per_byte), np.uint8)
    for place in range(per_byte):
        codes[:, place] = (packed >> np.uint8(place * bits)) & np.uint8((1 << bits) - 1)
    flat = codes.reshape(-1)[:size]
    if dtype in (DType.INT4, DType.INT2):
        half = 1 << (bits - 1)
        flat = ((flat ^ np.uint8(half)).astype(np.int8) - np.int8(half)).astype(np.int8)
    return np.ascontiguousarray(flat).view(dtype.numpy)


def _from_field(proto: pb.TensorProto, dtype: DType, shape: tuple[int, ...], where: str) -> Array:
    """Return the elements from one of the typed repeated fields."""
    size = math.prod(shape)
    field = _FIELDS[dtype]
    given = getattr(proto, field)
    if dtype.bits < 8:
        expected = _packed_bytes(dtype, size)
    else:
        expected = size * 2 if "COMPLEX" in dtype.name else size
    if len(given) != expected:
        raise FileError(
            f"{where} of type {dtype.label} and shape {_text(shape)} needs {expected} entries in "
            f"{field} but has {len(given)}; the file is damaged"
        )
    held = dtype.numpy
    if field in ("float_data", "double_data"):
        parts = np.array(given, np.float32 if field == "float_data" else np.float64)
        return parts.view(held)
    whole = np.array(given, np.uint64 if field == "uint64_data" else np.int64)
    if dtype.bits < 8:
        return _unpacked(whole.astype(np.uint8), dtype, size)
    if dtype is DType.BOOL:
        return whole.astype(np.bool_)
    if dtype is DType.FLOAT16 or held.names:  # the field holds bit patterns
        raw = np.dtype(f"u{held.itemsize}")
        return whole.astype(raw).view(held)
    low, high = dtype.integer_range
    if whole.size and (int(whole.min()) < low or int(whole.max()) > high):
        raise FileError(f"{where} has a value that {dtype.label} cannot hold; the file is damaged")
    return whole.astype(held)
