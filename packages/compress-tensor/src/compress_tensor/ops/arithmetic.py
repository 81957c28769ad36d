"""Operations on two tensors, element by element, broadcasting by numpy's rule.

Types meet as the module ``promotion`` says.  ``out`` names a tensor that receives the result, as
in numpy; it may be an operand.
"""

from __future__ import annotations

from typing import Any

from ..dtype import DType
from ..eager import run, run_in_place
from ..errors import InputError, ShapeError
from ..promotion import FLOATS, HALVES, INTEGERS
from ..tensor import Tensor
from . import movement
from .operands import arithmetic, as_tensor, float_tensor, meet

#: what arithmetic on bool means, as in numpy
_LOGIC = {"Add": "Or", "Mul": "And", "Max": "Or", "Min": "And"}


def _pair(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    if type(a) is not Tensor or type(b) is not Tensor or a._dtype is not b._dtype:
        a, b = meet(a, b)
    arithmetic(a)
    return a, b


def _binary(op: str, a: Any, b: Any, out: Tensor | None) -> Tensor:
    a, b = _pair(a, b)
    if a._dtype is DType.BOOL:
        if op == "Sub":
            raise InputError("bool has no subtraction; use ^ or logical_xor")
        if op not in _LOGIC:  # as in numpy: powers and remainders of bool are int8
            a, b = a.astype(DType.INT8), b.astype(DType.INT8)
        op = _LOGIC.get(op, op)
    return _apply(op, a, b, out)


def _apply(op: str, a: Tensor, b: Tensor, out: Tensor | None) -> Tensor:
    return run(op, (a, b)) if out is None else _into(op, a, b, out)


def _into(op: str, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """Write a result over ``out``: where it lies if it is the first operand, else by a copy."""
    movement.check_writable(out, a, b)
    safe = a is out and (b is out or b._storage is not out._storage)
    if safe and out.is_contiguous() and run_in_place(op, (a, b)):
        return out
    return store(run(op, (a, b)), out)


def store(result: Tensor, out: Tensor) -> Tensor:
    """Copy a result to ``out``, whose shape it has and into whose kind of type it converts.

    Raises:
        ShapeError: if the shapes differ.
        InputError: if a float would become an integer, or a number bool.
    """
    if result._shape != out._shape:
        raise ShapeError(
            f"a result of shape {list(result._shape)} does not fit into shape {list(out._shape)}"
        )
    if _kind(result._dtype) > _kind(out._dtype):
        raise InputError(
            f"a {result._dtype.label} result does not go into a {out._dtype.label} tensor; "
            "convert it with astype"
        )
    return out.copy_(result)


def _kind(dtype: DType) -> int:
    return 2 if dtype in FLOATS else 1 if dtype in INTEGERS else 0


def add(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return a + b; for bool a or b."""
    return _binary("Add", a, b, out)


def subtract(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return a - b."""
    return _binary("Sub", a, b, out)


def multiply(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return a * b; for bool a and b."""
    return _binary("Mul", a, b, out)


def divide(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return a / b, a float; integers are divided in float32."""
    a, b = _pair(a, b)
    return _binary("Div", float_tensor(a), float_tensor(b), out)


def floor_divide(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return the largest integer that is not above a / b, as numpy and Python: 0 for integers / 0.

    So a == a // b * b + a % b, for floats up to rounding.
    """
    a, b = _pair(a, b)
    if a._dtype is DType.BOOL:
        a, b = a.astype(DType.INT8), b.astype(DType.INT8)
    if a._dtype in INTEGERS:
        found = run("Div", (run("Sub", (a, remainder(a, b))), b))
    else:
        kind = a._dtype
        if kind in HALVES:  # rounded once, at the end
            a, b = a.astype(DType.FLOAT32), b.astype(DType.FLOAT32)
        found = where(equal(b, 0), run("Div", (a, b)), _floor_of_floats(a, b)).astype(kind)
    return found if out is None else store(found, out)


def _floor_of_floats(a: Tensor, b: Tensor) -> Tensor:
    """Return the exact quotient without the remainder, 1 less where that has the other sign."""
    rest = fmod(a, b)
    whole = run("Round", (run("Div", (run("Sub", (a, rest)), b)),))
    below = logical_and(not_equal(rest, 0), not_equal(less(rest, 0), less(b, 0)))
    return run("Sub", (whole, below.astype(a._dtype)))


def remainder(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return the remainder with the sign of b; for integers 0 where b is 0."""
    return _binary("Mod", a, b, out)


def fmod(a: Any, b: Any) -> Tensor:
    """Return the remainder with the sign of a; for integers 0 where b is 0."""
    a, b = _pair(a, b)
    if a._dtype is DType.BOOL:
        a, b = a.astype(DType.INT8), b.astype(DType.INT8)
    return run("Mod", (a, b), (("fmod", 1),))


def power(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return a to the power b; a negative power of an integer is truncated towards 0."""
    return _binary("Pow", a, b, out)


def maximum(a: Any, b: Any) -> Tensor:
    """Return the larger of two, element by element; NaN wins."""
    return _binary("Max", a, b, None)


def minimum(a: Any, b: Any) -> Tensor:
    """Return the smaller of two, element by element; NaN wins."""
    return _binary("Min", a, b, None)


def _compare(op: str, a: Any, b: Any) -> Tensor:
    a, b = _pair(a, b)
    if a._dtype is DType.BOOL and op != "Equal":
        a, b = a.bits_as(DType.UINT8), b.bits_as(DType.UINT8)
    return run(op, (a, b))


def equal(a: Any, b: Any) -> Tensor:
    """Return a == b."""
    return _compare("Equal", a, b)


def not_equal(a: Any, b: Any) -> Tensor:
    """Return a != b."""
    return run("Not", (_compare("Equal", a, b),))


def less(a: Any, b: Any) -> Tensor:
    """Return a < b."""
    return _compare("Less", a, b)


def less_equal(a: Any, b: Any) -> Tensor:
    """Return a <= b."""
    return _compare("LessOrEqual", a, b)


def greater(a: Any, b: Any) -> Tensor:
    """Return a > b."""
    return _compare("Greater", a, b)


def greater_equal(a: Any, b: Any) -> Tensor:
    """Return a >= b."""
    return _compare("GreaterOrEqual", a, b)


def _bitwise(logical: str, bitwise: str, a: Any, b: Any, out: Tensor | None) -> Tensor:
    a, b = _pair(a, b)
    if a._dtype in FLOATS:
        raise InputError(f"bits of {a._dtype.label} are not combined; integers and bool are")
    return _apply(logical if a._dtype is DType.BOOL else bitwise, a, b, out)


def bitwise_and(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return a & b of integers or bool."""
    return _bitwise("And", "BitwiseAnd", a, b, out)


def bitwise_or(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return a | b of integers or bool."""
    return _bitwise("Or", "BitwiseOr", a, b, out)


def bitwise_xor(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return a ^ b of integers or bool."""
    return _bitwise("Xor", "BitwiseXor", a, b, out)


def _shift(direction: str, a: Any, b: Any, out: Tensor | None) -> Tensor:
    a, b = _pair(a, b)
    if a._dtype in FLOATS:
        raise InputError(f"bits of {a._dtype.label} are not shifted; those of integers are")
    if a._dtype is DType.BOOL:
        a, b = a.astype(DType.INT8), b.astype(DType.INT8)
    found = run("BitShift", (a, b), (("direction", direction),))
    return found if out is None else store(found, out)


def left_shift(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return a << b; 0 if b is the width or more."""
    return _shift("LEFT", a, b, out)


def right_shift(a: Any, b: Any, out: Tensor | None = None) -> Tensor:
    """Return a >> b; the sign alone (0 or -1) is left if b is the width or more."""
    return _shift("RIGHT", a, b, out)


def truth(value: Any) -> Tensor:
    """Return which elements are not 0."""
    found = as_tensor(value)
    return found if found._dtype is DType.BOOL else not_equal(found, 0)


def logical_and(a: Any, b: Any) -> Tensor:
    """Return where both are true (not 0)."""
    return run("And", (truth(a), truth(b)))


def logical_or(a: Any, b: Any) -> Tensor:
    """Return where one is true (not 0)."""
    return run("Or", (truth(a), truth(b)))


def logical_xor(a: Any, b: Any) -> Tensor:
    """Return where exactly one is true (not 0)."""
    return run("Xor", (truth(a), truth(b)))


def logical_not(a: Any) -> Tensor:
    """Return where it is false (0)."""
    return run("Not", (truth(a),))


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """Return a where the condition holds (is not 0), else b."""
    a, b = meet(a, b)
    return run("Where", (truth(condition), a, b))


sub = subtract
mul = multiply
div = true_divide = divide
mod = remainder
pow = power  # noqa: A001 - as in numpy and torch

__all__ = [
    "add",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "div",
    "divide",
    "equal",
    "floor_divide",
    "fmod",
    "greater",
    "greater_equal",
    "left_shift",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "mul",
    "multiply",
    "not_equal",
    "pow",
    "power",
    "remainder",
    "right_shift",
    "sub",
    "subtract",
    "true_divide",
    "where",
]
