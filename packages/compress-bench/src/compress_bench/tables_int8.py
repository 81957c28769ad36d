"""The results of static INT8 as Markdown tables."""

from __future__ import annotations

from typing import Any

from .tables import _head, _row

WAYS = (
    ("ours", "ours, our engine"),
    ("ours in onnxruntime", "ours, onnxruntime"),
    ("onnxruntime", "onnxruntime's best"),
    ("NNCF", "NNCF"),
)


def markdown(state: dict[str, Any]) -> str:
    """Return the tables."""
    lines = ["# Static INT8 on real models", ""]
    lines += ["Made by `python -m compress_bench.suite_int8`."]
    lines += ["Machine: " + ", ".join(f"{k} {v}" for k, v in state["machine"].items()) + "."]
    lines += ["Differences to FP32 in points, paired, with their 95 % interval."]
    lines += ["onnxruntime's best: of the calibrators MinMax, Entropy and Percentile the one that"]
    lines += ["does best on these very test data; per channel, pre-processed.", ""]
    lines += _accuracy(state["models"])
    lines += ["", *_many(state["models"])]
    lines += ["", *_notes(state["models"]), "", *_latency(state["models"]), ""]
    lines += _parity(state["models"])
    if "calibration" in state:
        lines += ["", *_calibration(state["calibration"])]
    return "\n".join(lines) + "\n"


def best_of_onnxruntime(found: dict[str, Any], part: str = "") -> dict[str, Any] | None:
    """Return the result of the calibrator that did best.

    Args:
        found: of one model.
        part: "many": the one that most often gives the answer of FP32 on the larger set.
    """
    results = [v for k, v in found.items() if k.startswith("onnxruntime ") and "top1" in v]
    if part:
        return max(results, key=lambda result: float(result[part]["agree"]), default=None)
    return max(results, key=lambda result: float(result["top1"]), default=None)


def _accuracy(models: dict[str, Any]) -> list[str]:
    lines = [
        "## Accuracy",
        "",
        *_head("model", "FP32", *(title for _, title in WAYS), "ours minus the best rival", "size"),
    ]
    for name, found in models.items():
        cells = []
        for key, _ in WAYS:
            result = best_of_onnxruntime(found) if key == "onnxruntime" else found.get(key)
            cells.append(_score(result))
        before, after = found["bytes"]
        size = f"{before / 1e6:.2f} -> {after / 1e6:.2f} MB"
        rival = found.get("rival")
        cells.append(_difference(rival) if rival else "")
        lines.append(_row(name, _top(found["fp32"]), *cells, size))
    return lines


def _many(models: dict[str, Any]) -> list[str]:
    titles = [title for _, title in WAYS]
    lines = [
        "## Ten times as many pictures",
        "",
        "The 10,000 pictures of CIFAR-10's JPEG test half, on which nobody calibrated.  They are",
        "lossy, unlike what the networks learned from: accuracy may even rise by accident there,",
        "what tells is how often the answer is that of FP32.",
        "",
        *_head("model", "accuracy: FP32", *titles, *(f"as FP32: {title}" for title in titles)),
    ]
    for name, found in models.items():
        if "many" not in found["fp32"]:
            continue
        results = []
        for key, _ in WAYS:
            each = best_of_onnxruntime(found, "many") if key == "onnxruntime" else found.get(key)
            results.append(each.get("many") if each else None)
        same = [f"{each['agree']:.2%}" if each else "not run" for each in results]
        scores = [_score(each) for each in results]
        lines.append(_row(name, _top(found["fp32"]["many"]), *scores, *same))
    return lines


def _score(result: dict[str, Any] | None) -> str:
    if result is None:
        return "not run"
    if "missing" in result:
        return "fails"
    return f"{_top(result)} ({_difference(result)})"


def _top(result: dict[str, Any]) -> str:
    bits = result.get("bits")
    return f"{result['top1']:.2%}" + (f", {bits:.4f} bit/char" if bits is not None else "")


def _difference(result: dict[str, Any]) -> str:
    low, high = (100 * end for end in result["interval"])
    return f"{100 * result['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _notes(models: dict[str, Any]) -> list[str]:
    lines = ["## What was decided", ""]
    for name, found in models.items():
        lines.append(f"* {name}, calibrated on {found['calibration']} in {found['seconds']:.1f} s:")
        lines.append(f"  {found['ledger']}")
        lines += [f"  * {node} stays in floats: {why}" for node, why in found["floats"].items()]
    return lines


def _latency(models: dict[str, Any]) -> list[str]:
    lines = ["## Latency of one sample, ms (median of interleaved runs)", ""]
    columns = ("fp32 ours", "int8 ours", "fp32 onnxruntime", "int8 onnxruntime")
    lines += _head("model", "threads", *columns, "our speed-up", "int8 against onnxruntime")
    for name, found in models.items():
        for threads, times in found["latency"].items():
            ratios = [
                f"{r:.2f} [{low:.2f}, {high:.2f}]"
                for r, low, high in (times["speed-up"], times["against onnxruntime"])
            ]
            cells = [f"{times[column]:.3f}" for column in columns]
            lines.append(_row(name, threads, *cells, *ratios))
    return lines


def _parity(models: dict[str, Any]) -> list[str]:
    lines = ["## Parity: codes that differ from the simulation in floats", ""]
    lines += _head("model", "way", "codes", "differ", "most steps", "first node", "outputs within")
    for name, found in models.items():
        for each in found["certificate"]["comparisons"]:
            if each["codes"]:
                lines.append(
                    _row(
                        name, each["way"], each["codes"], each["differ"], each["steps"],
                        each["first"], f"{each['outputs']:.1e}",
                    )
                )  # fmt: skip
    said = {name: found["certificate"]["optimization"] for name, found in models.items()}
    return [*lines, "", *(f"* {name}: {text}." for name, text in said.items() if text)]


def _calibration(found: dict[str, Any]) -> list[str]:
    lines = ["## Calibration", ""]
    lines += [f"{found['model']}: ours by percentile with a cap of {found['cap_bytes'] >> 20} MB,"]
    lines += ["onnxruntime by minimum and maximum, each in a process of its own.", ""]
    lines += _head("tool", "images", "seconds", "peak resident MB")
    for side in ("ours", "onnxruntime"):
        result = found[side]
        peak = f"{result['peak_resident_bytes'] / (1 << 20):.0f}"
        lines.append(_row(side, result["samples"], f"{result['seconds']:.1f}", peak))
    return lines
