"""Keeping calibration under a limit of memory: how many samples, and which values, at a time."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from compress_tensor import Graph, InputError
from compress_tensor.graph.infer import infer
from compress_tensor.graph.stored import unread

from ..affine import Array

#: a value is held by the engine, handed over, and partly copied while it is counted
_COPIES = 3.0
#: kept aside for Python's own needs and for what the allocator does not give back
_RESERVE = 32 << 20
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


@dataclass(frozen=True)
class Budget:
    """What goes through the network at a time.

    Attributes:
        rows: samples.
        groups: the values that are taken out in one run.
    """

    rows: int
    groups: list[list[str]]

    @classmethod
    def plan(
        cls,
        graph: Graph,
        single: Mapping[str, Array],
        names: Sequence[str],
        limit: int | None,
        keep: int,
        bins: int,
    ) -> Budget:
        """Return how to stay below ``limit`` bytes.

        Args:
            graph: the network.
            single: one sample.
            names: values that are observed.
            limit: bytes in use by the process; None: no limit.
            keep: samples that are kept.
            bins: of a histogram; each value has two.

        Raises:
            InputError: if one sample, one value at a time, would need more.
        """
        infos = infer(graph, {name: array.shape for name, array in single.items()})
        sizes = {n: 4 * prod(i.shape or (0,)) for n, i in infos.items() if n not in graph.constants}
        sample = sum(array.nbytes for array in single.values())
        # What the engine needs besides: the largest neighbours in the network.
        engine = 2 * max((sizes[o] for node in graph.nodes for o in node.outputs if o), default=0)
        if limit is None:
            return cls(1 << 30, [list(names)])
        weights = sum(array.nbytes for array in unread(graph.constants).values())
        fixed = _in_use() + _RESERVE + weights + (keep + 2) * sample + len(names) * 2 * bins * 8
        free = limit - fixed
        every = engine + int(_COPIES * sum(sizes[name] for name in names)) + sample
        if every <= free:
            return cls(max(1, free // max(every, 1)), [list(names)])
        groups: list[list[str]] = [[]]
        filled = 0
        for name in names:
            need = int(_COPIES * sizes[name])
            if engine + sample + need > free:
                least = fixed + engine + sample + need
                raise InputError(
                    f"{limit >> 20} MiB of memory do not suffice to observe {name!r}; "
                    f"give at least {(least >> 20) + 1} MiB"
                )
            if groups[-1] and engine + sample + filled + need > free:
                groups.append([])
                filled = 0
            groups[-1].append(name)
            filled += need
        return cls(1, groups)


def parse_bytes(text: str) -> int:
    """Return what a size like ``512MB`` or ``1.5GiB`` says.

    Raises:
        InputError: if it is not one.
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([KMG]?I?)B?\s*", text.upper())
    if not found or found[2] not in _UNITS or float(found[1]) <= 0:
        raise InputError(f"{text!r} is not a size of memory like 512MB or 2GB")
    return int(float(found[1]) * _UNITS[found[2]])


def _in_use() -> int:
    """Return the resident bytes of this process."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
