"""The machine: its memory, and how many processors this process may use (affinity, container).

A control group's ``cpu.max`` is "quota period" in microseconds: what all its threads together may
run in each period.  More threads than that are stopped in the middle of a loop.
https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu-interface-files
"""

from __future__ import annotations

import os
from functools import cache
from math import ceil
from pathlib import Path


@cache
def physical_bytes() -> int:
    """Return the memory of this machine."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def processors(root: Path = Path("/")) -> int:
    """Return how many threads can run at once, at least 1.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    quota = _quota(root)
    return found if quota is None else max(1, min(found, ceil(quota)))


def _quota(root: Path) -> float | None:
    """Return the processors that the control groups of this process allow; None: any number."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    found: list[float] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon or (controllers and "cpu" not in controllers.split(",")):
            continue
        top = root / "sys/fs/cgroup" / ("" if not controllers else "cpu")
        folder = top / path.lstrip("/")
        # A group outside the container's view has no folder here; its limits are those at the top.
        for place in [folder, *folder.parents]:
            if place == top.parent:
                break
            found += _limit(place, controllers != "")
    return min(found, default=None)


def _limit(folder: Path, first_version: bool) -> list[float]:
    """Return the limit of one control group, if it has one."""
    try:
        if first_version:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        else:
            quota, period = (folder / "cpu.max").read_text().split()
        allowed = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # absent, or "max"
        return []
    return [allowed] if allowed > 0 else []
