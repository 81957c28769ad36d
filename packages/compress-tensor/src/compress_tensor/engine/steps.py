"""What a plan does, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from ..graph.graph import Node
from .view import View


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
