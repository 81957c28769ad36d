"""The results of `compress-bench kernels` and `models` as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import exp, log
from typing import Any

from .profile import Line
from .race import OURS, against, best_peer, fraction, peaks_of
from .runtimes import CONFIGURATION
from .statistics import summarize
from .tables import _head, _row

Cells = Mapping[str, Mapping[str, Any]]


def markdown(
    models: Mapping[str, Any] | None,
    kernels: Mapping[str, Any] | None,
    profiles: Mapping[str, Sequence[Line]] | None = None,
    others: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the whole page; ``others``: of networks too, on other processors or limited."""
    lines = ["# The engine against others", ""]
    lines += ["Made by `compress-bench models`, `kernels` and `profile`.  Times are medians of"]
    lines += ["interleaved runs (A B A B), best runs in brackets; ratio: the fastest rival's time"]
    lines += ["by ours, above 1 we are faster, with its 95 % bootstrap interval; peak: the part of"]
    lines += [
        "the limit of the instruction set, measured in the same run, that we reach at our best.",
        "",
    ]
    if models is not None:
        lines += [
            "Networks in fp32: ours computes 3 x 3 convolutions of stride 1 with 2.25 times fewer",
            "multiplications where that is faster (Winograd, tiles of 2 x 2: errors are half as",
            "large as with direct sums); the part of the limit counts them all, so it may pass",
            "100 %.  Type direct: ours without; winograd: tiles of 4 x 4 too; rivals: as fp32.",
            "",
        ]
    for title, state in (("models", models), ("kernels", kernels)):
        if state is not None:
            lines += [f"Machine ({title}): {_described(state)}.", ""]
    lines += ["Configurations, all with the same number of threads:", ""]
    lines += [f"* {runtime.value}: {text}" for runtime, text in CONFIGURATION.items()]
    if models is not None:
        lines += ["", "## Networks", "", *_models(models["cells"])]
        lines += ["", *_summary(models["cells"]), "", *_speedups(models["cells"])]
        lines += [
            "",
            "## Start-up and memory, one sample, one thread",
            "",
            *_starts(models["cells"]),
        ]
    for state in others:
        lines += ["", *_other(state)]
    if kernels is not None:
        lines += ["", "## Products", "", *_kernels(kernels["cells"])]
        lines += ["", *_summary(kernels["cells"])]
    for name, found in (profiles or {}).items():
        lines += ["", f"## Profile of {name}", "", *profile_table(found)]
    return "\n".join(lines) + "\n"


def _described(state: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in state["machine"].items())


def _other(state: Mapping[str, Any]) -> list[str]:
    machine = state["machine"]
    isa = machine.get("instruction set", "unknown")
    if "limited to" in machine:
        lines = [
            f"## Networks, instruction set limited to {isa}",
            "",
            "Ours by COMPRESS_ISA, OpenVINO by ONEDNN_MAX_CPU_ISA as far as it heeds it;",
            "onnxruntime has no such switch and uses all that the processor has.",
        ]
    else:
        lines = [f"## Networks on a processor with {isa}", "", f"Machine: {_described(state)}."]
    cells = state["cells"]
    return [*lines, "", *_models(cells), "", *_summary(cells), "", *_speedups(cells)]


def _models(cells: Cells) -> list[str]:
    rivals, peaks = _rivals(cells), peaks_of({k: dict(c) for k, c in cells.items()})
    columns = ("network", "type", "batch", "threads", "ours ms", *(f"{n} ms" for n in rivals))
    lines = _head(*columns, "ratio", "peak", "outputs differ")
    for cell in cells.values():
        place = (cell["model"], cell["unit"], cell["batch"], cell["threads"])
        if "failed" in cell:
            lines.append(_row(*place, cell["failed"], *([""] * (len(rivals) + 3))))
            continue
        differ = max(cell["agreement"].values(), default=None)
        lines.append(
            _row(
                *place,
                *(_time(cell, name, 1e3) for name in (OURS, *rivals)),
                _ratio(cell),
                _percent(fraction(dict(cell), peaks)),
                "" if differ is None else f"{differ:.1e}",
            )
        )
    return lines


def _kernels(cells: Cells) -> list[str]:
    rivals, peaks = _rivals(cells), peaks_of({k: dict(c) for k, c in cells.items()})
    columns = ("m x k x n", "type", "threads", "ours us", *(f"{n} us" for n in rivals))
    lines = _head(*columns, "ratio", "peak")
    for cell in cells.values():
        if "failed" in cell:
            lines.append(_row("x".join(map(str, cell["shape"])), cell["failed"]))
            continue
        lines.append(
            _row(
                " x ".join(map(str, cell["shape"])),
                cell["unit"],
                cell["threads"],
                *(_time(cell, name, 1e6) for name in (OURS, *rivals)),
                _ratio(cell),
                _percent(fraction(dict(cell), peaks)),
            )
        )
    return lines


def _rivals(cells: Cells) -> list[str]:
    names = {n for cell in cells.values() for n in cell.get("seconds", {}) if n != OURS}
    return sorted(names)


def _time(cell: Mapping[str, Any], name: str, scale: float) -> str:
    seconds = cell["seconds"].get(name)
    if seconds is None:
        return "none"
    times = summarize(seconds)
    return f"{times.median * scale:.4g} ({times.best * scale:.4g})"


def _ratio(cell: Mapping[str, Any]) -> str:
    peer = best_peer(dict(cell))
    found = None if peer is None else against(dict(cell), peer)
    if found is None:
        return ""
    ratio, low, high = found
    text = f"{ratio:.2f} [{low:.2f}, {high:.2f}] {peer}"
    return f"**{text}**" if high < 1 else text


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def ratios(cells: Cells) -> Iterator[tuple[str, int, float]]:
    """Yield type, threads, and the fastest rival's time by ours, of each cell that has both."""
    for cell in cells.values():
        peer = best_peer(dict(cell)) if "seconds" in cell else None
        found = None if peer is None else against(dict(cell), peer)
        if found is not None:
            yield cell["unit"], cell["threads"], found[0]


def _summary(cells: Cells) -> list[str]:
    groups: dict[tuple[str, int], list[float]] = {}
    for unit, threads, ratio in ratios(cells):
        groups.setdefault((unit, threads), []).append(ratio)
    columns = ("type", "threads", "cells", "geometric mean of the ratios", "smallest", "below 1")
    lines = _head(*columns)
    for (unit, threads), found in groups.items():
        mean = exp(sum(log(r) for r in found) / len(found))
        below = sum(r < 1 for r in found)
        lines.append(
            _row(unit, threads, len(found), f"{mean:.2f}", f"{min(found):.2f}", str(below))
        )
    return lines


def _speedups(cells: Cells) -> list[str]:
    """Return how much faster other types are than fp32, in each runtime, and than ours direct."""
    names = [OURS, *_rivals(cells)]
    lines = _head("fp32 time by", "batch", "threads", *names, "ours, direct fp32")
    for cell in cells.values():
        if cell["unit"] == "fp32" or "seconds" not in cell:
            continue
        size = f"batch {cell['batch']} {cell['threads']}t"
        base, direct = (cells.get(f"{cell['model']} {of} {size}", {}) for of in ("fp32", "direct"))
        found = [*(_speedup(base, cell, name) for name in names), _speedup(direct, cell, OURS)]
        label = f"{cell['model']} {cell['unit']}"
        lines.append(_row(label, cell["batch"], cell["threads"], *found))
    return lines


def _speedup(base: Mapping[str, Any], cell: Mapping[str, Any], name: str) -> str:
    slow, fast = base.get("seconds", {}).get(name), cell["seconds"].get(name)
    if slow is None or fast is None:
        return ""
    return f"{summarize(slow).median / summarize(fast).median:.2f}"


def _starts(cells: Cells) -> list[str]:
    names = [OURS, *_rivals(cells)]
    columns = [f"{name} {what}" for name in names for what in ("ms", "MB")]
    lines = _head("network", "type", *columns)
    for cell in cells.values():
        if cell.get("batch") != 1 or cell.get("threads") != 1 or "start" not in cell:
            continue
        found = []
        for name in names:
            begun = cell["start"].get(name)
            if begun is None or "failed" in begun:
                found += ["", ""]
                continue
            seconds = begun["load"] + begun["first"]
            found += [f"{1e3 * seconds:.4g}", f"{begun['peak'] / 2**20:.0f}"]
        lines.append(_row(cell["model"], cell["unit"], *found))
    return [
        *lines,
        "",
        "Time to load, compile and run once, in a process of its own, the median of several in",
        "turn; peak resident memory, imports included.  Empty:",
        "it cannot run the network, or it was measured while its process also read the file with",
        "our reader, which is left out.",
    ]


def profile_table(lines: Sequence[Line]) -> list[str]:
    """Return a table of operators."""
    found = _head("operator", "records", "ms", "share", "limit ms", "fraction of the limit")
    for line in lines:
        found.append(
            _row(
                line.name if line.name == line.kernel else f"{line.name} ({line.kernel})",
                line.count,
                f"{line.seconds * 1e3:.3f}",
                f"{line.share:.1%}",
                f"{line.limit * 1e3:.3f}",
                f"{line.fraction:.0%}",
            )
        )
    return found
