"""The small transformers of the zoo in torch, as one writes them there.

Modules carry the names of the graph's constants, so that weights find their places by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from compress_tensor import Graph

from .runtimes import Array
from .zoo.transformer import BERT_SMALL, VIT_TINY


def vit_tiny(graph: Graph) -> Any:
    """Return a vision transformer with the weights of a graph: pre-norm, q, k, v in one."""
    import torch
    from torch import nn
    from torch.nn import functional

    width, heads = VIT_TINY.width, VIT_TINY.heads

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv = nn.Linear(width, 3 * width)
            self.proj = nn.Linear(width, width)

        def forward(self, x: Any) -> Any:
            n, tokens, _ = x.shape
            packed = self.qkv(x).reshape(n, tokens, 3, heads, width // heads)
            q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)
            y = functional.scaled_dot_product_attention(q, k, v)
            return self.proj(y.transpose(1, 2).reshape(n, tokens, width))

    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = nn.Linear(width, VIT_TINY.inner)
            self.fc2 = nn.Linear(VIT_TINY.inner, width)

        def forward(self, x: Any) -> Any:
            return self.fc2(functional.gelu(self.fc1(x)))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
            self.attn, self.mlp = Attention(), Mlp()

        def forward(self, x: Any) -> Any:
            x = x + self.attn(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class ViT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            _, tokens, _ = graph.constants["pos_embed"].shape
            self.patch_embed = nn.Conv2d(3, width, 4, 4)
            self.cls_token = nn.Parameter(torch.empty(1, 1, width))
            self.pos_embed = nn.Parameter(torch.empty(1, tokens, width))
            self.blocks = nn.ModuleList(Block() for _ in range(VIT_TINY.layers))
            self.norm = nn.LayerNorm(width, eps=1e-6)
            self.head = nn.Linear(width, len(graph.constants["head.bias"]))

        def forward(self, x: Any) -> Any:
            x = self.patch_embed(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x)[:, 0])

    return _filled(ViT(), graph)


def text_classifier(graph: Graph) -> Any:
    """Return a BERT that tells classes with the weights of a graph: post-norm."""
    import torch
    from torch import nn
    from torch.nn import functional

    width, heads = BERT_SMALL.width, BERT_SMALL.heads

    class Embeddings(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            rows = {n: len(graph.constants[f"embeddings.{n}.weight"]) for n in ("word", "position")}
            self.word = nn.Embedding(rows["word"], width)
            self.position = nn.Embedding(rows["position"], width)
            self.token_type = nn.Embedding(2, width)
            self.norm = nn.LayerNorm(width, eps=1e-12)

        def forward(self, ids: Any, types: Any) -> Any:
            places = self.position(torch.arange(ids.shape[1]))
            return self.norm(self.word(ids) + self.token_type(types) + places)

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.output = (
                nn.Linear(width, width) for _ in range(4)
            )
            self.norm = nn.LayerNorm(width, eps=1e-12)

        def forward(self, x: Any, seen: Any) -> Any:
            n, tokens, _ = x.shape
            q, k, v = (
                part(x).view(n, tokens, heads, width // heads).transpose(1, 2)
                for part in (self.query, self.key, self.value)
            )
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
            return self.norm(self.output(y.transpose(1, 2).reshape(n, tokens, width)) + x)

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = Attention()
            self.intermediate = nn.Linear(width, BERT_SMALL.inner)
            self.output = nn.Linear(BERT_SMALL.inner, width)
            self.norm = nn.LayerNorm(width, eps=1e-12)

        def forward(self, x: Any, seen: Any) -> Any:
            x = self.attention(x, seen)
            return self.norm(self.output(functional.gelu(self.intermediate(x))) + x)

    class Bert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = Embeddings()
            self.layer = nn.ModuleList(Layer() for _ in range(BERT_SMALL.layers))
            self.pooler = nn.Linear(width, width)
            self.classifier = nn.Linear(width, len(graph.constants["classifier.bias"]))

        def forward(self, ids: Any, mask: Any, types: Any) -> Any:
            x, seen = self.embeddings(ids, types), mask.bool()[:, None, None]
            for layer in self.layer:
                x = layer(x, seen)
            return self.classifier(torch.tanh(self.pooler(x[:, 0])))

    return _filled(Bert(), graph)


def _filled(net: Any, graph: Graph) -> Any:
    """Return a module with the graph's weights; matrices of MatMul lie the other way round."""
    import torch

    products = {node.inputs[1] for node in graph.nodes if node.op == "MatMul"}

    def seen(name: str) -> Array:
        array: Array = graph.constants[name]
        return np.ascontiguousarray(array.T if name in products else array)

    # A shape that differs ends here.
    net.load_state_dict({n: torch.from_numpy(seen(n).copy()) for n, _ in net.named_parameters()})
    return net
