"""Reads the prototypes of libcore's header, which keep to one form for this purpose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HEADER = Path(__file__).resolve().parents[1] / "libcore/include/compress_core.h"
_PROTOTYPE = re.compile(r"^CPR_API ([\w ]+?[ *]+)(cpr_\w+)\(([^)]*)\);", re.MULTILINE)
_MACRO = re.compile(r"^#define CPR_ABI_(MAJOR|MINOR) (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Prototype:
    """One exported function: name, what it returns, types of its arguments."""

    name: str
    returns: str
    arguments: tuple[str, ...]


def prototypes() -> list[Prototype]:
    """Return all exported functions, in the header's order."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    found = []
    for returns, name, arguments in _PROTOTYPE.findall(text):
        given = [part.strip() for part in " ".join(arguments.split()).split(",")]
        types = () if given == ["void"] else tuple(_type(part) for part in given)
        found.append(Prototype(name, _plain(returns), types))
    return found


def abi() -> tuple[int, int]:
    """Return the version of the ABI."""
    found = dict(_MACRO.findall(HEADER.read_text()))
    return int(found["MAJOR"]), int(found["MINOR"])


def _type(argument: str) -> str:
    """Return the type of an argument without its name."""
    return _plain(re.sub(r"\w+$", "", argument))


def _plain(text: str) -> str:
    return re.sub(r"\s*\*\s*", "*", text.replace("const", " ")).strip().replace("  ", " ")
