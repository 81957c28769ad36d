"""Results as Markdown tables."""

from __future__ import annotations

from typing import Any


def markdown(state: dict[str, Any]) -> str:
    """Return the tables of the foundation suite."""
    lines = ["# Our engine on real models", ""]
    lines += ["Made by `python3 tools/bootstrap.py bench` (`compress_bench.suite`)."]
    lines += ["Machine: " + ", ".join(f"{k} {v}" for k, v in state["machine"].items()) + "."]
    lines += ["Latency: one sample, median of interleaved runs (A B A B); ratio above 1: we are"]
    lines += ["faster; in brackets its 95 % bootstrap interval.", ""]
    lines += [*_accuracy(state["models"]), "", *_latency(state["models"]), ""]
    lines += _zoo(state["zoo"])
    return "\n".join(lines) + "\n"


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _head(*cells: str) -> list[str]:
    return [_row(*cells), _row(*("---" for _ in cells))]


def _accuracy(models: dict[str, Any]) -> list[str]:
    lines = ["## Accuracy on the whole data set", ""]
    lines += _head(
        "model", "samples", "ours", "onnxruntime", "answers that differ", "relative difference",
        "same bytes: 5 runs, 1/2/8 threads, rows alone",
    )  # fmt: skip
    for name, found in models.items():
        ours, theirs = found["ours"], found["onnxruntime"]
        lines.append(
            _row(
                name,
                ours["samples"],
                _score(ours),
                _score(theirs),
                found["answers_that_differ"],
                f"{found['relative_difference']:.1e}",
                "yes" if found["same_bytes"] else "**no**",
            )
        )
    return lines


def _score(quality: dict[str, Any]) -> str:
    text = f"{quality['top1']:.2%}"
    if quality["bits"] is not None:
        return f"{text}, {quality['bits']:.4f} bit/char"
    return text if quality["top5"] is None else f"{text} / {quality['top5']:.2%}"


def _latency(models: dict[str, Any]) -> list[str]:
    lines = ["## Latency", ""]
    lines += _head("model", "threads", "ours ms", "onnxruntime ms", "ratio")
    for name, found in models.items():
        for threads, times in found["latency"].items():
            lines.append(_row(name, threads, *_times(times)))
    return lines


def _times(times: dict[str, Any]) -> tuple[str, str, str]:
    low, high = times["ratio_interval"]
    ratio = f"{times['ratio']:.2f} [{low:.2f}, {high:.2f}]"
    return f"{times['ours']:.3f}", f"{times['onnxruntime']:.3f}", ratio


def _zoo(zoo: dict[str, Any]) -> list[str]:
    lines = ["## Files from the wild", ""]
    columns = ("file", "relative difference", "by reference", "ours ms", "onnxruntime ms", "ratio")
    lines += _head(*columns)
    for name, found in zoo.items():
        if "missing" in found:
            lines.append(_row(name, found["missing"], "", "", "", ""))
            continue
        by_reference = f"{len(found['reference'])} of {found['nodes']}"
        times = _times(found["latency"]["1"])
        lines.append(_row(name, f"{found['relative_difference']:.1e}", by_reference, *times))
    return lines
