"""Recipes as YAML files: the names of `Recipe`, with sentences for whatever is wrong.

An example::

    target: onnxruntime
    observer: percentile
    percentile: 99.99
    memory: 512MB
    exclude: [frontend*]
    overrides:
      - {node: classifier*, observer: minmax}
      - {node: relu_1, low: 0, high: 6}
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from compress_tensor import FileError, InputError

from .observe import Observer, parse_bytes
from .recipe import Override, Recipe, When
from .target import Activations, Target

Convert = Callable[[str, Any], Any]


def load_recipe(path: Path, base: Recipe | None = None) -> Recipe:
    """Return the recipe of a file; what it does not mention comes from ``base``.

    Raises:
        FileError: if the file cannot be read or is not YAML.
        InputError: for wrong keys, with the nearest right one, types and combinations.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise FileError(f"recipe {path} cannot be read: {reason}") from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise FileError(f"recipe {path} is not YAML{where}") from error
    if loaded is None:
        loaded = {}
    try:
        return dataclasses.replace(base or Recipe(), **_fields(loaded, _RECIPE))
    except InputError as error:
        error.args = (f"recipe {path}: {error}",)
        raise


def _fields(loaded: Any, table: Mapping[str, Convert]) -> dict[str, Any]:
    if not isinstance(loaded, dict):
        raise InputError(f"keys with values are needed, not {_kind(loaded)}")
    found = {}
    for key, value in loaded.items():
        if key not in table:
            near = difflib.get_close_matches(str(key), table, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"keys are {', '.join(table)}"
            raise InputError(f"there is no key {str(key)!r}; {hint}")
        found[key] = table[key](key, value)
    return found


def _kind(value: Any) -> str:
    names = {dict: "a map", list: "a list", str: "text", bool: "yes or no", type(None): "nothing"}
    return names.get(type(value), "a number")


def _choice(kind: type[Enum]) -> Convert:
    def convert(key: str, value: Any) -> Any:
        if isinstance(value, bool):  # YAML reads a bare on and off as yes and no
            value = "on" if value else "off"
        names = [each.value for each in kind]
        if value not in names:
            near = difflib.get_close_matches(str(value), names, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"{key} is {value!r}, not one of {', '.join(names)}{hint}")
        return kind(value)

    return convert


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{key} must be a number, not {_kind(value)} ({value!r})")
    return float(value)


def _count(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 256:
        raise InputError(f"{key} must be a whole number from 1 to 256, not {value!r}")
    return value


def _bits(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{key} must be a whole number, not {_kind(value)} ({value!r})")
    return value


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{key} must be true or false, not {_kind(value)} ({value!r})")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{key} must be text, not {_kind(value)} ({value!r})")
    return value


def _texts(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise InputError(f"{key} must be a list of texts, not {_kind(value)} ({value!r})")
    return tuple(_text(key, each) for each in value)


def _memory(key: str, value: Any) -> int:
    return parse_bytes(str(value))


def _overrides(key: str, value: Any) -> tuple[Override, ...]:
    if not isinstance(value, list):
        raise InputError(f"{key} must be a list of maps, not {_kind(value)}")
    found = []
    for number, each in enumerate(value, 1):
        fields = _fields(each, _OVERRIDE)
        if "node" not in fields:
            raise InputError(f"override {number} does not say which node it is for")
        found.append(Override(**fields))
    return tuple(found)


_OVERRIDE: dict[str, Convert] = {
    "node": _text,
    "keep_float": _flag,
    "observer": _choice(Observer),
    "low": _number,
    "high": _number,
}
_RECIPE: dict[str, Convert] = {
    "target": _choice(Target),
    "activations": _choice(Activations),
    "observer": _choice(Observer),
    "percentile": _number,
    "memory": _memory,
    "threads": _count,
    "exclude": _texts,
    "op_types": _texts,
    "overrides": _overrides,
    "least_decibels": _number,
    "equalize": _choice(When),
    "bias_correction": _choice(When),
    "strict": _flag,
    "weight_bits": _bits,
    "activation_bits": _bits,
    "edge_bits": _bits,
    "per_channel": _flag,
}
