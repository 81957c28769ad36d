"""Attention, rotary embeddings and linear attention."""

from __future__ import annotations

import math

import numpy as np

from ...dtype import DType
from ...errors import ShapeError
from ...graph.graph import Array
from .cast import convert
from .common import accumulated, single, to_dtype
from .registry import reference


def heads(values: Array, count: int | None, what: str) -> Array:
    """Return (batch, length, heads * size) as (batch, heads, length, size).

    Raises:
        ShapeError: if the number of heads is missing or does not fit.
    """
    if values.ndim == 4:
        return values
    if not count or values.ndim != 3 or values.shape[2] % count:
        raise ShapeError(f"{what} of shape {values.shape} does not have {count} heads")
    return values.reshape(*values.shape[:2], count, -1).transpose(0, 2, 1, 3)


def _allowed(
    queries: int,
    keys: int,
    past: int,
    valid: Array | None,
    is_causal: int,
    left: int,
    right: int,
) -> Array | None:
    """Return which keys each query may see by position: (batch or 1, 1, queries, keys)."""
    if not is_causal and left < 0 and right < 0 and valid is None:
        return None
    offset = np.array([past]) if valid is None else valid.astype(np.int64) - queries
    if past:
        offset = np.array([past])
    position = offset[:, None, None] + np.arange(queries)[None, :, None]
    key = np.arange(keys)[None, None, :]
    seen = np.ones((offset.shape[0], queries, keys), np.bool_)
    if is_causal:
        seen &= key <= position
    if left >= 0:
        seen &= key >= position - left
    if right >= 0:
        seen &= key <= position + right
    if valid is not None:
        seen = seen & (key < valid.astype(np.int64)[:, None, None])
    return seen[:, None]


@reference("Attention")
def attention(
    Q: Array,
    K: Array,
    V: Array,
    attn_mask: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    nonpad_kv_seqlen: Array | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    left_window_size: int = -1,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    right_window_size: int = -1,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
) -> tuple[Array, ...]:
    """Return softmax(Q K' * scale + mask) V, the present keys and values, and the scores."""
    held = DType.of(Q.dtype)
    q, k, v = heads(Q, q_num_heads, "Q"), heads(K, kv_num_heads, "K"), heads(V, kv_num_heads, "V")
    past = 0
    if past_key is not None and past_value is not None:
        past = past_key.shape[2]
        k, v = np.concatenate([past_key, k], axis=2), np.concatenate([past_value, v], axis=2)
    present = (k, v)
    q, k, v = single(q), single(k), single(v)
    groups = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, groups, axis=1), np.repeat(v, groups, axis=1)
    factor = 1 / math.sqrt(q.shape[3]) if scale is None else scale
    root = q.dtype.type(math.sqrt(factor))
    scores = np.matmul(q * root, (k * root).transpose(0, 1, 3, 2))
    shown = scores
    if softcap:
        cap = scores.dtype.type(softcap)
        scores = cap * np.tanh(scores / cap)
        shown = scores if qk_matmul_output_mode == 1 else shown
    queries, keys = scores.shape[2:]
    window = left_window_size, right_window_size
    seen = _allowed(queries, keys, past, nonpad_kv_seqlen, is_causal, *window)
    lowest = scores.dtype.type(-np.inf)
    if attn_mask is not None:
        mask = attn_mask
        if mask.shape[-1] < keys and mask.shape[-1] != 1:
            short = [(0, 0)] * (mask.ndim - 1) + [(0, keys - mask.shape[-1])]
            fill = False if mask.dtype == np.bool_ else -np.inf
            mask = np.pad(single(mask), short, constant_values=fill)
        if mask.dtype == np.bool_:
            seen = mask if seen is None else seen & mask
        else:
            bias = single(mask).astype(scores.dtype)
            scores = np.where(np.isneginf(bias), lowest, scores + bias)
    if seen is not None:
        scores = np.where(seen, scores, lowest)
    shown = scores if qk_matmul_output_mode == 2 else shown
    precise = scores
    if softmax_precision is not None:
        precise = single(convert(scores, DType(softmax_precision)))
    weights = _masked_softmax(precise).astype(scores.dtype)
    shown = weights if qk_matmul_output_mode == 3 else shown
    unused = (weights == 0).all(axis=2)[..., None]  # keys that nobody sees may hold NaN
    result = to_dtype(np.matmul(weights, np.where(unused, v.dtype.type(0), v)), held)
    if Q.ndim == 3:
        result = result.transpose(0, 2, 1, 3).reshape(*Q.shape[:2], -1)
    return result, *present, to_dtype(shown, held)


def _masked_softmax(scores: Array) -> Array:
    """Return the softmax of rows; a row of only -inf gives 0."""
    if scores.shape[-1] == 0:
        return scores
    top = scores.max(axis=-1, keepdims=True)
    power = np.exp(scores - np.where(np.isneginf(top), scores.dtype.type(0), top))
    total = power.sum(axis=-1, keepdims=True)
    return np.asarray(power / np.where(total == 0, scores.dtype.type(1), total))


@reference("RotaryEmbedding")
@accumulated
def rotary_embedding(
    X: Array,
    cos_cache: Array,
    sin_cache: Array,
    position_ids: Array | None = None,
    *,
    interleaved: int = 0,
    num_heads: int | None = None,
    rotary_embedding_dim: int = 0,
) -> Array:
    """Return X with pairs of features turned by angles that depend on the position."""
    x = heads(X, num_heads, "X")
    size = rotary_embedding_dim or x.shape[3]
    cos, sin = cos_cache, sin_cache
    if position_ids is not None:
        cos, sin = cos[position_ids], sin[position_ids]
    cos, sin = cos[:, None, :, : size // 2], sin[:, None, :, : size // 2]
    turned, rest = x[..., :size], x[..., size:]
    if interleaved:
        a, b = turned[..., 0::2], turned[..., 1::2]
    else:
        a, b = turned[..., : size // 2], turned[..., size // 2 :]
    real, imaginary = cos * a - sin * b, sin * a + cos * b
    if interleaved:
        turned = np.stack([real, imaginary], axis=-1).reshape(turned.shape)
    else:
        turned = np.concatenate([real, imaginary], axis=-1)
    result = np.concatenate([turned, rest], axis=-1)
    if X.ndim == 3:
        return result.transpose(0, 2, 1, 3).reshape(X.shape)
    return result


@reference("LinearAttention")
@accumulated
def linear_attention(
    query: Array,
    key: Array,
    value: Array,
    past_state: Array | None = None,
    decay: Array | None = None,
    beta: Array | None = None,
    *,
    q_num_heads: int,
    kv_num_heads: int,
    chunk_size: int = 64,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
) -> tuple[Array, Array]:
    """Return queries answered by a state that every key and value updates, and the state."""
    q, k, v = (
        heads(query, q_num_heads, "query"),
        heads(key, kv_num_heads, "key"),
        heads(value, kv_num_heads, "value"),
    )
    batch, _, steps, width = k.shape
    if update_rule not in ("linear", "gated", "delta", "gated_delta"):
        raise ShapeError(f"update_rule {update_rule!r} is unknown")
    state = past_state
    if state is None:
        state = np.zeros((batch, kv_num_heads, width, v.shape[3]), q.dtype)
    gate = None
    if "gated" in update_rule:
        if decay is None:
            raise ShapeError(f"update_rule {update_rule!r} needs decay")
        gate = np.exp(decay.reshape(batch, steps, kv_num_heads, -1))
    factor = q.dtype.type(scale or 1 / math.sqrt(q.shape[3]))
    groups = q_num_heads // kv_num_heads
    outputs = []
    for t in range(steps):
        if gate is not None:
            state = state * gate[:, t, :, :, None]
        new = v[:, :, t]
        if "delta" in update_rule:
            if beta is None:
                raise ShapeError(f"update_rule {update_rule!r} needs beta")
            recalled = np.matmul(k[:, :, t, None, :], state)[:, :, 0]
            new = (new - recalled) * beta[:, t, :, None]
        state = state + k[:, :, t, :, None] * new[:, :, None, :]
        shared = np.repeat(state, groups, axis=1)
        outputs.append(np.matmul(q[:, :, t, None, :], shared)[:, :, 0] * factor)
    result = np.stack(outputs, axis=1)
    return result.reshape(batch, steps, -1), state
