"""What the tests of fused attention share: scores, inputs, and the kernels that a plan has."""

from __future__ import annotations

import numpy as np

from compress_tensor import compile  # noqa: A004


def scaled(scores, size, scale):
    """Return scores divided by the root of ``size``, multiplied by a number, or as they are."""
    if scale == "div":
        return scores / float(np.sqrt(size))
    return scores * 0.37 if scale == "mul" else scores


def feeds_for(graph, rng, spread=1.0):
    """Return random inputs; a mask hides about a third."""
    found = {v.name: spread * rng.standard_normal(v.shape) for v in graph.inputs}
    if "mask" in found:
        hidden = rng.random(found["mask"].shape) < 0.3
        found["mask"] = np.where(hidden, float(np.finfo(np.float32).min), 0.0)
    return {name: array.astype(np.float32) for name, array in found.items()}


def kernels_of(graph, feeds, precision="float32"):
    """Return the kernels that a graph is planned as."""
    report = compile(graph, threads=1, precision=precision).report(feeds)
    return {kernel for line in report for kernel in line.how.replace(",", " ").split()}
