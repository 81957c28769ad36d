"""Tensor: elements of one type in n dimensions, on any strides; views share memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from . import dlpack, packed
from .codec import decode, raw
from .dtype import DType
from .engine.view import row_major
from .errors import InputError, ShapeError, UnsupportedError
from .graph.graph import Array
from .indexing import choose
from .methods import Methods
from .operators import Operators
from .promotion import Scalar, check_fits, default_type
from .storage import allocate, share
from .strided import Strided

_PYTHON = {bool: DType.BOOL, int: DType.INT64, float: DType.FLOAT32}


def as_dtype(dtype: DType | DTypeLike | str) -> DType:
    """Return the element type that a DType, its label, a numpy dtype or a Python type names.

    Raises:
        UnsupportedError: if it names none of ours.
    """
    if isinstance(dtype, DType):
        return dtype
    if isinstance(dtype, type) and dtype in _PYTHON:
        return _PYTHON[dtype]
    if isinstance(dtype, str) and dtype.upper() in DType.__members__:
        return DType[dtype.upper()]
    try:
        return DType.of(dtype)
    except TypeError as error:
        raise UnsupportedError(f"{dtype!r} is not an element type") from error


class Tensor(Methods, Operators, Strided):
    """Elements of one type in n dimensions.

    ``Tensor(data)`` copies an array, a tensor, a number or nested lists of numbers, in which
    floats become ``float32`` and ints ``int64``.  ``Tensor.from_numpy`` shares memory instead.
    Reading from several threads at once is safe; who writes must be alone.

    Args:
        data: the elements.
        dtype: their type; by default that of ``data``.

    Raises:
        InputError: if ``data`` is no rectangle of numbers, or does not fit the type.
    """

    __slots__ = ()
    __array_priority__ = 1000  # numpy leaves ``array + tensor`` to the tensor

    def __new__(cls, data: Any, dtype: DType | DTypeLike | str | None = None) -> Tensor:
        """Copy ``data``."""
        kind = None if dtype is None else as_dtype(dtype)
        if isinstance(data, Tensor):
            copied = data.clone()
            return copied if kind is None else copied.astype(kind)
        if isinstance(data, (bool, int, float)) and not isinstance(data, np.generic):
            return _number(data, kind or default_type(data))
        array = data if isinstance(data, (np.ndarray, np.generic)) else _nested(data, kind)
        found = copy_of(np.asarray(array))
        return found if kind is None else found.astype(kind)

    # ---- numpy, DLPack ----

    @classmethod
    def from_numpy(cls, array: Array) -> Tensor:
        """Return a tensor that shares an array's memory, whatever its strides.

        Copied are only arrays that cannot be shared: of types stored packed here (int4), of
        foreign byte order, misaligned, or with strides that are not whole elements.
        A read-only array gives a tensor without in-place operations.

        Raises:
            UnsupportedError: if the element type is none of ours, or strings.
        """
        if not isinstance(array, np.ndarray):
            raise InputError(f"from_numpy takes an array, not {type(array).__name__}")
        if array.dtype.byteorder not in "=|" and not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        dtype = DType.of(array.dtype)
        if dtype is DType.STRING:
            raise UnsupportedError("a tensor holds numbers, not strings")
        width = array.itemsize
        odd = any(stride % width for stride in array.strides)
        if dtype in packed.PACKED or odd or not array.flags.aligned:
            return copy_of(array)
        storage, start = share(array)
        strides = tuple(stride // width for stride in array.strides)
        return cls._make(storage, dtype, array.shape, strides, start // width)

    def numpy(self) -> Array:
        """Return the array that shares this tensor's memory.

        Types that numpy lacks are held as the module ``dtype`` says.  A copy is made only of
        types stored packed (int4).  Broadcast tensors give read-only arrays.
        """
        if self._dtype in packed.PACKED:
            return packed.read(
                self._storage.memory, self._dtype, self._shape, self._strides, self._offset
            )
        held = self._dtype.numpy
        if not prod(self._shape):
            return np.empty(self._shape, held)
        width = held.itemsize
        found: Array = np.ndarray(
            self._shape,
            held,
            self._storage.memory,
            self._offset * width,
            [stride * width for stride in self._strides],
        )
        if any(n > 1 and not step for n, step in zip(self._shape, self._strides, strict=True)):
            found.flags.writeable = False
        return found

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> Array:
        found = self.numpy()
        if dtype is not None and np.dtype(dtype) != found.dtype:
            if copy is False:
                raise InputError(f"a {self._dtype.label} tensor is not {dtype} without a copy")
            return decode(found).astype(dtype)
        return found.copy() if copy else found

    @property
    def __array_interface__(self) -> dict[str, Any]:
        if self._dtype in packed.PACKED:  # hasattr() must say no: numpy then asks __array__
            raise AttributeError("packed elements have no array interface")
        return dict(self.numpy().__array_interface__)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Return a DLPack capsule that shares this tensor's memory."""
        return dlpack.export(
            self.numpy(),
            self._dtype,
            stream=stream,
            max_version=max_version,
            dl_device=dl_device,
            copy=copy,
        )

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return DLPack's number of the device: the CPU."""
        return dlpack.CPU, 0

    def item(self) -> Scalar:
        """Return the only element as a Python number.

        Raises:
            ShapeError: if there is not exactly one.
        """
        if self.size != 1:
            raise ShapeError(f"item() is for one element, not for shape {list(self._shape)}")
        found: Scalar = decode(self.numpy()).item()
        return found

    def tolist(self) -> Any:
        """Return the elements as nested lists of Python numbers."""
        return decode(self.numpy()).tolist()

    # ---- copies ----

    def clone(self) -> Tensor:
        """Return a contiguous copy."""
        if self._dtype in packed.PACKED:
            return copy_of(self.numpy())
        found: Tensor = _eager.run("Identity", [self])
        return found

    def contiguous(self) -> Tensor:
        """Return the tensor itself if it is contiguous, else a copy that is."""
        return self if self.is_contiguous() else self.clone()

    _contiguous = contiguous

    def astype(self, dtype: DType | DTypeLike | str) -> Tensor:
        """Return the elements converted, or the tensor itself if it has that type.

        Floats become integers by truncation; integers wrap; int4 and int2 keep the low bits.
        """
        kind = as_dtype(dtype)
        if kind is self._dtype:
            return self
        if kind is DType.STRING:
            raise UnsupportedError("a tensor holds numbers, not strings")
        found: Tensor = _eager.run("Cast", [self], (("to", int(kind)),))
        return found

    to = astype

    def bits_as(self, dtype: DType) -> Tensor:
        """Return the same memory under another type of the same size.

        Raises:
            InputError: if the sizes differ.
        """
        if dtype.bits != self._dtype.bits:
            raise InputError(f"{dtype.label} and {self._dtype.label} differ in size")
        return Tensor._make(self._storage, dtype, self._shape, self._strides, self._offset)

    # ---- elements ----

    def __getitem__(self, key: Any) -> Tensor:
        return _ops.indexed(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _ops.assign(self, key, value)

    def fill_(self, value: Scalar) -> Tensor:
        """Set every element to a number; returns the tensor."""
        _ops.assign(self, ..., value)
        return self

    def copy_(self, other: Any) -> Tensor:
        """Set the elements to those of another tensor that broadcasts; returns this one."""
        _ops.assign(self, ..., other)
        return self

    def __len__(self) -> int:
        if not self._shape:
            raise ShapeError("a 0-d tensor has no length")
        return self._shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self._shape:
            raise ShapeError("a 0-d tensor cannot be iterated over")
        return (choose(self, i)[0] for i in range(self._shape[0]))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(
                f"a tensor of shape {list(self._shape)} is neither true nor false; use any or all"
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        found = self.item()
        if not isinstance(found, int) or isinstance(found, bool):
            raise InputError(f"a {self._dtype.label} tensor is no index")
        return found

    def __repr__(self) -> str:
        text = np.array2string(decode(self.numpy()), separator=", ", prefix="Tensor(")
        shape = f"shape={self._shape}, " if not self.size else ""
        return f"Tensor({text}, {shape}dtype={self._dtype.label})"

    def __reduce__(self) -> tuple[Any, ...]:
        return copy_of, (np.ascontiguousarray(self.numpy()).reshape(self._shape),)

    def __copy__(self) -> Tensor:
        return self.clone()

    def __deepcopy__(self, memo: object) -> Tensor:
        return self.clone()

    __hash__ = object.__hash__


def empty_like_shape(shape: Sequence[int], dtype: DType) -> Tensor:
    """Return a new contiguous tensor with arbitrary contents."""
    dims = tuple(shape)
    nbytes = -(-prod(dims) * dtype.bits // 8)
    return Tensor._make(allocate(nbytes), dtype, dims, row_major(dims))


def copy_of(array: Array) -> Tensor:
    """Return a tensor with an array's elements in memory of its own.

    Raises:
        UnsupportedError: if the element type is none of ours, or strings.
    """
    dtype = DType.of(array.dtype if array.dtype.isnative else array.dtype.newbyteorder("="))
    if dtype is DType.STRING:
        raise UnsupportedError("a tensor holds numbers, not strings")
    found = empty_like_shape(array.shape, dtype)
    if dtype in packed.PACKED:
        codes = np.ascontiguousarray(raw(array)).reshape(-1)
        found._storage.memory[:] = packed.pack(codes, dtype)
    elif array.size:
        found.numpy()[...] = array
    return found


def _number(value: Scalar, dtype: DType) -> Tensor:
    """Return a 0-d tensor."""
    check_fits(value, dtype)
    if dtype.numpy.names is None:
        return Tensor.from_numpy(np.array(value, dtype.numpy))
    return Tensor.from_numpy(np.array(value, np.float64)).astype(dtype)


def _nested(data: Any, dtype: DType | None) -> Array:
    """Return nested sequences of numbers as an array of the type that they have by default."""
    if hasattr(data, "__dlpack__") and not isinstance(data, (list, tuple)):
        return dlpack.take(data)
    try:
        array = np.asarray(data)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"the data is no rectangle of numbers: {error}") from error
    if array.dtype.kind in "OUSTMm":
        raise InputError(f"a tensor is made of numbers, not of {array.dtype} as in {data!r:.60}")
    if array.dtype == np.float64 and not hasattr(data, "dtype"):
        array = array.astype(np.float32)
    if dtype is not None and dtype.is_int and array.dtype.kind in "iu" and array.size:
        check_fits(int(array.min()), dtype)
        check_fits(int(array.max()), dtype)
    return array


# These work on Tensor, so they can only be imported now.
from . import eager as _eager  # noqa: E402
from . import methods as _methods  # noqa: E402
from . import operators as _operators  # noqa: E402
from .ops import movement as _ops  # noqa: E402

_operators.connect()
_methods.connect()
