"""What a plan does, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..graph.graph import Node
from .view import Buffer, View


@dataclass(frozen=True, slots=True)
class Record:
    """One kernel on views, as planned; ``label`` names the graph nodes that it computes.

    ``wide`` are the operands of an elementwise kernel before their dimensions were collapsed;
    ``runs`` is how often it is run in one run of the plan.
    """

    kernel: str
    operands: tuple[View | None, ...]
    args: tuple[int | float, ...] = ()
    label: str = ""
    wide: tuple[View, ...] = ()
    runs: int = 1


@dataclass(frozen=True, slots=True)
class HostCall:
    """A node that runs by its reference definition, between two stretches of records."""

    node: Node
    inputs: tuple[View | None, ...]
    outputs: tuple[View | None, ...]
    captures: tuple[tuple[str, View], ...]
    reason: str


Step = Record | HostCall


def views_of(step: Step) -> list[View]:
    """Return all that a step reads or writes."""
    if isinstance(step, Record):
        views = [*step.operands]
    else:
        views = [*step.inputs, *step.outputs, *(view for _, view in step.captures)]
    return [view for view in views if view is not None]


def uses_of(steps: Sequence[Step], results: Collection[Buffer]) -> Counter[int]:
    """Return how many steps read or write each buffer, by its id.

    Args:
        steps: of a plan.
        results: memory that is read after the last step, which counts as one more.
    """
    uses = Counter(id(buffer) for buffer in results)
    for step in steps:
        uses.update({id(view.buffer) for view in views_of(step)})
    return uses
