"""Random numbers from a counter: Philox 4x32-10 (Salmon et al., 2011).

A generator is a seed and a position.  The seed names an endless sequence of 32-bit words, word w
being word ``w % 4`` of block ``w // 4``; the position is the next word to use.  Every element
takes a fixed number of words (`rand` one; `randn` and `randint` two; `permutation` two), in
row-major order.  So what is drawn depends on the seed and on what was drawn before, but neither
on threads, nor on the machine, nor on how a request is split: ``rand(6)`` is ``rand(2)``
followed by ``rand(4)``.

https://www.thesalmons.org/john/random123/papers/random123sc11.pdf
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, tau
from typing import Any

import numpy as np

from .creation import _dims
from .dtype import DType
from .errors import InputError
from .forks import Lock
from .ops import arithmetic, unary
from .promotion import FLOATS
from .tensor import Tensor, as_dtype

Words = np.ndarray[Any, np.dtype[np.uint32]]
Shape = int | Sequence[int]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_LINE = 1 << 16  #: blocks computed at a time, so that they stay in the cache


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Return the random words of counters.

    Args:
        counter: (n, 4) words, the lowest first.
        key: two words, the lowest first.
    """
    c0, c1, c2, c3 = (counter[:, i].astype(np.uint64) for i in range(4))
    k0, k1 = key
    for _ in range(_ROUNDS):
        p0, p1 = c0 * np.uint64(_MULTIPLIERS[0]), c2 * np.uint64(_MULTIPLIERS[1])
        c0, c2 = (p1 >> _HALF) ^ c1 ^ np.uint64(k0), (p0 >> _HALF) ^ c3 ^ np.uint64(k1)
        c1, c3 = p1 & _LOW, p0 & _LOW
        k0, k1 = (k0 + _WEYL[0]) & 0xFFFFFFFF, (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


class Generator:
    """A seeded sequence of random numbers; safe to draw from in several threads.

    Args:
        seed: from 0 to 2**64 - 1.
        position: words already used.

    Raises:
        InputError: if one is out of range.
    """

    def __init__(self, seed: int = 0, position: int = 0) -> None:
        if not 0 <= seed < 1 << 64:
            raise InputError(f"a seed is from 0 to 2**64 - 1, not {seed}")
        if not 0 <= position < 1 << 66:
            raise InputError(f"a position is from 0 to 2**66 - 1, not {position}")
        self.seed = seed
        self.position = position
        self._lock = Lock()

    def words(self, n: int) -> Words:
        """Return the next ``n`` words."""
        with self._lock:
            first = self.position
            self.position += n
        blocks = range(first // 4, -(-(first + n) // 4))
        key = (self.seed & 0xFFFFFFFF, self.seed >> 32)
        found = np.empty(4 * len(blocks), np.uint32)
        for start in range(0, len(blocks), _LINE):
            index = np.arange(len(blocks[start : start + _LINE]), dtype=np.uint64)
            index += np.uint64(blocks[start])
            counter = np.zeros((len(index), 4), np.uint32)
            counter[:, 0], counter[:, 1] = index & _LOW, index >> _HALF
            found[4 * start : 4 * (start + len(index))] = philox(counter, key).reshape(-1)
        return found[first % 4 :][:n]

    def rand(self, *shape: Shape, dtype: Any = DType.FLOAT32) -> Tensor:
        """Return numbers from [0, 1), multiples of 2**-24, all equally likely."""
        kind = _float(dtype)
        dims = _dims(shape, kind)
        bits = self.words(prod(dims)) >> np.uint32(8)
        numbers = Tensor.from_numpy(bits.astype(np.float32) * np.float32(2**-24))
        return numbers.reshape(dims).astype(kind)

    def randn(self, *shape: Shape, dtype: Any = DType.FLOAT32) -> Tensor:
        """Return normally distributed numbers, mean 0, variance 1 (Box and Muller, 1958).

        sqrt(-2 log(u)) cos(tau v), in float32 by libcore: the same bytes on every machine.
        """
        kind = _float(dtype)
        dims = _dims(shape, kind)
        pairs = self.words(2 * prod(dims)).reshape(-1, 2)
        u = ((pairs[:, 0].astype(np.float64) + 1) * 2.0**-32).astype(np.float32)  # in (0, 1]
        angle = (pairs[:, 1].astype(np.float64) * (tau * 2.0**-32)).astype(np.float32)
        radius = unary.sqrt(arithmetic.multiply(unary.log(u), -2.0))
        numbers = arithmetic.multiply(radius, unary.cos(angle))
        return numbers.reshape(dims).astype(kind)

    def randint(self, low: int, high: int, shape: Shape = (), dtype: Any = DType.INT64) -> Tensor:
        """Return integers from low to high - 1; none is likelier by more than one in 2**31.

        A 64-bit word is multiplied by the number of values, and the upper 64 bits are kept.

        Raises:
            InputError: if there is no value, or the type does not hold them.
        """
        kind = as_dtype(dtype)
        if low >= high:
            raise InputError(f"randint: no integer is from {low} to below {high}")
        smallest, largest = kind.integer_range if kind.is_int else (-(2**63), 2**63 - 1)
        if low < smallest or high - 1 > largest:
            raise InputError(f"randint: {kind.label} does not hold {low} to {high - 1}")
        dims = _dims([shape], kind)
        pairs = self.words(2 * prod(dims)).reshape(-1, 2).astype(np.uint64)
        numbers = _scaled(pairs[:, 1], pairs[:, 0], high - low) + np.uint64(low % 2**64)
        held = np.uint64 if kind is DType.UINT64 else np.int64
        return Tensor(numbers.view(held).reshape(dims), kind)

    def permutation(self, n: int) -> Tensor:
        """Return the numbers 0 to n - 1 (int64) in random order."""
        (size,) = _dims([n], DType.INT64)
        keys = np.ascontiguousarray(self.words(2 * size)).view(np.uint64)
        return Tensor.from_numpy(np.argsort(keys, kind="stable"))


def _scaled(high: Any, low: Any, values: int) -> Any:
    """Return (high * 2**32 + low) * values >> 64 for numbers below 2**32 and values <= 2**64."""
    top, bottom = np.uint64(values >> 32), np.uint64(values & 0xFFFFFFFF)
    if values == 1 << 64:
        return high << _HALF | low
    carry = (low * bottom) >> _HALF
    first = high * bottom + carry
    second = low * top + (first & _LOW)
    return high * top + (first >> _HALF) + (second >> _HALF)


def _float(dtype: Any) -> DType:
    kind = as_dtype(dtype)
    if kind not in FLOATS:
        raise InputError(f"random real numbers are not made in {kind.label}; randint is for it")
    return kind


_DEFAULT = Generator(0)


def manual_seed(seed: int) -> None:
    """Start the process's own generator anew; it starts with seed 0."""
    fresh = Generator(seed)
    with _DEFAULT._lock:
        _DEFAULT.seed, _DEFAULT.position = fresh.seed, 0


def rand(*shape: Shape, dtype: Any = DType.FLOAT32, generator: Generator | None = None) -> Tensor:
    """Return numbers from [0, 1), by default from the process's own generator."""
    return (generator or _DEFAULT).rand(*shape, dtype=dtype)


def randn(*shape: Shape, dtype: Any = DType.FLOAT32, generator: Generator | None = None) -> Tensor:
    """Return normally distributed numbers, by default from the process's own generator."""
    return (generator or _DEFAULT).randn(*shape, dtype=dtype)


def randint(
    low: int,
    high: int,
    shape: Shape = (),
    dtype: Any = DType.INT64,
    generator: Generator | None = None,
) -> Tensor:
    """Return integers from low to high - 1, by default from the process's own generator."""
    return (generator or _DEFAULT).randint(low, high, shape, dtype)


__all__ = ["Generator", "manual_seed", "philox", "rand", "randint", "randn"]
