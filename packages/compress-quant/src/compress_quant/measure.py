"""How far a quantized network is from its float original, on samples that were kept.

The measure is signal to noise at the outputs, in decibels::

    10 log10( sum y^2 / sum (y - ŷ)^2 )

with the ratio averaged over the outputs, y of the float network and ŷ of the quantized one.
20 dB means an error of a tenth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from compress_tensor import Graph, Session, compile  # noqa: A004

from .affine import Array
from .observe import Observation

Feeds = Mapping[str, Array]


class Judge:
    """Compares networks with one float network on the same samples.

    Args:
        graph: the float network.
        observation: which kept samples.
        threads: of the engine.
        samples: use at most so many.
    """

    def __init__(
        self, graph: Graph, observation: Observation, threads: int, samples: int | None = None
    ) -> None:
        self.threads = threads
        self.batches = list(observation.batches())
        if samples is not None and observation.rows:
            self.batches = _first(self.batches, samples)
        self.names = [value.name for value in graph.outputs]
        self.expected = self.outputs(compile(graph, threads=threads))

    def outputs(self, session: Session, more: Feeds | None = None) -> list[dict[str, Array]]:
        """Return the outputs of all batches; ``more`` is fed besides."""
        return [session.run({**batch, **(more or {})}) for batch in self.batches]

    def decibels(self, graph: Graph) -> float:
        """Return the signal to noise of a network."""
        return self.compare(self.outputs(compile(graph, threads=self.threads)))

    def compare(self, found: Iterable[Mapping[str, Array]]) -> float:
        """Return the signal to noise of outputs."""
        made = list(found)
        ratios = []
        for name in self.names:
            if self.expected[0][name].dtype.kind != "f":
                continue
            signal = sum(_power(e[name]) for e in self.expected)
            noise = sum(
                _power(e[name].astype(np.float64) - f[name])
                for e, f in zip(self.expected, made, strict=True)
            )
            ratios.append(noise / signal if signal else (np.inf if noise else 0.0))
        return decibels_of(float(np.mean(ratios)) if ratios else 0.0)


def decibels_of(noise: float) -> float:
    """Return decibels of one over a ratio of noise to signal."""
    if noise == 0.0:
        return float("inf")
    return float(-10.0 * np.log10(noise)) if np.isfinite(noise) else float("-inf")


def noise_of(decibels: float) -> float:
    """Return the ratio of noise to signal."""
    return float(10.0 ** (-decibels / 10.0))


def _power(values: Array) -> float:
    return float((values.astype(np.float64) ** 2).sum())


def _first(batches: list[dict[str, Array]], samples: int) -> list[dict[str, Array]]:
    found: list[dict[str, Array]] = []
    for batch in batches:
        n = len(next(iter(batch.values())))
        if samples <= 0:
            break
        found.append({name: array[:samples] for name, array in batch.items()} if n > samples
                     else batch)  # fmt: skip
        samples -= n
    return found
