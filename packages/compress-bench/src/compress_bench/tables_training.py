"""Results of training as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def markdown(state: Mapping[str, Any]) -> str:
    """Return the page for what `suite_training` measured; what is missing is left out."""
    held: Mapping[str, Any] = state["cells"]
    found = ["# Training", "", machine_line(state["machine"]), ""]
    for part in (_scratch, _quantized, _memory):
        found += part(held)
    return "\n".join(found).rstrip() + "\n"


def machine_line(described: Mapping[str, str]) -> str:
    """Return one line about the machine and the versions."""
    return ", ".join(f"{name} {value}" for name, value in described.items()) + "."


def _scratch(held: Mapping[str, Any]) -> list[str]:
    names = list(dict.fromkeys(k.split()[0] for k in held if k.endswith((" ours", " torch"))))
    if not names:
        return []
    lines = [
        "## From scratch, beside torch",
        "",
        (
            "Both start from the same weights, get the same batches, augmented once for both, "
            "and "
            "the same learning rates; the recipes are those of `compress-bench train`, epochs as "
            "stated. Both are measured by the same code. Times are of a machine shared with other "
            "work: see them as rough."
        ),
        "",
        "| network | metric | epochs | ours | torch | difference | ours, s | torch, s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        ours, torch = (held.get(f"{name} {side}") for side in ("ours", "torch"))
        known: Mapping[str, Any] = ours or torch or {}
        share = known["metric"] == "accuracy"
        apart = "" if not (ours and torch) else ours["value"] - torch["value"]
        if apart != "":
            apart = f"{100 * apart:+.2f} points" if share else f"{apart:+.4f}"
        cells = [name, known["metric"], str(known["epochs"])]
        cells += [_value(each, share=share) for each in (ours, torch)] + [str(apart)]
        cells += [f"{each['seconds']:.0f}" if each else "not measured" for each in (ours, torch)]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _value(cell: Mapping[str, Any] | None, *, share: bool) -> str:
    if cell is None:
        return "not measured"
    return f"{cell['value']:.2%}" if share else f"{cell['value']:.4f}"


def _quantized(held: Mapping[str, Any]) -> list[str]:
    base = held.get("quantized fp32")
    if base is None:
        return []
    lines = [
        "## Training with quantization",
        "",
        (
            "The stored ResNet-20 (CIFAR-10), quantized after training (PTQ) and trained with "
            "quantization (QAT: SGD, momentum 0.9, learning rate 1e-3 to 0 by a cosine, 3 epochs "
            "over 4,000 pictures, as `compress-quant qat` does it by default); accuracy on 1,000 "
            "test pictures in the integer engine."
        ),
        "",
        "| weights and activations | PTQ | QAT | float | QAT - float, points | QAT, s |",
        "|---|---|---|---|---|---|",
    ]
    for bits in (8, 4):
        ptq, qat = (held.get(f"quantized {way} {bits}") for way in ("ptq", "qat"))
        apart = f"{100 * (qat['value'] - base['value']):+.2f}" if qat else ""
        seconds = f"{qat['seconds']:.0f}" if qat else "not measured"
        cells = [_value(each, share=True) for each in (ptq, qat, base)]
        lines.append(f"| {bits} bits | " + " | ".join([*cells, apart, seconds]) + " |")
    return [*lines, ""]


def _memory(held: Mapping[str, Any]) -> list[str]:
    cases = {k.removeprefix("memory "): v for k, v in held.items() if k.startswith("memory ")}
    if not cases:
        return []
    some = next(iter(cases.values()))
    lines = [
        "## Gradient checkpointing",
        "",
        (
            "A step of BERT-Large (24 layers of 1024, 335 M parameters) on "
            f"{some['batch']} x {some['sequence']} tokens, SGD, {some['threads']} thread(s). "
            "The budget is of weights, gradients and activations; the peak is of the whole "
            "process."
        ),
        "",
        "| | budget | segments computed again | peak, GB | step, s | time | losses |",
        "|---|---|---|---|---|---|---|",
    ]
    plain = cases.get("plain")
    for name, cell in cases.items():
        budget = cell["memory"] or "none"
        if "refused" in cell:
            lines.append(f"| {name} | {budget} | | | | | |")
            continue
        again = f"{cell['computed_again']} of {cell['segments']}"
        ratio = f"{cell['seconds'] / plain['seconds']:.2f}x" if plain else ""
        peak = f"{cell['peak_resident_bytes'] / 1e9:.2f}"
        losses = ", ".join(f"{loss:.6f}" for loss in cell["losses"])
        cells = [name, budget, again, peak, f"{cell['seconds']:.1f}", ratio, losses]
        lines.append("| " + " | ".join(cells) + " |")
    refused = [cell["refused"] for cell in cases.values() if "refused" in cell]
    return [*lines, "", *(f"> {text}" for text in refused), ""]
