"""Check that compress_tensor/native/signatures.py says what libcore's header says."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from header import abi, prototypes

from compress_tensor.native.signatures import ABI, SIGNATURES

VALUES: dict[str, Any] = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "float": ctypes.c_float,
    "size_t": ctypes.c_size_t,
}
POINTERS: dict[str, Any] = {
    "char*": ctypes.c_char_p,
    "char**": ctypes.POINTER(ctypes.c_char_p),
    "void**": ctypes.POINTER(ctypes.c_void_p),
    **{f"{name}*": ctypes.POINTER(held) for name, held in VALUES.items()},
}
#: called once by the loader, which types them itself
UNTABLED = {"cpr_abi_version", "cpr_last_error"}


def fits(declared: Any, written: str) -> bool:
    """Whether a ctypes argument may stand for a C type; an address may stand for any pointer."""
    if written in VALUES:
        return declared is VALUES[written]
    return written.endswith("*") and declared in (ctypes.c_void_p, POINTERS.get(written))


def main() -> int:
    """Return 1 if the two differ."""
    problems = []
    if abi() != ABI:
        problems.append(f"the header's ABI is {abi()}, signatures.py says {ABI}")
    written = {p.name: p for p in prototypes() if p.name not in UNTABLED}
    for name in written.keys() ^ SIGNATURES.keys():
        where = "signatures.py" if name in written else "the header"
        problems.append(f"{name} is missing in {where}")
    for name in sorted(written.keys() & SIGNATURES.keys()):
        types, declared = written[name].arguments, SIGNATURES[name]
        if written[name].returns != "cpr_status":
            problems.append(f"{name} returns {written[name].returns}, not a status")
        if len(types) != len(declared):
            problems.append(f"{name} has {len(types)} arguments, signatures.py {len(declared)}")
        problems += [
            f"{name}, argument {i}: {c} in the header, {python.__name__} in signatures.py"
            for i, (c, python) in enumerate(zip(types, declared, strict=False))
            if not fits(python, c)
        ]
    print(*problems, f"signatures: {len(written)} functions, {len(problems)} problems", sep="\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
