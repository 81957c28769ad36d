"""Every exception of the project: a CompressError that is also the builtin it resembles."""

from __future__ import annotations


class CompressError(Exception):
    """Base of all errors that compress raises on purpose.

    The message is one sentence that says what is wrong, where, and what to do.
    Command lines print it and exit with code 2.
    """


class GraphError(CompressError, ValueError):
    """A graph is not well formed: a cycle, a missing or duplicate name, a wrong type."""


class ShapeError(CompressError, ValueError):
    """Shapes, types or attributes do not fit the operator they are given to."""


class UnsupportedError(CompressError, NotImplementedError):
    """The model asks for operators, types or versions that compress does not have."""


class InputError(CompressError, ValueError):
    """Data handed in has a wrong name, shape, type or value."""


class OutOfRangeError(InputError, IndexError):
    """An index names an element that does not exist."""


class FileError(CompressError, OSError):
    """A file cannot be read or written, or does not contain what it should."""


class MissingExtraError(CompressError, ImportError):
    """An optional part is not installed; the message names the extra to install."""


class NativeError(CompressError, RuntimeError):
    """libcompress_core refused or failed."""


class NativeArgumentError(NativeError, ValueError):
    """libcompress_core was given an argument it cannot take."""


class NativeMemoryError(NativeError, MemoryError):
    """libcompress_core could not allocate memory."""


class CancelledError(NativeError, InterruptedError):
    """A run was told to stop before its end."""


class NativeUnsupportedError(NativeError, NotImplementedError):
    """libcompress_core has no kernel for these types or shapes."""
