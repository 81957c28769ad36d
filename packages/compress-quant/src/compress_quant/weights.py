"""Constants as codes: weights per output channel, biases as 32-bit integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compress_tensor import Graph

from .affine import AffineParams, Array, dequantize, quantize
from .granularity import PER_TENSOR, Granularity, params_of, per_channel
from .grid import INT8_SYMMETRIC, UINT8, Grid
from .roles import Site

#: largest code of a bias: half of what 32 bits hold, so that sums of products have room
_MOST_BIAS = float(1 << 30)
#: parts of the whole range that `best_params` tries
_DRAWN_IN = np.linspace(1.0, 0.3, 36)


@dataclass(frozen=True, slots=True)
class Weights:
    """A quantized weight and, with it, its bias.

    Attributes:
        codes: int8.
        params: scale and zero point, of the weight's rank.
        bias: int32 codes, or None.
        bias_scale: their scales, one per output channel or one for all.
    """

    codes: Array
    params: AffineParams
    bias: Array | None = None
    bias_scale: Array | None = None


def quantize_weights(
    graph: Graph,
    site: Site,
    scale: float,
    grid: Grid = INT8_SYMMETRIC,
    *,
    integer_bias: bool,
    learned: AffineParams | None = None,
) -> Weights:
    """Return the weight of a site as codes, and its bias in units of ``scale`` times theirs.

    A channel whose weights are so small (or all zero) that its bias would not fit, or would be
    coarse, gets a larger scale (or a finer one): its weights keep their codes' meaning, the bias
    keeps at least 30 bits of precision.

    Args:
        graph: where the constants are.
        site: a product with a constant weight.
        scale: of the activation that it multiplies.
        grid: of the codes.
        integer_bias: whether the bias becomes codes.
        learned: the parameters, if they are known; by default they cover all weights.
    """
    assert site.weight is not None
    weight = graph.constants[site.node.inputs[site.weight]]
    granularity = PER_TENSOR if site.axis is None else per_channel(site.axis)
    params = learned or best_params(weight, grid, granularity)
    if site.bias is None or not integer_bias:
        return Weights(quantize(weight, params), params)
    node, at = site.bias
    bias = graph.constants[node.inputs[at]].astype(np.float64)
    per = params.scale.reshape(-1)
    channels = np.abs(bias).reshape(-1, per.size).max(axis=0) if bias.size else np.zeros(per.size)
    least = channels / (scale * _MOST_BIAS)
    dead = np.abs(weight).max(axis=_others(weight, site.axis), initial=0).reshape(-1) == 0
    per = np.where(dead & (channels > 0), least, np.maximum(per, least)).astype(np.float32)
    per = np.where(per < np.finfo(np.float32).tiny, np.float32(1.0), per)
    params = AffineParams(per.reshape(params.scale.shape), params.zero_point, params.grid)
    # float32, as every consumer multiplies the two scales.
    unit = np.float32(scale) * per
    repeated = np.tile(unit, bias.size // max(unit.size, 1)) if unit.size > 1 else unit
    codes = np.clip(np.rint(bias / repeated), -(2.0**31), 2.0**31 - 1).astype(np.int32)
    return Weights(
        quantize(weight, params), params, codes, repeated if repeated.size > 1 else repeated[0]
    )


def best_params(weight: Array, grid: Grid, granularity: Granularity) -> AffineParams:
    """Return the parameters of least squared error; with 8 bits, those that cover all weights.

    Of few codes none may be wasted on outliers: per channel the end of the range is drawn in to
    where the sum of squared differences is least (Banner et al., 2019, section 3, by search).
    """
    whole = params_of(weight, grid, granularity)
    if grid.steps > 200:
        return whole
    axes = tuple(i for i, n in enumerate(whole.scale.shape) if n == 1)
    best, least = whole.scale, np.full(whole.scale.shape, np.inf)
    for part in _DRAWN_IN:
        params = AffineParams((whole.scale * np.float32(part)), whole.zero_point, grid)
        apart = weight.astype(np.float64) - dequantize(quantize(weight, params), params)
        error = np.square(apart).sum(axis=axes, keepdims=True)
        best = np.where(error < least, params.scale, best)
        least = np.minimum(error, least)
    return AffineParams(best, whole.zero_point, grid)


def quantize_table(table: Array) -> Weights:
    """Return a table of rows (an embedding) as codes with one scale.

    u8 with a zero point: onnxruntime turns s8 codes that no QuantizeLinear makes into u8 and
    then refuses its own node.
    """
    params = params_of(table, UINT8, PER_TENSOR)
    return Weights(quantize(table, params), params)


def _others(weight: Array, axis: int | None) -> tuple[int, ...]:
    return tuple(i for i in range(weight.ndim) if i != axis)
