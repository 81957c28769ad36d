"""Running a network every way in which its bytes must be the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import compress_tensor
from compress_tensor import Graph

#: instruction sets below the largest
LEVELS = ("scalar", "avx2", "avx512", "avx512vnni")


def assert_same_bytes(
    first: np.ndarray, graph: Graph, x: np.ndarray, *, threads: Sequence[int], **options: Any
) -> None:
    """Assert that a batch and its rows alone give ``first``, the only output, with all threads."""
    (output,) = (value.name for value in graph.outputs)
    for count in threads:
        session = compress_tensor.compile(graph, threads=count, **options)
        alone = [session.run({"x": x[i : i + 1]})[output] for i in range(len(x))]

        assert first.tobytes() == session.run({"x": x})[output].tobytes()
        assert first.tobytes() == np.concatenate(alone).tobytes()
