"""Networks that everybody measures on, written out after their papers, with seeded weights.

::

    graph = build("resnet50")
    write_onnx(graph, "resnet50.onnx")

They compute what the real ones compute, at their speed; what they say is random.  The small ones
come with the weights that training starts from.
"""

from __future__ import annotations

from .registry import NETWORKS, Network, build, feeds_for, network
from .weights import Blank, Initial, Seeded, Weights

__all__ = [
    "NETWORKS",
    "Blank",
    "Initial",
    "Network",
    "Seeded",
    "Weights",
    "build",
    "feeds_for",
    "network",
]
