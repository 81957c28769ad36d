"""Transformers: BERT, the vision transformer, the keyword transformer, and small ones to train.

BERT: Devlin et al., 2019 (https://arxiv.org/abs/1810.04805), as Hugging Face's BertModel exports.
ViT: Dosovitskiy et al., 2021 (https://arxiv.org/abs/2010.11929), as timm's: q, k, v in one product.
KWT: Berg, O'Connor and Cruz, 2021 (https://arxiv.org/abs/2104.00769): no biases in q, k, v.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from compress_tensor import DType, Graph, Symbol

from .front_end import SECOND, mfcc
from .layers import BATCH, Layers
from .weights import Weights


@dataclass(frozen=True)
class Shape:
    """Sizes of a transformer; the width of a head is ``width / heads``."""

    layers: int
    width: int
    heads: int
    inner: int


BERT_BASE = Shape(12, 768, 12, 3072)
BERT_LARGE = Shape(24, 1024, 16, 4096)
BERT_SMALL = Shape(4, 256, 4, 1024)
VIT_BASE = Shape(12, 768, 12, 3072)
VIT_TINY = Shape(6, 192, 3, 384)
KWT_1 = Shape(12, 64, 1, 256)


def bert(
    weights: Weights,
    shape: Shape,
    sequence: int,
    *,
    vocabulary: int = 30522,
    positions: int = 512,
    classes: int = 0,
) -> Graph:
    """Return a BERT encoder with its pooler.

    Inputs: int64 ``input_ids``, ``attention_mask`` (1: a token, 0: padding) and
    ``token_type_ids``, each (N, sequence).  Outputs: ``last_hidden_state`` (N, sequence, width)
    and ``pooler_output`` (N, width); with ``classes`` only ``output`` (N, classes).
    """
    net = Layers("bert", weights)
    b, width = net.builder, shape.width
    ids, mask, types = (
        b.input(name, DType.INT64, (BATCH, sequence))
        for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    words = net.parameter("embeddings.word.weight", weights.normal((vocabulary, width)))
    places = net.parameter("embeddings.position.weight", weights.normal((positions, width)))
    kinds = net.parameter("embeddings.token_type.weight", weights.normal((2, width)))
    x = b.gather(words, ids) + b.gather(kinds, types)
    x = x + b.gather(places, np.arange(sequence, dtype=np.int64)[None])
    x = net.layer_norm(x, "embeddings.norm", 1e-12)
    keep = b.cast(b.unsqueeze(mask, np.array([1, 2], np.int64)), to=int(DType.FLOAT32))
    bias = (1.0 - keep) * float(np.finfo(np.float32).min)
    for n in range(shape.layers):
        x = _post_norm(net, x, shape, f"layer.{n}", 1e-12, bias=True, mask=bias)
    first = b.gather(x, np.array(0, np.int64), axis=1)
    pooled = b.tanh(net.classifier(first, "pooler", width))
    if classes:
        return net.finish(net.classifier(pooled, "classifier", classes))
    b.output("last_hidden_state", x)
    b.output("pooler_output", pooled)
    return b.graph()


def vit(
    weights: Weights, shape: Shape, *, size: int = 224, patch: int = 16, classes: int = 1000
) -> Graph:
    """Return a vision transformer: class token, learnt positions, pre-norm."""
    net = Layers("vit", weights)
    b, width, count = net.builder, shape.width, (size // patch) ** 2
    x = net.image(size)
    # Patches become tokens by a convolution without overlap.
    kernel = weights.normal((width, 3, patch, patch), (3 * patch * patch) ** -0.5)
    x = b.conv(
        x,
        net.parameter("patch_embed.weight", kernel),
        net.parameter("patch_embed.bias", np.zeros(width, np.float32)),
        kernel_shape=[patch, patch],
        strides=[patch, patch],
    )
    x = b.transpose(b.reshape(x, np.array([0, width, count], np.int64)), perm=[0, 2, 1])
    x = _with_token(net, x, width)
    x = x + net.parameter("pos_embed", weights.normal((1, count + 1, width)))
    for n in range(shape.layers):
        name = f"blocks.{n}"
        y = net.layer_norm(x, f"{name}.norm1", 1e-6)
        x = x + net.linear(_packed_attention(net, y, shape, name), f"{name}.attn.proj", width)
        y = net.linear(net.layer_norm(x, f"{name}.norm2", 1e-6), f"{name}.mlp.fc1", shape.inner)
        x = x + net.linear(net.gelu(y), f"{name}.mlp.fc2", width)
    first = b.gather(net.layer_norm(x, "norm", 1e-6), np.array(0, np.int64), axis=1)
    return net.finish(net.classifier(first, "head", classes))


def keyword(
    weights: Weights,
    shape: Shape = KWT_1,
    *,
    frames: int = 98,
    bands: int = 40,
    classes: int = 12,
    audio: bool = False,
) -> Graph:
    """Return a keyword transformer on MFCCs (N, frames, bands); each frame is a patch.

    With ``audio`` the input is one second at 16 kHz (N, 16000), the MFCCs computed inside.
    """
    net = Layers("kwt", weights)
    b, width = net.builder, shape.width
    given = (BATCH, SECOND) if audio else (BATCH, frames, bands)
    x = b.input("input", DType.FLOAT32, given)
    if audio:
        x = mfcc(net, x, frames, bands)
    x = _with_token(net, net.linear(x, "embed", width), width)
    x = x + net.parameter("pos_embed", weights.normal((1, frames + 1, width)))
    for n in range(shape.layers):
        x = _post_norm(net, x, shape, f"layer.{n}", 1e-6, bias=False)
    return net.finish(net.classifier(b.gather(x, np.array(0, np.int64), axis=1), "head", classes))


def _with_token(net: Layers, x: Symbol, width: int) -> Symbol:
    """Return the tokens with a learnt one before them."""
    b = net.builder
    token = net.parameter("cls_token", net.weights.normal((1, 1, width)))
    batch = b.shape(x, start=0, end=1)
    target = b.concat(batch, np.array([1, width], np.int64), axis=0)
    made: Symbol = b.concat(b.expand(token, target), x, axis=1)
    return made


def _post_norm(
    net: Layers,
    x: Symbol,
    shape: Shape,
    name: str,
    epsilon: float,
    *,
    bias: bool,
    mask: Symbol | None = None,
) -> Symbol:
    """Append a block: attention, sum, norm, two products with GELU, sum, norm."""
    y = _attention(net, x, shape, f"{name}.attention", bias=bias, mask=mask)
    y = net.linear(y, f"{name}.attention.output", shape.width)
    x = net.layer_norm(y + x, f"{name}.attention.norm", epsilon)
    y = net.gelu(net.linear(x, f"{name}.intermediate", shape.inner))
    y = net.linear(y, f"{name}.output", shape.width)
    return net.layer_norm(y + x, f"{name}.norm", epsilon)


def _attention(
    net: Layers, x: Symbol, shape: Shape, name: str, *, bias: bool, mask: Symbol | None
) -> Symbol:
    """Append attention (Vaswani et al., 2017, section 3.2): (N, tokens, width) as the input."""
    b, head = net.builder, shape.width // shape.heads

    def heads(part: str, perm: list[int]) -> Symbol:
        y = net.linear(x, f"{name}.{part}", shape.width, bias=bias)
        y = b.reshape(y, np.array([0, 0, shape.heads, head], np.int64))
        made: Symbol = b.transpose(y, perm=perm)
        return made

    q, k, v = heads("query", [0, 2, 1, 3]), heads("key", [0, 2, 3, 1]), heads("value", [0, 2, 1, 3])
    scores = (q @ k) / float(np.sqrt(head))
    if mask is not None:
        scores = scores + mask
    return _merged(net, b.softmax(scores, axis=-1) @ v, shape.width)


def _packed_attention(net: Layers, x: Symbol, shape: Shape, name: str) -> Symbol:
    """Append attention with one product for q, k and v."""
    assert x.shape is not None
    b, head, tokens = net.builder, shape.width // shape.heads, x.shape[1]
    y = net.linear(x, f"{name}.attn.qkv", 3 * shape.width)
    y = b.reshape(y, np.array([0, tokens, 3, shape.heads, head], np.int64))
    y = b.transpose(y, perm=[2, 0, 3, 1, 4])
    parts = b.split(y, axis=0, num_outputs=3, n_outputs=3)
    q, k, v = (b.squeeze(part, np.array([0], np.int64)) for part in parts)
    scores = (q * float(head**-0.5)) @ b.transpose(k, perm=[0, 1, 3, 2])
    return _merged(net, b.softmax(scores, axis=-1) @ v, shape.width)


def _merged(net: Layers, y: Symbol, width: int) -> Symbol:
    made: Symbol = net.builder.reshape(
        net.builder.transpose(y, perm=[0, 2, 1, 3]), np.array([0, 0, width], np.int64)
    )
    return made
