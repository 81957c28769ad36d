"""Calibration samples from a data set, as feeds for a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compress_autograd.data import Dataset, Preprocess, batches
from compress_tensor import DType, Graph, InputError, Value

from .affine import Array

#: samples that are read at a time; two such batches are in memory
BATCH = 16


class Samples:
    """Feeds for a network with one input; may be read several times.

    Args:
        graph: the network.
        dataset: where samples come from; labels are not looked at.
        preprocess: applied to each.
        count: how many, spread evenly over the data; all if there are fewer.

    Raises:
        InputError: if the network has several inputs, or the data are empty or texts.
    """

    def __init__(self, graph: Graph, dataset: Dataset, preprocess: Preprocess, count: int) -> None:
        if len(graph.inputs) != 1:
            names = ", ".join(value.name for value in graph.inputs)
            raise InputError(
                f"the model has the inputs {names}; from the command line one input can be "
                "calibrated, use compress_quant.quantize_static for more"
            )
        if not len(dataset):
            raise InputError("the calibration data are empty; nothing can be observed")
        if dataset.kind == "text":
            raise InputError("the calibration data are texts; give samples of numbers")
        self.input: Value = graph.inputs[0]
        self.preprocess = preprocess
        n = min(count, len(dataset))
        self.dataset = Subset(dataset, [i * len(dataset) // n for i in range(n)])

    def __iter__(self) -> Iterator[dict[str, Array]]:
        shape = self.input.shape or ()
        fixed = shape[0] if shape and isinstance(shape[0], int) else None
        for part in batches(self.dataset, self.preprocess, fixed or BATCH):
            if fixed and len(part.inputs) < fixed:
                return  # a network of a fixed batch takes whole batches only
            self._check(part.inputs)
            yield {self.input.name: part.inputs}

    def first(self) -> dict[str, Array]:
        """Return one feed of one sample (or one batch, where that is fixed)."""
        feeds = next(iter(self))
        if self.input.shape and isinstance(self.input.shape[0], int):
            return feeds
        return {name: array[:1] for name, array in feeds.items()}

    def _check(self, inputs: Array) -> None:
        wanted = self.input.shape
        name = self.dataset.name(0)
        if self.input.dtype is not None and DType.of(inputs.dtype) is not self.input.dtype:
            raise InputError(
                f"{name} has type {inputs.dtype} after preprocessing, input "
                f"{self.input.name!r} wants {self.input.dtype.label}; choose another --preprocess"
            )
        if wanted is None:
            return
        fits = len(wanted) == inputs.ndim and all(
            not isinstance(w, int) or w == h
            for w, h in zip(wanted[1:], inputs.shape[1:], strict=False)
        )
        if not fits:
            raise InputError(
                f"{name} has shape {list(inputs.shape[1:])} after preprocessing, input "
                f"{self.input.name!r} wants {list(wanted[1:])}; choose another --preprocess"
            )


class Subset:
    """Some samples of a data set, without labels.

    Args:
        whole: the data set.
        indices: which.
    """

    def __init__(self, whole: Dataset, indices: list[int]) -> None:
        self.whole = whole
        self.indices = indices
        self.kind = whole.kind
        self.classes = whole.classes

    def __len__(self) -> int:
        return len(self.indices)

    def sample(self, index: int) -> Any:
        """Return one sample."""
        return self.whole.sample(self.indices[index])

    def label(self, index: int) -> None:
        """Return None: calibration needs no labels."""

    def name(self, index: int) -> str:
        """Return how messages name a sample."""
        return self.whole.name(self.indices[index])
