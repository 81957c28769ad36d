"""Compare what each package exports with its reviewed ``api.txt``; ``--write`` renews them.

One line per public name of ``__all__``: its kind, signature, and for classes the public members.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from environment import packages

ROOT = Path(__file__).resolve().parents[1]


def surface(module: Any) -> Iterator[str]:
    """Yield the lines that describe a package."""
    for name in sorted(module.__all__):
        value = getattr(module, name)
        if name.startswith("__") or name == "API_VERSION":
            yield f"{name}: {type(value).__name__}"
        elif inspect.isclass(value):
            yield from class_lines(name, value)
        elif callable(value):
            yield f"{name}{signature(value)}"
        else:
            yield f"{name}: {type(value).__name__}"


def class_lines(name: str, value: type) -> Iterator[str]:
    """Yield the lines of a class: itself, then its own public members."""
    bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
    yield f"class {name}({bases})"
    if issubclass(value, Enum):
        for each in value:
            yield f"{name}.{each.name} = {each.value!r}"
    elif not issubclass(value, BaseException):
        yield f"{name}.__init__{signature(value)}"
    for member, found in sorted(vars(value).items()):
        if member.startswith("_") or (issubclass(value, Enum) and member in value.__members__):
            continue
        if isinstance(found, property):
            yield f"{name}.{member}: property"
        elif isinstance(found, (classmethod, staticmethod)):
            yield f"{name}.{member}{signature(found.__func__)} ({type(found).__name__})"
        elif inspect.isfunction(found):
            yield f"{name}.{member}{signature(found)}"


def signature(value: Any) -> str:
    """Return a signature as text, the same on every version of Python."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "(...)"
    # Defaults that are made per instance print an address.
    text = str(found).replace("<factory>", "...")
    return text if " at 0x" not in text else "(...)"


def main() -> int:
    """Return 1 if a package differs from its snapshot."""
    write, wrong = "--write" in sys.argv[1:], 0
    for name in packages():
        path = ROOT / "packages" / name / "api.txt"
        module = importlib.import_module(name.replace("-", "_"))
        now = [f"{line}\n" for line in surface(module)]
        if write:
            path.write_text("".join(now))
            continue
        kept = path.read_text().splitlines(keepends=True) if path.is_file() else []
        difference = list(difflib.unified_diff(kept, now, str(path.relative_to(ROOT)), "now"))
        if difference:
            wrong += 1
            sys.stdout.writelines(difference)
    if wrong:
        print("api: review the difference, then run: python tools/api_surface.py --write")
    else:
        print(f"api: {len(packages())} packages")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
