"""Quantizing by hand: one tensor, one layer, one model.  A thin layer over the other modules.

::

    quantizer = Quantizer(axis=0).calibrate_min_max(weights)
    codes = quantizer.quantize(weights)
    layer = QuantizedLinear(weights, bias).calibrate(inputs)
    graph = ModelQuantizer(model).calibrate(feeds).quantize()
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from compress_tensor import Builder, DType, Graph, InputError, compile  # noqa: A004

from . import affine
from .affine import AffineParams, Array, params_from_range
from .granularity import PER_TENSOR, params_of, per_channel
from .grid import INT8, Grid
from .ledger import Ledger
from .observe import Histogram
from .observe.ranges import PERCENTILE
from .qtensor import QTensor
from .recipe import Recipe
from .static import quantize_static

Feeds = Mapping[str, Array]


class Quantizer:
    """Maps floats to codes once it is calibrated.

    Args:
        grid: the codes.
        axis: one scale per index of this axis; None: one scale.
    """

    def __init__(self, grid: Grid = INT8, *, axis: int | None = None) -> None:
        self.grid = grid
        self.axis = axis
        self._params: AffineParams | None = None

    @property
    def params(self) -> AffineParams:
        """Scale and zero point.

        Raises:
            InputError: before calibration.
        """
        if self._params is None:
            raise InputError("calibrate the quantizer first")
        return self._params

    def calibrate_min_max(self, x: Array) -> Quantizer:
        """Cover all of ``x``; returns the quantizer itself."""
        granularity = PER_TENSOR if self.axis is None else per_channel(self.axis)
        self._params = params_of(np.asarray(x, np.float32), self.grid, granularity)
        return self

    def calibrate_percentile(self, x: Array, percentile: float = PERCENTILE) -> Quantizer:
        """Cover ``percentile`` percent of the values, per channel if there is an axis."""
        if not 50.0 < percentile <= 100.0:
            raise InputError(f"percentile {percentile} is not above 50 and at most 100")
        x = np.asarray(x, np.float32)
        shape = (PER_TENSOR if self.axis is None else per_channel(self.axis)).shape(x.shape)
        rows = x.reshape(1, -1) if self.axis is None else _channels(x, self.axis)
        tail = (1.0 - percentile / 100.0) / 2.0
        bounds = np.array([_tails(row, tail) for row in rows])
        self._params = params_from_range(
            bounds[:, 0].reshape(shape), bounds[:, 1].reshape(shape), self.grid
        )
        return self

    def quantize(self, x: Array) -> Array:
        """Return the codes of ``x``."""
        return affine.quantize(np.asarray(x, np.float32), self.params)

    def dequantize(self, codes: Array) -> Array:
        """Return what codes stand for."""
        return affine.dequantize(codes, self.params)

    def quantized_matmul(self, a: Array, b: QTensor) -> Array:
        """Return ``a @ b`` with ``a`` as codes of this quantizer: see `quantized_matmul`."""
        return quantized_matmul(QTensor(self.quantize(a), self.params), b)


def quantized_matmul(a: QTensor, b: QTensor) -> Array:
    """Return the float32 product of two quantized matrices, summed in whole numbers.

    ::

        C = scale_a * scale_b * sum_k (a - zero_a) (b - zero_b)

    Scales may differ per row of ``a`` and per column of ``b``, not along k.

    Raises:
        InputError: if scales differ along k, or the shapes do not fit.
    """
    if a.codes.ndim < 2 or b.codes.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise InputError(f"matrices of shape {list(a.shape)} and {list(b.shape)} do not fit")
    if a.params.scale.reshape(-1).size > 1 and a.params.scale.shape[-1] != 1:
        raise InputError("the left matrix has scales along k; they cannot leave the sum")
    if b.params.scale.reshape(-1).size > 1 and b.params.scale.shape[-2] != 1:
        raise InputError("the right matrix has scales along k; they cannot leave the sum")
    left, right = (
        # Whole numbers below 2**53: float64 sums them exactly, whatever the order.
        t.codes.astype(np.float64) - affine.spread(t.params.zero_point, t.shape)
        for t in (a, b)
    )
    scale = a.params.scale * b.params.scale
    return np.asarray((left @ right).astype(np.float32) * scale, np.float32)


class _Layer:
    """A one-node model that is quantized on calibration data."""

    def __init__(self, graph: Graph, recipe: Recipe | None) -> None:
        self.graph = graph
        self.ledger: Ledger | None = None
        self._recipe = recipe or Recipe()
        self._run = compile(graph, threads=1)

    def _calibrate(self, data: Iterable[Array]) -> None:
        feeds = ({"x": np.asarray(x, np.float32)} for x in data)
        self.graph, self.ledger = quantize_static(self.graph, feeds, self._recipe)
        self._run = compile(self.graph, threads=1)

    def __call__(self, x: Array) -> Array:
        """Return the layer's output."""
        return self._run.run({"x": np.asarray(x, np.float32)})["y"]


class QuantizedLinear(_Layer):
    """``y = x W^T + b`` with 8-bit codes, once it is calibrated; before, in floats.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,), or None.
        recipe: how.
    """

    def __init__(
        self, weight: Array, bias: Array | None = None, recipe: Recipe | None = None
    ) -> None:
        b = Builder("linear")
        x = b.input("x", DType.FLOAT32, ("N", weight.shape[1]))
        given = [np.asarray(weight, np.float32)]
        given += [] if bias is None else [np.asarray(bias, np.float32)]
        b.output("y", b.gemm(x, *given, transB=1))
        super().__init__(b.graph(), recipe)

    def calibrate(self, data: Iterable[Array]) -> QuantizedLinear:
        """Choose scales on batches of inputs; returns the layer itself."""
        self._calibrate(data)
        return self


class QuantizedConv2d(_Layer):
    """A convolution with 8-bit codes, once it is calibrated; before, in floats.

    Args:
        weight: (outputs, inputs / groups, height, width).
        bias: (outputs,), or None.
        stride: of both directions.
        padding: zeros on every side.
        groups: of channels.
        recipe: how.
    """

    def __init__(
        self,
        weight: Array,
        bias: Array | None = None,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        recipe: Recipe | None = None,
    ) -> None:
        b = Builder("conv2d")
        x = b.input("x", DType.FLOAT32, ("N", weight.shape[1] * groups, "H", "W"))
        given = [np.asarray(weight, np.float32)]
        given += [] if bias is None else [np.asarray(bias, np.float32)]
        made = b.conv(x, *given, strides=[stride] * 2, pads=[padding] * 4, group=groups)
        b.output("y", made)
        super().__init__(b.graph(), recipe)

    def calibrate(self, data: Iterable[Array]) -> QuantizedConv2d:
        """Choose scales on batches of inputs; returns the layer itself."""
        self._calibrate(data)
        return self


class ModelQuantizer:
    """Quantizes a network in two steps.

    Args:
        graph: the float network.
        recipe: how.
    """

    def __init__(self, graph: Graph, recipe: Recipe | None = None) -> None:
        self._graph = graph
        self._recipe = recipe or Recipe()
        self._made: tuple[Graph, Ledger] | None = None

    def calibrate(self, data: Iterable[Feeds]) -> ModelQuantizer:
        """Read calibration data once; returns the quantizer itself."""
        self._made = quantize_static(self._graph, data, self._recipe)
        return self

    def quantize(self) -> Graph:
        """Return the quantized network.

        Raises:
            InputError: before calibration.
        """
        if self._made is None:
            raise InputError("calibrate the model first")
        return self._made[0]

    @property
    def ledger(self) -> Ledger:
        """What became of each node."""
        if self._made is None:
            raise InputError("calibrate the model first")
        return self._made[1]


def _channels(x: Array, axis: int) -> Array:
    return np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)


def _tails(row: Array, tail: float) -> tuple[float, float]:
    histogram = Histogram()
    if row.size:
        if not np.isfinite(row).all():
            raise InputError("the calibration values have a NaN or an infinity")
        histogram.widen(float(row.min()), float(row.max()))
        histogram.add(row)
    return histogram.quantile(tail), histogram.quantile(1.0 - tail)
