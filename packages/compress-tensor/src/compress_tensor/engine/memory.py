"""The arena: one block of memory per run, shared by values whose lives do not meet."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ShapeError
from ..processors import physical_bytes

ALIGNMENT = 64


def require_memory(nbytes: int, what: str) -> None:
    """Refuse, before anything is allocated, what no run on this machine can hold.

    Raises:
        ShapeError: if ``what`` needs more than the machine has.
    """
    if nbytes > physical_bytes():
        raise ShapeError(
            f"{what} needs {nbytes / 1e9:,.1f} GB of memory, "
            f"this machine has {physical_bytes() / 1e9:,.1f} GB; run smaller shapes"
        )


def assign_offsets(lives: Sequence[tuple[int, int, int]]) -> tuple[list[int], int]:
    """Place blocks so that none that live at the same time overlap.

    Greedy by size (Pisarchyk and Lee, 2020): the largest first, each into the smallest gap
    between the blocks already placed whose lives meet its own.

    Args:
        lives: for each block: bytes, first and last step at which it is in use.

    Returns:
        The offset of each block (multiples of 64) and the size of the arena.
    """
    order = sorted(range(len(lives)), key=lambda i: (-lives[i][0], lives[i][1], i))
    offsets = [0] * len(lives)
    placed: list[int] = []
    total = 0
    for i in order:
        size, first, last = lives[i]
        size = -(-size // ALIGNMENT) * ALIGNMENT
        if size == 0:
            continue
        meeting = sorted(
            (offsets[j], lives[j][0])
            for j in placed
            if lives[j][1] <= last and first <= lives[j][2]
        )
        at, best, best_gap = 0, None, None
        for start, length in meeting:
            gap = start - at
            if gap >= size and (best_gap is None or gap < best_gap):
                best, best_gap = at, gap
            at = max(at, start + -(-length // ALIGNMENT) * ALIGNMENT)
        offsets[i] = at if best is None else best
        total = max(total, offsets[i] + size)
        placed.append(i)
    return offsets, total
