"""Functions of ``ops`` that are methods too, as users of numpy and torch expect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ops import activation as _activation
    from .ops import product as _product
    from .ops import reduce as _reduce
    from .ops import unary as _unary
    from .tensor import Tensor

Axis = int | tuple[int, ...] | None


def connect() -> None:
    """Import the functions behind the methods; Tensor, which they work on, exists now."""
    from .ops import activation, product, reduce, unary

    globals().update(_activation=activation, _product=product, _reduce=reduce, _unary=unary)


class Methods:
    """``x.sum(axis)`` for ``sum(x, axis)`` and its like; mixed into Tensor."""

    __slots__ = ()

    def sum(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """Return sums."""
        return _reduce.sum(self, axis, keepdims=keepdims)

    def prod(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """Return products."""
        return _reduce.prod(self, axis, keepdims=keepdims)

    def mean(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """Return means."""
        return _reduce.mean(self, axis, keepdims=keepdims)

    def max(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """Return the largest elements."""
        return _reduce.max(self, axis, keepdims=keepdims)

    def min(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """Return the smallest elements."""
        return _reduce.min(self, axis, keepdims=keepdims)

    def any(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """Return whether one element is not 0."""
        return _reduce.any(self, axis, keepdims=keepdims)

    def all(self, axis: Axis = None, *, keepdims: bool = False) -> Tensor:
        """Return whether every element is not 0."""
        return _reduce.all(self, axis, keepdims=keepdims)

    def var(self, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """Return variances."""
        return _reduce.var(self, axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis: Axis = None, *, ddof: int = 0, keepdims: bool = False) -> Tensor:
        """Return standard deviations."""
        return _reduce.std(self, axis, ddof=ddof, keepdims=keepdims)

    def argmax(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        """Return the positions of the largest elements."""
        return _reduce.argmax(self, axis, keepdims=keepdims)

    def argmin(self, axis: int | None = None, *, keepdims: bool = False) -> Tensor:
        """Return the positions of the smallest elements."""
        return _reduce.argmin(self, axis, keepdims=keepdims)

    def cumsum(self, axis: int | None = None) -> Tensor:
        """Return running sums."""
        return _reduce.cumsum(self, axis)

    def clip(self, low: Any = None, high: Any = None) -> Tensor:
        """Return the elements with what lies outside the bounds brought to them."""
        return _unary.clip(self, low, high)

    def matmul(self, other: Any) -> Tensor:
        """Return the matrix product."""
        return _product.matmul(self, other)

    def softmax(self, axis: int = -1) -> Tensor:
        """Return exp(x) / sum(exp(x)) along a dimension."""
        return _activation.softmax(self, axis)

    def abs(self) -> Tensor:
        """Return ``absolute`` of each element."""
        return _unary.absolute(self)

    def exp(self) -> Tensor:
        """Return ``exp`` of each element."""
        return _unary.exp(self)

    def log(self) -> Tensor:
        """Return ``log`` of each element."""
        return _unary.log(self)

    def sqrt(self) -> Tensor:
        """Return ``sqrt`` of each element."""
        return _unary.sqrt(self)

    def tanh(self) -> Tensor:
        """Return ``tanh`` of each element."""
        return _unary.tanh(self)

    def relu(self) -> Tensor:
        """Return ``relu`` of each element."""
        return _activation.relu(self)

    def sigmoid(self) -> Tensor:
        """Return ``sigmoid`` of each element."""
        return _activation.sigmoid(self)
