"""The operators of Python on tensors, in terms of the functions in ``ops``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ops import arithmetic as _arithmetic
    from .ops import product as _product
    from .ops import unary as _unary
    from .tensor import Tensor


def _operand(value: Any) -> bool:
    """Return whether a value may stand beside a tensor."""
    return isinstance(value, (bool, int, float)) or hasattr(value, "__array__")


def connect() -> None:
    """Import the functions that the operators call; Tensor, which they work on, exists now."""
    from .ops import arithmetic, product, unary

    globals().update(_arithmetic=arithmetic, _product=product, _unary=unary)


class Operators:
    """What ``+`` and its like do; mixed into Tensor."""

    __slots__ = ()

    def _update(self, function: Callable[..., Tensor], other: Any) -> Tensor:
        return function(self, other, out=self)

    def __add__(self, other: Any) -> Tensor:
        return _arithmetic.add(self, other) if _operand(other) else NotImplemented

    def __radd__(self, other: Any) -> Tensor:
        return _arithmetic.add(other, self) if _operand(other) else NotImplemented

    def __sub__(self, other: Any) -> Tensor:
        return _arithmetic.subtract(self, other) if _operand(other) else NotImplemented

    def __rsub__(self, other: Any) -> Tensor:
        return _arithmetic.subtract(other, self) if _operand(other) else NotImplemented

    def __mul__(self, other: Any) -> Tensor:
        return _arithmetic.multiply(self, other) if _operand(other) else NotImplemented

    def __rmul__(self, other: Any) -> Tensor:
        return _arithmetic.multiply(other, self) if _operand(other) else NotImplemented

    def __truediv__(self, other: Any) -> Tensor:
        return _arithmetic.divide(self, other) if _operand(other) else NotImplemented

    def __rtruediv__(self, other: Any) -> Tensor:
        return _arithmetic.divide(other, self) if _operand(other) else NotImplemented

    def __floordiv__(self, other: Any) -> Tensor:
        return _arithmetic.floor_divide(self, other) if _operand(other) else NotImplemented

    def __rfloordiv__(self, other: Any) -> Tensor:
        return _arithmetic.floor_divide(other, self) if _operand(other) else NotImplemented

    def __mod__(self, other: Any) -> Tensor:
        return _arithmetic.remainder(self, other) if _operand(other) else NotImplemented

    def __rmod__(self, other: Any) -> Tensor:
        return _arithmetic.remainder(other, self) if _operand(other) else NotImplemented

    def __pow__(self, other: Any) -> Tensor:
        return _arithmetic.power(self, other) if _operand(other) else NotImplemented

    def __rpow__(self, other: Any) -> Tensor:
        return _arithmetic.power(other, self) if _operand(other) else NotImplemented

    def __matmul__(self, other: Any) -> Tensor:
        return _product.matmul(self, other) if _operand(other) else NotImplemented

    def __rmatmul__(self, other: Any) -> Tensor:
        return _product.matmul(other, self) if _operand(other) else NotImplemented

    def __and__(self, other: Any) -> Tensor:
        return _arithmetic.bitwise_and(self, other) if _operand(other) else NotImplemented

    def __rand__(self, other: Any) -> Tensor:
        return _arithmetic.bitwise_and(other, self) if _operand(other) else NotImplemented

    def __or__(self, other: Any) -> Tensor:
        return _arithmetic.bitwise_or(self, other) if _operand(other) else NotImplemented

    def __ror__(self, other: Any) -> Tensor:
        return _arithmetic.bitwise_or(other, self) if _operand(other) else NotImplemented

    def __xor__(self, other: Any) -> Tensor:
        return _arithmetic.bitwise_xor(self, other) if _operand(other) else NotImplemented

    def __rxor__(self, other: Any) -> Tensor:
        return _arithmetic.bitwise_xor(other, self) if _operand(other) else NotImplemented

    def __lshift__(self, other: Any) -> Tensor:
        return _arithmetic.left_shift(self, other) if _operand(other) else NotImplemented

    def __rlshift__(self, other: Any) -> Tensor:
        return _arithmetic.left_shift(other, self) if _operand(other) else NotImplemented

    def __rshift__(self, other: Any) -> Tensor:
        return _arithmetic.right_shift(self, other) if _operand(other) else NotImplemented

    def __rrshift__(self, other: Any) -> Tensor:
        return _arithmetic.right_shift(other, self) if _operand(other) else NotImplemented

    def __iadd__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.add, other)

    def __isub__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.subtract, other)

    def __imul__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.multiply, other)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.divide, other)

    def __ifloordiv__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.floor_divide, other)

    def __imod__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.remainder, other)

    def __ipow__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.power, other)

    def __imatmul__(self, other: Any) -> Tensor:
        return self._update(_product.matmul, other)

    def __iand__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.bitwise_and, other)

    def __ior__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.bitwise_or, other)

    def __ixor__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.bitwise_xor, other)

    def __ilshift__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.left_shift, other)

    def __irshift__(self, other: Any) -> Tensor:
        return self._update(_arithmetic.right_shift, other)

    def __lt__(self, other: Any) -> Tensor:
        return _arithmetic.less(self, other) if _operand(other) else NotImplemented

    def __le__(self, other: Any) -> Tensor:
        return _arithmetic.less_equal(self, other) if _operand(other) else NotImplemented

    def __gt__(self, other: Any) -> Tensor:
        return _arithmetic.greater(self, other) if _operand(other) else NotImplemented

    def __ge__(self, other: Any) -> Tensor:
        return _arithmetic.greater_equal(self, other) if _operand(other) else NotImplemented

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return _arithmetic.equal(self, other) if _operand(other) else NotImplemented

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return _arithmetic.not_equal(self, other) if _operand(other) else NotImplemented

    def __neg__(self) -> Tensor:
        return _unary.negative(self)

    def __abs__(self) -> Tensor:
        return _unary.absolute(self)

    def __invert__(self) -> Tensor:
        return _unary.bitwise_not(self)

    def __pos__(self) -> Tensor:
        return _unary.positive(self)
