"""One step of training in torch, for `steps`."""

from __future__ import annotations

from typing import Any

from compress_autograd.optim import one_cycle
from compress_tensor import Graph

from . import peers_torch, peers_transformers
from .steps import SCHEDULE, Step, Task


def theirs(name: str, given: Task, threads: int, *, channels_last: bool = False) -> Step:
    """Return a function that takes one step more in torch.

    Args:
        name: of the network.
        given: what is trained.
        threads: of the process.
        channels_last: keep images and kernels so.

    Raises:
        MissingExtraError: if torch is not installed.
    """
    torch = peers_torch.import_torch()
    torch.set_num_threads(threads)
    net = _net(name, given.graph).train()
    wanted = ["input"] if name == "char_lstm" else list(given.feeds)  # states start at 0
    feeds = [torch.from_numpy(given.feeds[n]) for n in wanted]
    labels = torch.from_numpy(given.labels)
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
        feeds = [feed.contiguous(memory_format=torch.channels_last) for feed in feeds]
    optimizer = peers_torch.optimizer_of(given.recipe, net)
    rate = one_cycle(given.recipe.lr, SCHEDULE)
    clip, taken = given.recipe.clip, 0

    def step() -> float:
        nonlocal taken
        for group in optimizer.param_groups:
            group["lr"] = rate(taken)
        taken += 1
        loss: Any = torch.nn.functional.cross_entropy(net(*feeds).flatten(0, -2), labels)
        value = loss.item()
        loss.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
        optimizer.step()
        optimizer.zero_grad()
        return float(value)

    return step


def _net(name: str, graph: Graph) -> Any:
    if name in ("vit_tiny", "text_classifier"):
        return getattr(peers_transformers, name)(graph)
    return getattr(peers_torch, name)(graph).net
