"""Derivatives of operators that are written in terms of others.

The function here computes what the operator computes, on the tape; going back computes it again
and differentiates that.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np

import compress_tensor as ct
from compress_tensor import Tensor
from compress_tensor.eager import run

from ..backward import pull
from .registry import RULES, Rule

Body = Callable[..., Any]


def pulled(function: Body, gs: Any, xs: Any, call: Any) -> list[Tensor | None]:
    """Return the gradients of operands through a function that computes the operator."""
    attributes = call.attributes
    return pull(lambda *given: function(attributes, *given), xs, call.needs, gs)


def composed(op: str) -> Callable[[Body], Body]:
    """Enter the rule of an operator: the function of its operands and attributes (a dict)."""

    def register(function: Body) -> Body:
        def back(gs: Any, xs: Any, call: Any) -> list[Tensor | None]:
            return pulled(function, gs, xs, call)

        RULES[op] = Rule(op, joint=back)
        return function

    return register


def _channels(values: Tensor, rank: int) -> Tensor:
    return values.reshape((-1, *[1] * (rank - 2)))


def _normal(x: Tensor, axes: Any, epsilon: float) -> Tensor:
    centred = x - ct.mean(x, axes, keepdims=True)
    variance = ct.mean(centred * centred, axes, keepdims=True)
    return centred / ct.sqrt(variance + epsilon)


@composed("InstanceNormalization")
def instance_norm(a: Any, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Normalise every plane."""
    normal = _normal(x, tuple(range(2, x.ndim)), a["epsilon"])
    return normal * _channels(scale, x.ndim) + _channels(bias, x.ndim)


@composed("GroupNormalization")
def group_norm(a: Any, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """Normalise groups of channels."""
    groups = x.reshape((x.shape[0], a["num_groups"], -1))
    normal = _normal(groups, 2, a["epsilon"]).reshape(x.shape)
    if scale.size != x.shape[1]:
        repeat = x.shape[1] // scale.size
        scale, bias = ct.repeat(scale, repeat), ct.repeat(bias, repeat)
    return normal * _channels(scale, x.ndim) + _channels(bias, x.ndim)


def layer_norm(a: Any, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Any:
    """Normalise trailing dimensions."""
    axes = tuple(range(a["axis"] % x.ndim, x.ndim))
    mean = ct.mean(x, axes, keepdims=True)
    centred = x - mean
    inverse = 1.0 / ct.sqrt(ct.mean(centred * centred, axes, keepdims=True) + a["epsilon"])
    result = centred * inverse * scale
    return result if bias is None else result + bias, mean, inverse


@composed("RMSNormalization")
def rms_norm(a: Any, x: Tensor, scale: Tensor) -> Tensor:
    """Divide trailing dimensions by their root mean square."""
    axes = tuple(range(a["axis"] % x.ndim, x.ndim))
    return x / ct.sqrt(ct.mean(x * x, axes, keepdims=True) + a["epsilon"]) * scale


@composed("LpNormalization")
def lp_norm(a: Any, x: Tensor) -> Tensor:
    """Divide by the norm."""
    op = "ReduceL1" if a["p"] == 1 else "ReduceL2"
    norm = run(op, (x, np.array([a["axis"]], np.int64)))
    return ct.where(norm == 0, 0.0, x / ct.where(norm == 0, 1.0, norm))


@composed("LRN")
def lrn(a: Any, x: Tensor) -> Any:
    """Divide by a power of the neighbouring channels' squares."""
    size, channels = a["size"], x.shape[1]
    before = (size - 1) // 2
    widths = [(0, 0)] * x.ndim
    widths[1] = (before, size - 1 - before)
    square = ct.pad(x * x, widths)
    total = square.narrow(1, 0, channels)
    for start in range(1, size):
        total = total + square.narrow(1, start, channels)
    return x / (a["bias"] + a["alpha"] / size * total) ** a["beta"]


@composed("MeanVarianceNormalization")
def mean_variance(a: Any, x: Tensor) -> Tensor:
    """Normalise over axes."""
    axes = (0, 2, 3) if a["axes"] is None else tuple(a["axes"])
    mean = ct.mean(x, axes, keepdims=True)
    variance = ct.mean(x * x, axes, keepdims=True) - mean * mean
    return (x - mean) / (ct.sqrt(ct.maximum(variance, 0.0)) + 1e-9)


@composed("BatchNormalization")
def batch_norm(a: Any, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Any:
    """Normalise channels, in training by this batch."""
    keep = a["momentum"]
    if not a["training_mode"]:
        factor = scale / ct.sqrt(var + a["epsilon"])
        return x * _channels(factor, x.ndim) + _channels(bias - mean * factor, x.ndim)
    axes = (0, *range(2, x.ndim))
    here = ct.mean(x, axes)
    apart = x - _channels(here, x.ndim)
    spread = ct.mean(apart * apart, axes)
    factor = scale / ct.sqrt(spread + a["epsilon"])
    result = apart * _channels(factor, x.ndim) + _channels(bias, x.ndim)
    return result, here * (1 - keep) + mean * keep, spread * (1 - keep) + var * keep


@composed("SwiGLU")
def swiglu(a: Any, x: Tensor, gate: Tensor) -> Tensor:
    """Return Swish(x) * gate."""
    return x * ct.sigmoid(x * a["alpha"]) * gate


@composed("GlobalMaxPool")
def global_max_pool(a: Any, x: Tensor) -> Tensor:
    """Return the maximum of each plane."""
    return ct.max(x, tuple(range(2, x.ndim)), keepdims=True)


@composed("GlobalLpPool")
def global_lp_pool(a: Any, x: Tensor) -> Any:
    """Return the p-norm of each plane."""
    total = ct.sum(ct.abs(x) ** float(a["p"]), tuple(range(2, x.ndim)), keepdims=True)
    return total ** (1 / a["p"])


@composed("DepthToSpace")
def depth_to_space(a: Any, x: Tensor) -> Tensor:
    """Spread channels into squares."""
    n, c, h, w = x.shape
    b = a["blocksize"]
    if a["mode"] == "DCR":
        parts = x.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return parts.reshape(n, c // (b * b), h * b, w * b)


@composed("SpaceToDepth")
def space_to_depth(a: Any, x: Tensor) -> Tensor:
    """Gather squares into channels."""
    n, c, h, w = x.shape
    b = a["blocksize"]
    parts = x.reshape(n, c, h // b, b, w // b, b)
    order = (0, 3, 5, 1, 2, 4) if a["mode"] == "DCR" else (0, 1, 3, 5, 2, 4)
    return parts.transpose(order).reshape(n, c * b * b, h // b, w // b)


@composed("CumProd")
def cumprod(a: Any, x: Tensor, axis: Any) -> Tensor:
    """Multiply step by step."""
    at = int(np.asarray(axis).reshape(())) % x.ndim
    steps = list(range(x.shape[at]))
    if a["reverse"]:
        steps.reverse()
    parts: dict[int, Tensor] = {}
    total: Any = None
    for n in steps:
        here = x.narrow(at, n, 1)
        if a["exclusive"]:
            parts[n] = ct.ones_like(here) if total is None else total
        total = here if total is None else total * here
        if not a["exclusive"]:
            parts[n] = total
    return ct.concat([parts[n] for n in sorted(parts)], at) if parts else x * 1.0


@composed("MaxUnpool")
def max_unpool(a: Any, x: Tensor, places: Tensor, shape: Any = None) -> Tensor:
    """Put values at places of a tensor of zeros."""
    rank = x.ndim - 2
    strides, pads = a["strides"] or [1] * rank, a["pads"] or [0] * 2 * rank
    inferred = [*x.shape[:2]]
    for i, kernel in enumerate(a["kernel_shape"]):
        inferred.append((x.shape[i + 2] - 1) * strides[i] + kernel - pads[i] - pads[i + rank])
    flat = ct.zeros(int(np.prod(inferred)), dtype=x.dtype)
    found = ct.scatter(flat, 0, places.reshape(-1), x.reshape(-1)).reshape(inferred)
    if shape is None:
        return found
    wanted = np.asarray(shape).tolist()
    return ct.pad(found, [(0, m - n) for n, m in zip(inferred, wanted, strict=True)])


@composed("NegativeLogLikelihoodLoss")
def nll(a: Any, scores: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return minus the log-probability of each target, weighted by class."""
    ignored = a["ignore_index"]
    labels = target if ignored is None else ct.where(target == ignored, 0, target)
    picked = ct.take_along_axis(scores, labels.unsqueeze(1), 1).squeeze(1)
    factor = (
        ct.ones(labels.shape, dtype=scores.dtype) if weight is None else ct.take(weight, labels)
    )
    if ignored is not None:
        factor = ct.where(target == ignored, 0.0, factor)
    loss = -picked * factor
    if a["reduction"] == "none":
        return loss
    return ct.sum(loss) if a["reduction"] == "sum" else ct.sum(loss) / ct.sum(factor)


@composed("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(a: Any, scores: Tensor, target: Tensor, weight: Any = None) -> Any:
    """Return the loss of LogSoftmax(scores), and LogSoftmax(scores)."""
    log_prob = ct.log_softmax(scores, 1)
    return nll(a, log_prob, target, weight), log_prob


def heads(x: Tensor, count: int | None) -> Tensor:
    """Return (batch, length, heads * size) as (batch, heads, length, size)."""
    if x.ndim == 4 or not count:
        return x
    return x.reshape((*x.shape[:2], count, -1)).transpose(0, 2, 1, 3)


@composed("RotaryEmbedding")
def rotary(a: Any, given: Tensor, cos: Tensor, sin: Tensor, position_ids: Any = None) -> Tensor:
    """Turn pairs of features by angles."""
    x = heads(given, a["num_heads"])
    size = a["rotary_embedding_dim"] or x.shape[3]
    if position_ids is not None:
        cos, sin = ct.take(cos, position_ids, 0), ct.take(sin, position_ids, 0)
    cos, sin = (each[..., : size // 2].unsqueeze(1) for each in (cos, sin))
    turned, rest = x[..., :size], x[..., size:]
    if a["interleaved"]:
        one, two = turned[..., 0::2], turned[..., 1::2]
    else:
        one, two = turned[..., : size // 2], turned[..., size // 2 :]
    real, imaginary = cos * one - sin * two, sin * one + cos * two
    if a["interleaved"]:
        turned = ct.stack([real, imaginary], -1).reshape(turned.shape)
    else:
        turned = ct.concat([real, imaginary], -1)
    result = ct.concat([turned, rest], -1) if rest.shape[-1] else turned
    return result.transpose(0, 2, 1, 3).reshape(given.shape) if given.ndim == 3 else result


@composed("Attention")
def attention(
    a: Any, Q: Tensor, K: Tensor, V: Tensor, mask: Any = None, past_key: Any = None,
    past_value: Any = None, valid: Any = None,
) -> Any:  # fmt: skip
    """Return softmax(Q K' * scale + mask) V, keys, values and scores."""
    q, k = heads(Q, a["q_num_heads"]), heads(K, a["kv_num_heads"])
    v = heads(V, a["kv_num_heads"])
    past = 0
    if past_key is not None and past_value is not None:
        past = past_key.shape[2]
        k, v = ct.concat([past_key, k], 2), ct.concat([past_value, v], 2)
    present = (k, v)
    groups = q.shape[1] // k.shape[1]
    if groups > 1:
        k, v = ct.repeat(k, groups, 1), ct.repeat(v, groups, 1)
    factor = 1 / sqrt(q.shape[3]) if a["scale"] is None else a["scale"]
    scores = ct.matmul(q * factor, k.transpose(0, 1, 3, 2))
    shown = scores
    if a["softcap"]:
        scores = a["softcap"] * ct.tanh(scores / a["softcap"])
        shown = scores if a["qk_matmul_output_mode"] == 1 else shown
    scores = _masked(a, scores, mask, past, valid)
    shown = scores if a["qk_matmul_output_mode"] == 2 else shown
    weights = ct.softmax(scores, -1)
    shown = weights if a["qk_matmul_output_mode"] == 3 else shown
    result = ct.matmul(weights, v)
    if Q.ndim == 3:
        result = result.transpose(0, 2, 1, 3).reshape((*Q.shape[:2], -1))
    return result, *present, shown


def _masked(a: Any, scores: Tensor, mask: Any, past: int, valid: Any) -> Tensor:
    """Return scores with what a query may not see at (almost) minus infinity."""
    from compress_tensor.backend.reference.attention import _allowed

    queries, keys = scores.shape[2:]
    lengths = None if valid is None else np.asarray(valid)
    window = a["left_window_size"], a["right_window_size"]
    seen: Any = _allowed(queries, keys, past, lengths, a["is_causal"], *window)
    if mask is not None:
        short = keys - mask.shape[-1]
        if short and mask.shape[-1] != 1:
            rows: Any = [(0, 0)] * (mask.ndim - 1) + [(0, short)]
            mask = ct.pad(mask, rows, value=False if mask.dtype is ct.DType.BOOL else -np.inf)
        if mask.dtype is ct.DType.BOOL:
            seen = mask if seen is None else ct.logical_and(seen, mask)
        else:
            scores = scores + ct.maximum(mask, -1e30)
    return scores if seen is None else ct.where(seen, scores, -1e30)
