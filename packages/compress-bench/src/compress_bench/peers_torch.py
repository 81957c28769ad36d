"""Training in torch, the same as in ours: same initial weights, batches, rates and steps.

The networks are written as one writes them in torch; weights are copied in, and back into the
graph at the end, which is then measured as ours is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from compress_autograd.data import Batch
from compress_autograd.optim import one_cycle
from compress_tensor import Graph, MissingExtraError

from .runtimes import Array
from .training.material import Material
from .training.recipes import Kind, Recipe

#: rows of the gates: input, output, forget, cell in ONNX; input, forget, cell, output in torch
_TO_TORCH, _TO_ONNX = (0, 2, 3, 1), (0, 3, 1, 2)


def train_torch(
    material: Material, recipe: Recipe, epochs: int, threads: int, report: Callable[[str], None]
) -> tuple[Graph, float]:
    """Train in torch.

    Returns:
        The graph with the weights that came out, and seconds of training.

    Raises:
        MissingExtraError: if torch is not installed.
    """
    torch = import_torch()
    torch.set_num_threads(threads)
    recurrent = recipe.kind is Kind.CHARACTERS
    twin = (char_lstm if recurrent else resnet20)(material.graph)
    net, loader = twin.net, material.loader
    optimizer = optimizer_of(recipe, net)
    schedule = one_cycle(recipe.lr, epochs * len(loader))
    net.train()
    start, step = time.perf_counter(), 0
    for epoch in range(epochs):
        total = 0.0
        for batch in loader.epoch(epoch):
            for group in optimizer.param_groups:
                group["lr"] = schedule(step)
            loss = _loss_of_characters(net, batch) if recurrent else _loss(net, batch)
            optimizer.zero_grad()
            loss.backward()
            if recipe.clip is not None:
                torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
            optimizer.step()
            total += loss.item()
            step += 1
        report(f"epoch {epoch + 1}: loss {total / len(loader):.4f}")
    seconds = time.perf_counter() - start
    found = material.graph.copy()
    found.constants.update(twin.back())
    return found, seconds


def import_torch() -> Any:
    """Return torch.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            "torch is not installed, there is nothing to compare with; "
            "install compress-bench[rivals]"
        ) from error
    return torch


class Twin:
    """A network in torch and the way back.

    Attributes:
        net: a torch module.
        back: returns the constants of the graph as they are now.
    """

    def __init__(self, net: Any, back: Callable[[], Mapping[str, Array]]) -> None:
        self.net = net
        self.back = back


def optimizer_of(recipe: Recipe, net: Any) -> Any:
    """Return the optimizer of a recipe for a module."""
    import torch

    held = list(net.parameters())
    groups = [
        {"params": [p for p in held if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in held if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if recipe.sgd:
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=recipe.lr)


def _loss(net: Any, batch: Batch) -> Any:
    import torch

    assert batch.labels is not None
    scores = net(torch.from_numpy(batch.inputs))
    return torch.nn.functional.cross_entropy(scores, torch.from_numpy(batch.labels))


def _loss_of_characters(net: Any, batch: Batch) -> Any:
    import torch

    ids = torch.from_numpy(batch.inputs)
    scores = net(ids[:, :-1])
    return torch.nn.functional.cross_entropy(scores.flatten(0, 1), ids[:, 1:].reshape(-1))


def resnet20(graph: Graph) -> Twin:
    """Return a ResNet-20 with the weights of a graph, whose names are torch's."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self, before: int, width: int) -> None:
            super().__init__()
            self.stride = 1 if before == width else 2
            self.conv1 = nn.Conv2d(before, width, 3, self.stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)

        def forward(self, x: Any) -> Any:
            y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
            if self.stride == 2:
                side = x.shape[1] // 2
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, side, side))
            return functional.relu(x + y)

    class ResNet20(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(16)
            self.layer1 = nn.Sequential(*(Block(16, 16) for _ in range(3)))
            self.layer2 = nn.Sequential(Block(16, 32), Block(32, 32), Block(32, 32))
            self.layer3 = nn.Sequential(Block(32, 64), Block(64, 64), Block(64, 64))
            self.linear = nn.Linear(64, 10)

        def forward(self, x: Any) -> Any:
            x = self.layer3(self.layer2(self.layer1(functional.relu(self.bn1(self.conv1(x))))))
            return self.linear(x.mean((2, 3)))

    net = ResNet20()
    known = net.state_dict()
    names = [name for name in known if not name.endswith("num_batches_tracked")]
    # A name that is missing in the graph, or a shape that differs, ends here.
    net.load_state_dict(
        {n: torch.from_numpy(graph.constants[n].copy()) for n in names}
        | {n: known[n] for n in known if n not in names}
    )
    return Twin(net, lambda: {n: net.state_dict()[n].numpy().copy() for n in names})


def char_lstm(graph: Graph) -> Twin:
    """Return a character model of two LSTM layers with the weights of a graph."""
    import torch
    from torch import nn

    held = graph.constants
    vocabulary, width = held["embedding.weight"].shape
    hidden = held["lstm0.R"].shape[2]

    class CharLSTM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(vocabulary, width)
            self.lstm = nn.LSTM(width, hidden, 2, batch_first=True)
            self.decoder = nn.Linear(hidden, vocabulary)

        def forward(self, ids: Any) -> Any:
            return self.decoder(self.lstm(self.embedding(ids))[0])

    net = CharLSTM()
    named = dict(net.named_parameters())

    def put(name: str, array: Array) -> None:
        with torch.no_grad():
            named[name].copy_(torch.from_numpy(np.ascontiguousarray(array)))

    put("embedding.weight", held["embedding.weight"])
    put("decoder.weight", held["decoder.weight"].T)
    put("decoder.bias", held["decoder.bias"])
    for n in range(2):
        put(f"lstm.weight_ih_l{n}", _gates(held[f"lstm{n}.W"][0], _TO_TORCH))
        put(f"lstm.weight_hh_l{n}", _gates(held[f"lstm{n}.R"][0], _TO_TORCH))
        for part, name in zip(np.split(held[f"lstm{n}.B"][0], 2), ("ih", "hh"), strict=True):
            put(f"lstm.bias_{name}_l{n}", _gates(part, _TO_TORCH))

    def back() -> dict[str, Array]:
        now = {name: p.detach().numpy().copy() for name, p in named.items()}
        found = {
            "embedding.weight": now["embedding.weight"],
            "decoder.weight": np.ascontiguousarray(now["decoder.weight"].T),
            "decoder.bias": now["decoder.bias"],
        }
        for n in range(2):
            found[f"lstm{n}.W"] = _gates(now[f"lstm.weight_ih_l{n}"], _TO_ONNX)[None]
            found[f"lstm{n}.R"] = _gates(now[f"lstm.weight_hh_l{n}"], _TO_ONNX)[None]
            biases = [_gates(now[f"lstm.bias_{name}_l{n}"], _TO_ONNX) for name in ("ih", "hh")]
            found[f"lstm{n}.B"] = np.concatenate(biases)[None]
        return found

    return Twin(net, back)


def _gates(array: Array, order: tuple[int, ...]) -> Array:
    """Return the four blocks of rows in another order."""
    parts = np.split(array, 4)
    return np.concatenate([parts[n] for n in order])
