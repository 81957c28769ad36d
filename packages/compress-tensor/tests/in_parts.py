"""Runs of batches in parts, whatever that is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

import numpy as np

import compress_tensor
from compress_tensor import Session
from compress_tensor.engine import split
from compress_tensor.engine.program import Repeated


@contextmanager
def in_parts(rows: int) -> Iterator[None]:
    """Plan every batch that allows it in parts of so many rows; 0: none."""
    parts = mock.patch.object(
        split, "_parts", lambda n, *_: [rows] if rows and not n % rows else []
    )
    with parts, mock.patch.object(split, "_pays", return_value=True):
        yield


def count_of(session: Session, feeds: Mapping[str, np.ndarray]) -> int:
    """Return in how many parts a session runs a batch."""
    (step, *_) = session._stage(session._outputs).plan(session._checked(feeds))[0].steps
    return step.count if isinstance(step, Repeated) else 1


def compiled(
    graph: compress_tensor.Graph, feeds: Mapping[str, np.ndarray], rows: int, **how: object
) -> Session:
    """Return a session that has planned these inputs in parts of so many rows."""
    session = compress_tensor.compile(graph, **how)  # type: ignore[arg-type]
    with in_parts(rows):
        session.memory(feeds)
    return session
