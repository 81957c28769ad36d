"""Find, load, check and type libcompress_core, once per process.

``COMPRESS_LIBRARY`` names another file to load (a sanitizer build); ``COMPRESS_ISA`` (scalar,
avx2, avx512, avx512vnni, avx512bf16, amx) limits the instruction set.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from pathlib import Path

from ..errors import (
    CancelledError,
    NativeArgumentError,
    NativeError,
    NativeMemoryError,
    NativeUnsupportedError,
)
from ..forks import Lock, renew_after_fork
from .signatures import ABI, SIGNATURES

ISAS = ("scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx")
_ERRORS = {
    1: NativeArgumentError,
    2: NativeMemoryError,
    3: NativeUnsupportedError,
    4: CancelledError,
}
_LOCK = Lock()


def library_path() -> Path:
    """Return the file that will be loaded."""
    named = os.environ.get("COMPRESS_LIBRARY")
    return Path(named) if named else Path(__file__).parents[1] / "_lib" / "libcompress_core.so"


def load(path: Path) -> ctypes.CDLL:
    """Load a libcompress_core, check its ABI and type every function.

    Raises:
        ImportError: if the file is missing, not loadable, or of another ABI.
    """
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise ImportError(
            f"the native library {path} cannot be loaded ({error}); reinstall compress-tensor, "
            "or in a checkout run: python libcore/build.py"
        ) from error
    _check_abi(library, path)
    library.cpr_last_error.argtypes = ()
    library.cpr_last_error.restype = ctypes.c_char_p

    def check(status: int, function: object, arguments: tuple[object, ...]) -> None:
        if status:
            raise _error(library, status)

    for name, argtypes in SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes = argtypes
        function.restype = ctypes.c_int32
        function.errcheck = check
    return library


def _error(library: ctypes.CDLL, status: int) -> NativeError:
    kind = _ERRORS.get(status, NativeError)
    return kind(library.cpr_last_error().decode(errors="replace"))


def _check_abi(library: ctypes.CDLL, path: Path) -> None:
    library.cpr_abi_version.argtypes = ()
    library.cpr_abi_version.restype = ctypes.c_uint32
    major, minor = divmod(library.cpr_abi_version(), 1 << 16)
    if major != ABI[0] or minor < ABI[1]:
        raise ImportError(
            f"{path} speaks ABI {major}.{minor}, compress-tensor needs {ABI[0]}.{ABI[1]} "
            f"or a later {ABI[0]}.x; reinstall compress-tensor"
        )


@functools.cache
def _loaded() -> ctypes.CDLL:
    found = load(library_path())
    wanted = os.environ.get("COMPRESS_ISA")
    if wanted:
        if wanted not in ISAS:
            raise ImportError(f"COMPRESS_ISA={wanted} is not one of {', '.join(ISAS)}")
        found.cpr_limit_isa(ISAS.index(wanted))
    return found


def core() -> ctypes.CDLL:
    """Return the library, loaded at the first call."""
    with _LOCK:
        return _loaded()


@functools.cache
def unchecked(name: str) -> Callable[..., int]:
    """Return a function that returns its status as it is, for `failure`: a check costs 150 ns."""
    prototype = ctypes.CFUNCTYPE(ctypes.c_int32, *SIGNATURES[name])
    return prototype((name, core()))


def failure(status: int) -> NativeError:
    """Return what a status other than 0, of this thread's last call, stands for."""
    return _error(core(), status)


def isa() -> str:
    """Return the name of the instruction set in use."""
    found = ctypes.c_int32()
    core().cpr_get_isa(ctypes.byref(found))
    return ISAS[found.value]


def limit_isa(name: str) -> None:
    """Use at most this instruction set from now on, in the whole process."""
    core().cpr_limit_isa(ISAS.index(name))


@functools.cache
def opcode(name: str) -> int:
    """Return the number of an operator of libcore.

    Raises:
        NativeUnsupportedError: if this library has none of that name.
    """
    found = ctypes.c_int32()
    core().cpr_find_op(name.encode(), ctypes.byref(found))
    return found.value


class Pool:
    """A persistent set of threads for the runs of one or several sessions.

    Threads do not survive a fork: a child starts its own when it first asks for the handle.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._handle: ctypes.c_void_p | None = None
        self._create()
        renew_after_fork(self)

    @property
    def handle(self) -> ctypes.c_void_p:
        """The native pool."""
        return self._handle or self._create()

    def _create(self) -> ctypes.c_void_p:
        with _LOCK:
            if self._handle is None:
                made = ctypes.c_void_p()
                _loaded().cpr_pool_create(self.threads, ctypes.byref(made))
                self._handle = made
            return self._handle

    def after_fork(self) -> None:
        """Give up the parent's threads."""
        self.close()

    def close(self) -> None:
        """End the threads."""
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            _loaded().cpr_pool_destroy(handle)

    def __del__(self) -> None:
        self.close()
