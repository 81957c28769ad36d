"""The ledger: one decision per node, and what the network as a whole came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from compress_tensor import CompressError, Node

from .insert import Numbers
from .place import Placement
from .roles import PRODUCTS, Kind, Site

INT8, FLOAT = "int8", "float"


class LedgerError(CompressError, ValueError):
    """``strict``: a node that could be quantized is not."""


@dataclass(frozen=True)
class Decision:
    """What became of one node.

    Attributes:
        node: its name (or first output).
        op: its operator.
        form: "int8" or "float".
        how: codes and scales, or what it was merged into.
        why: the reason for floats.
    """

    node: str
    op: str
    form: str
    how: str = ""
    why: str = ""


@dataclass
class Ledger:
    """All decisions of one quantization.

    Attributes:
        decisions: in the order of the prepared graph.
        samples: calibration samples seen.
        observer: that chose the ranges.
        decibels: signal to noise at the outputs, on the samples kept.
        tried: other ways that were measured, and their decibels.
        uncertainty: how far the scales may be off for want of samples: median and largest, as
            parts of themselves.
        uncertain: the value with the largest.
        warnings: sentences.
    """

    decisions: list[Decision] = field(default_factory=list)
    samples: int = 0
    observer: str = ""
    decibels: float = float("nan")
    tried: dict[str, float] = field(default_factory=dict)
    uncertainty: tuple[float, float] = (0.0, 0.0)
    uncertain: str = ""
    warnings: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return how many nodes took each form."""
        return dict(Counter(decision.form for decision in self.decisions))

    def left_in_floats(self) -> list[Decision]:
        """Return the products that stay in floats."""
        return [d for d in self.decisions if d.form == FLOAT and d.op in PRODUCTS]

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        found = asdict(self)
        found["counts"] = self.counts()
        return _finite(found)  # type: ignore[no-any-return]

    def summary(self) -> str:
        """Return the outcome in two sentences."""
        counts = self.counts()
        products = [d for d in self.decisions if d.op in PRODUCTS]
        integer = sum(d.form == INT8 for d in products)
        return (
            f"{integer} of {len(products)} products and {counts.get(INT8, 0)} of "
            f"{len(self.decisions)} nodes compute in int8; {self.samples} samples, observer "
            f"{self.observer}, {self.decibels:.1f} dB signal to noise at the outputs. "
            f"The samples leave the scales uncertain by {self.uncertainty[0]:.1%} (median), "
            f"{self.uncertainty[1]:.1%} at most ({self.uncertain})."
        )

    def require(self) -> None:
        """Refuse products that stay in floats without being excluded.

        Raises:
            LedgerError: naming the first.
        """
        for decision in self.left_in_floats():
            if not decision.why.startswith("excluded"):
                raise LedgerError(
                    f"strict: {decision.op} {decision.node!r} stays in floats: {decision.why}"
                )


def decisions(placement: Placement, numbers: Numbers) -> Iterator[Decision]:
    """Yield the decision of every node of the prepared graph."""
    swallowed = {id(n): site for site in placement.sites.values() for n in site.tail}
    for node in placement.graph.nodes:
        name = node.name or node.outputs[0]
        site = placement.sites.get(id(node))
        if site is not None:
            yield Decision(name, node.op, INT8, _how(site, placement, numbers))
        elif id(node) in swallowed:
            into = swallowed[id(node)].node
            yield Decision(name, node.op, INT8, f"merged into {into.label}")
        else:
            yield Decision(name, node.op, FLOAT, "", placement.reasons.get(id(node), _other(node)))


def _how(site: Site, placement: Placement, numbers: Numbers) -> str:
    def codes(name: str) -> str:
        scale = placement.of.get(name)
        if scale is None:
            return "float"
        params = numbers[scale]
        return f"{params.grid.label} {float(params.scale):.4g}"

    parts = [", ".join(codes(name) for name in site.reads)] if site.reads else []
    if site.kind is Kind.LOOKUP:
        parts.append("table u8")
    elif site.weight is not None:
        per = "per tensor" if site.axis is None else "per channel"
        parts.append(f"weights s{numbers.bits.of_site(site)} {per}")
    made = ", ".join(codes(name) for name in site.makes)
    shared = " (codes moved)" if site.kind is Kind.MOVE else ""
    return f"{'; '.join(parts)} -> {made}{shared}"


def _other(node: Node) -> str:
    if node.op in ("LSTM", "GRU", "RNN"):
        return "recurrent: its gates want dynamic quantization"
    return "not between products, or no integer form"


def _finite(value: Any) -> Any:
    """Return plain data in which what JSON lacks is None."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value
