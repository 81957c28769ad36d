"""The table of reference definitions: one plain numpy function per ONNX operator.

A definition's signature *is* the operator's schema.  Positional parameters are the inputs under
ONNX's names (``None`` default: optional; ``*name``: variadic), keyword-only parameters are the
attributes with ONNX's defaults (none: required).  ``n_outputs``, if declared keyword-only,
receives the number of outputs asked for.  It returns one array or a tuple of arrays::

    @reference("LeakyRelu")
    def leaky_relu(X: Array, *, alpha: float = 0.01) -> Array:
        return np.where(X < 0, X * X.dtype.type(alpha), X)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import Any, TypeVar

import numpy as np

from ...errors import CompressError, ShapeError, UnsupportedError
from ...graph.graph import Array, Attribute, Graph

Definition = Callable[..., Any]
F = TypeVar("F", bound=Definition)


@dataclass(frozen=True)
class Reference:
    """One operator: its ONNX name, domain, and numpy definition."""

    op: str
    domain: str
    function: Definition

    @cached_property
    def _plain(self) -> Any:
        """The function whose code object tells the signature; `inspect.signature` takes 30 us."""
        return inspect.unwrap(self.function)

    @cached_property
    def _keywords(self) -> tuple[str, ...]:
        code: CodeType = self._plain.__code__
        return code.co_varnames[code.co_argcount :][: code.co_kwonlyargcount]

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs, that of a variadic one last."""
        code: CodeType = self._plain.__code__
        keywords = code.co_argcount + code.co_kwonlyargcount
        more = bool(code.co_flags & inspect.CO_VARARGS)
        return code.co_varnames[: code.co_argcount] + code.co_varnames[keywords : keywords + more]

    @cached_property
    def counts_outputs(self) -> bool:
        """Whether the definition wants to know how many outputs are asked for."""
        return "n_outputs" in self._keywords

    @cached_property
    def n_inputs(self) -> tuple[int, int | None]:
        """Fewest and most inputs (None: no limit)."""
        code = self._plain.__code__
        variadic = bool(code.co_flags & inspect.CO_VARARGS)
        fewest = code.co_argcount - len(self._plain.__defaults__ or ())
        return fewest, None if variadic else code.co_argcount

    def attributes(self, given: dict[str, Attribute], where: str) -> dict[str, Attribute]:
        """Return all attributes with defaults filled in.

        Raises:
            ShapeError: if one is unknown, has a wrong type, or a required one is missing.
        """
        if not given and not self._choices:
            return {}
        for name, value in given.items():
            choices = self._choices.get(name)
            if choices is None:
                raise ShapeError(f"{where} has an unknown attribute {name!r}")
            if not _fits(value, choices):
                kind = self._plain.__annotations__[name]
                raise ShapeError(f"{where} has an attribute {name!r} that is no {kind}: {value!r}")
        found = {**self._defaults, **given}
        if len(found) < len(self._choices):
            name = next(n for n in self._choices if n not in found)
            raise ShapeError(f"{where} lacks the attribute {name!r}")
        return found

    @cached_property
    def _defaults(self) -> dict[str, Attribute]:
        found: dict[str, Attribute] = dict(self._plain.__kwdefaults__ or {})
        found.pop("n_outputs", None)
        return found

    @cached_property
    def _choices(self) -> dict[str, list[_Choice]]:
        texts = self._plain.__annotations__
        return {n: _choices(str(texts[n])) for n in self._keywords if n != "n_outputs"}


# Concrete types: an abstract number is asked a hundred times more slowly.
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int, np.integer),
    "float": (float, int, np.floating, np.integer),
    "str": (str,),
    "Array": (np.ndarray,),
    "None": (type(None),),
}
_Choice = tuple[tuple[type, ...], bool]  #: types, and whether they are those of a list's elements


def _choices(annotation: str) -> list[_Choice]:
    """Return the types that an annotation names; it allows anything if it names another."""
    found: list[_Choice] = []
    for choice in annotation.split(" | "):
        inner = choice.removeprefix("list[").removesuffix("]")
        found.append((_KINDS.get(inner, (object,)), inner != choice and inner in _KINDS))
    return found


def _fits(value: Any, choices: list[_Choice]) -> bool:
    """Return whether a value is of one of the types."""
    for kind, listed in choices:
        if not listed:
            if isinstance(value, kind):
                return True
        elif isinstance(value, (list, tuple)):
            for each in value:  # a generator takes twice as long
                if not isinstance(each, kind):
                    break
            else:
                return True
    return False


REFERENCES: dict[tuple[str, str], Reference] = {}


def reference(op: str, domain: str = "") -> Callable[[F], F]:
    """Register the decorated function as the definition of ``op``."""

    def register(function: F) -> F:
        REFERENCES[domain, op] = Reference(op, domain, function)
        return function

    return register


def find(op: str, domain: str = "") -> Reference:
    """Return the definition of an operator.

    Raises:
        UnsupportedError: if there is none.
    """
    found = REFERENCES.get((domain, op))
    if found is None:
        where = f" of domain {domain!r}" if domain else ""
        raise UnsupportedError(f"operator {op}{where} is not supported")
    return found


def evaluate(
    op: str,
    inputs: Sequence[Array | None],
    attributes: dict[str, Attribute],
    n_outputs: int = 1,
    *,
    domain: str = "",
    where: str = "",
) -> list[Array]:
    """Compute one operator by its definition; returns exactly ``n_outputs`` arrays or more."""
    definition = find(op, domain)
    keywords: dict[str, Any] = definition.attributes(attributes, where or op)
    if definition.counts_outputs:
        keywords["n_outputs"] = n_outputs
    try:
        with np.errstate(all="ignore"):  # IEEE results (inf, nan) are what ONNX defines
            result = definition.function(*inputs, **keywords)
    except CompressError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise ShapeError(f"{where or op}: inputs or attributes do not fit ({error})") from error
    except MemoryError as error:
        raise ShapeError(f"{where or op}: there is not enough memory for its results") from error
    return [_array(r) for r in (result if isinstance(result, tuple) else (result,))]


def _array(result: Any) -> Any:
    """Turn the scalars that numpy reductions give back into arrays."""
    return np.asarray(result) if isinstance(result, np.generic) else result


__all__ = ["REFERENCES", "Graph", "Reference", "evaluate", "find", "reference"]
