"""Shape rules of attention, losses and Fourier transforms."""

from __future__ import annotations

from math import prod

from ...backend.reference.common import axis_of, scalar
from ...backend.reference.fused import ATTENTION as FUSED_ATTENTION
from ...backend.reference.fused import ATTENTION_ON_CODES
from ...backend.reference.fused import DOMAIN as FUSED
from ...dtype import DType
from ...errors import ShapeError
from ..graph import Attribute
from .common import INDICES, broadcast_shapes, require, require_type, result, same_type
from .linear import matmul
from .registry import Info, rule


def _heads(info: Info, count: int | None, what: str) -> tuple[int, ...]:
    """Return (batch, heads, length, size)."""
    if info.rank == 4:
        return info.dims
    if info.rank != 3 or not count or info.dims[2] % count:
        raise ShapeError(f"{what} of shape {list(info.dims)} does not have {count} heads")
    return (info.dims[0], count, info.dims[1], info.dims[2] // count)


@rule("Attention")
def attention(
    Q: Info,
    K: Info,
    V: Info,
    attn_mask: Info | None = None,
    past_key: Info | None = None,
    past_value: Info | None = None,
    nonpad_kv_seqlen: Info | None = None,
    *,
    kv_num_heads: int | None,
    q_num_heads: int | None,
    softmax_precision: int | None,
    **_: Attribute,
) -> tuple[Info, ...]:
    """Queries, with the values' size."""
    kind = Q.dtype
    same_type(Q, K, past_key)
    same_type(V, past_value)
    q = _heads(Q, q_num_heads, "Q")
    k, v = _heads(K, kv_num_heads, "K"), _heads(V, kv_num_heads, "V")
    fits = q[0] == k[0] == v[0] and k[1:3] == v[1:3] and q[3] == k[3]
    fits = fits and k[1] > 0 and q[1] % k[1] == 0
    require(fits, f"Q {list(Q.dims)}, K {list(K.dims)} and V {list(V.dims)} do not fit")
    require((past_key is None) == (past_value is None), "past_key and past_value go together")
    keys = k[2]
    if past_key is not None and past_value is not None:
        past = past_key.dims[2] if past_key.rank == 4 else -1
        if past_key.dims != (*k[:2], past, k[3]) or past_value.dims != (*v[:2], past, v[3]):
            raise ShapeError("past_key or past_value do not fit K and V")
        keys += past
    scores = (*q[:3], keys)
    if attn_mask is not None:
        short = attn_mask.dims[-1] if attn_mask.rank else 1
        require(short <= keys, f"a mask for {short} keys does not fit {keys} keys")
        whole = (*attn_mask.dims[:-1], keys if short != 1 else 1)
        if broadcast_shapes(whole, scores) != scores:
            raise ShapeError(f"mask {list(attn_mask.dims)} does not fit {list(scores)}")
    if nonpad_kv_seqlen is not None and nonpad_kv_seqlen.dims != q[:1]:
        raise ShapeError("nonpad_kv_seqlen must have one number per sequence")
    out = (*q[:3], v[3]) if Q.rank == 4 else (q[0], q[2], q[1] * v[3])
    return (
        result(kind, out),
        result(K.dtype, (*k[:2], keys, k[3])),
        result(V.dtype, (*v[:2], keys, v[3])),
        result(kind, scores),
    )


@rule("RotaryEmbedding")
def rotary_embedding(
    X: Info,
    cos_cache: Info,
    sin_cache: Info,
    position_ids: Info | None = None,
    *,
    interleaved: int,
    num_heads: int | None,
    rotary_embedding_dim: int,
) -> Info:
    """The input's shape."""
    kind = same_type(X, cos_cache, sin_cache)
    batch, _, steps, size = _heads(X, num_heads, "X")
    half = (rotary_embedding_dim or size) // 2
    require(0 < 2 * half <= size, f"rotary_embedding_dim {2 * half} does not fit {size}")
    rank = 3 if position_ids is None else 2
    fits = cos_cache.dims == sin_cache.dims and cos_cache.rank == rank
    fits = fits and cos_cache.dims[-1] >= half
    if position_ids is not None:
        require_type(position_ids, INDICES, "position_ids")
        fits = fits and position_ids.dims == (batch, steps)
    elif fits:
        fits = cos_cache.dims[:2] == (batch, steps)
    require(fits, f"caches {list(cos_cache.dims)} do not fit {list(X.dims)}")
    return result(kind, X.dims)


@rule("LinearAttention")
def linear_attention(
    query: Info,
    key: Info,
    value: Info,
    past_state: Info | None = None,
    decay: Info | None = None,
    beta: Info | None = None,
    *,
    q_num_heads: int,
    kv_num_heads: int,
    **_: Attribute,
) -> tuple[Info, Info]:
    """Queries, with the values' size, and the state."""
    kind = same_type(query, key, value)
    q = _heads(query, q_num_heads, "query")
    k, v = _heads(key, kv_num_heads, "key"), _heads(value, kv_num_heads, "value")
    fits = q[::2] == k[::2] and k[:3] == v[:3] and q[3] == k[3] and q[1] % k[1] == 0
    require(fits, "query, key and value do not fit")
    state = (k[0], k[1], k[3], v[3])
    if past_state is not None and past_state.dims != state:
        raise ShapeError(f"past_state must have shape {list(state)}")
    out = result(kind, (q[0], q[2], q[1] * v[3]))
    return out, result(kind if past_state is None else past_state.dtype, state)


def _loss(scores: Info, target: Info, weight: Info | None, reduction: str) -> Info:
    kind = same_type(scores, weight)
    require_type(target, INDICES, "the targets")
    require(scores.rank >= 2, f"rank 2 or more is needed, not {scores.rank}")
    if target.dims != (scores.dims[0], *scores.dims[2:]):
        raise ShapeError(f"targets {list(target.dims)} do not fit {list(scores.dims)}")
    if weight is not None and weight.dims != scores.dims[1:2]:
        raise ShapeError(f"weights {list(weight.dims)} do not fit {list(scores.dims)}")
    require(reduction in ("none", "sum", "mean"), f"reduction {reduction!r} is unknown")
    return result(kind, target.dims if reduction == "none" else ())


@rule("NegativeLogLikelihoodLoss")
def negative_log_likelihood_loss(
    input: Info,
    target: Info,
    weight: Info | None = None,
    *,
    ignore_index: int | None,
    reduction: str,
) -> Info:
    """A number, or one per target."""
    return _loss(input, target, weight, reduction)


@rule("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy_loss(
    scores: Info,
    labels: Info,
    weights: Info | None = None,
    *,
    ignore_index: int | None,
    reduction: str,
) -> tuple[Info, Info]:
    """A number, or one per target; log-probabilities."""
    return _loss(scores, labels, weights, reduction), result(scores.dtype, scores.dims)


@rule("DFT")
def dft(
    input: Info,
    dft_length: Info | None = None,
    axis: Info | None = None,
    *,
    inverse: int,
    onesided: int,
) -> Info:
    """One axis transformed."""
    along = -2 if axis is None else int(scalar(axis.need(), "axis"))
    along = axis_of(along, input.rank)
    require(
        along != input.rank - 1 and input.dims[-1] in (1, 2),
        f"axis {along} of shape {list(input.dims)} cannot be transformed",
    )
    size = input.dims[along]
    if inverse and onesided:
        size = 2 * (size - 1)
    if dft_length is not None:
        size = int(scalar(dft_length.need(), "dft_length"))
    require(size > 0, f"dft_length {size} must be positive")
    dims = list(input.dims)
    dims[along] = size // 2 + 1 if onesided and not inverse else size
    dims[-1] = 1 if onesided and inverse else 2
    return result(input.dtype, dims)


@rule("STFT")
def stft(
    signal: Info,
    frame_step: Info,
    window: Info | None = None,
    frame_length: Info | None = None,
    *,
    onesided: int,
) -> Info:
    """Frames by frequencies."""
    require(signal.rank == 3 and signal.dims[2] in (1, 2), "signal must be [batch, length, 1 or 2]")
    size = signal.dims[1] if window is None else window.dims[0]
    if frame_length is not None:
        size = int(scalar(frame_length.need(), "frame_length"))
    step = int(scalar(frame_step.need(), "frame_step"))
    require(0 < size <= signal.dims[1] and step > 0, f"frames of {size} by {step} do not fit")
    require(window is None or window.dims == (size,), "the window does not fit the frames")
    count = (signal.dims[1] - size) // step + 1
    bins = size // 2 + 1 if onesided else size
    return result(DType(signal.dtype), (signal.dims[0], count, bins, 2))


@rule(FUSED_ATTENTION, domain=FUSED)
def fused_attention(
    Q: Info,
    K: Info,
    V: Info,
    mask: Info | None = None,
    *,
    divisor: float = 0.0,
    factor: float = 0.0,
) -> Info:
    """As the two products that it is made of; K has its keys in columns."""
    scores = matmul(Q, K)
    if mask is not None:
        fits = tuple(broadcast_shapes(scores.dims, mask.dims)) == scores.dims
        require(fits, f"a mask of shape {mask.dims} does not fit scores of {scores.dims}")
    return matmul(scores, V)


@rule(ATTENTION_ON_CODES, domain=FUSED)
def attention_on_codes(
    Q: Info,
    K: Info,
    V: Info,
    weight_scale: Info,
    weight_zero_point: Info | None = None,
    mask: Info | None = None,
    *,
    divisor: float = 0.0,
    factor: float = 0.0,
) -> Info:
    """The same; the softmax has one scale."""
    for info in (weight_scale, weight_zero_point):
        require(info is None or prod(info.dims) == 1, "the softmax has more than one scale")
    return fused_attention(Q, K, V, mask, divisor=divisor, factor=factor)
