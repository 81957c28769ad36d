"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import filter as filter_names
from functools import partial
from math import prod

import numpy as np

from compress_tensor import DType, Graph, InputError
from compress_tensor.graph.stored import unread
from compress_tensor.random import Generator

from .front_end import FRONT_END
from .mobile import efficientnet_b0, mobilenet_v2
from .recurrent import lstm_model
from .resnet import resnet, resnet_cifar
from .settle import settle
from .transformer import (
    BERT_BASE,
    BERT_LARGE,
    BERT_SMALL,
    VIT_BASE,
    VIT_TINY,
    Shape,
    bert,
    keyword,
    vit,
)
from .weights import Array, Initial, Seeded, Weights

_SETTLE = 4  #: images that the statistics of batch normalisations are taken from


@dataclass(frozen=True)
class Network:
    """An entry of the zoo.

    Attributes:
        make: builds the graph; image networks take ``size`` by keyword.
        what: one line for people.
        parameters: the published number; of a small network without one, what its sizes give.
        symbols: sizes for free dimensions besides the batch.
        small: whether it is meant to be trained here, and not to measure speed; `build` then gives
            it the weights that training starts from.
        image: whether its input are images, of any size.
    """

    make: Callable[..., Graph]
    what: str
    parameters: int
    symbols: tuple[tuple[str, int], ...] = ()
    small: bool = False
    image: bool = False


def _bert(shape: Shape, sequence: int) -> Callable[..., Graph]:
    return partial(bert, shape=shape, sequence=sequence)


NETWORKS: dict[str, Network] = {
    "resnet18": Network(
        partial(resnet, blocks=(2, 2, 2, 2), bottleneck=False),
        "ResNet-18, ImageNet",
        11_689_512,
        image=True,
    ),
    "resnet50": Network(
        partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True),
        "ResNet-50 (stride in the 3x3), ImageNet",
        25_557_032,
        image=True,
    ),
    "mobilenetv2": Network(mobilenet_v2, "MobileNetV2 1.0, ImageNet", 3_504_872, image=True),
    "efficientnet-b0": Network(efficientnet_b0, "EfficientNet-B0, ImageNet", 5_288_548, image=True),
    "bert-base-128": Network(
        _bert(BERT_BASE, 128), "BERT-base encoder and pooler, 128 tokens", 109_482_240
    ),
    "bert-base-384": Network(
        _bert(BERT_BASE, 384), "BERT-base encoder and pooler, 384 tokens", 109_482_240
    ),
    "bert-large-384": Network(
        _bert(BERT_LARGE, 384), "BERT-large encoder and pooler, 384 tokens", 335_141_888
    ),
    "vit-b16": Network(partial(vit, shape=VIT_BASE), "ViT-B/16, ImageNet", 86_567_656),
    "lstm-lm": Network(lstm_model, "LSTM language model, 2 x 650, 35 steps", 19_780_400),
    "resnet20": Network(
        partial(resnet_cifar, depth=20), "ResNet-20, CIFAR-10", 269_722, small=True, image=True
    ),
    "resnet32": Network(
        partial(resnet_cifar, depth=32), "ResNet-32, CIFAR-10", 464_154, small=True, image=True
    ),
    "resnet56": Network(
        partial(resnet_cifar, depth=56), "ResNet-56, CIFAR-10", 853_018, small=True, image=True
    ),
    "vit_tiny": Network(
        partial(vit, shape=VIT_TINY, size=32, patch=4, classes=10),
        "small vision transformer, CIFAR-10",
        1_806_538,
        small=True,
    ),
    "text_classifier": Network(
        partial(bert, shape=BERT_SMALL, sequence=64, vocabulary=8192, positions=64, classes=2),
        "small BERT that tells classes of text, 64 tokens",
        5_339_906,
        small=True,
    ),
    "kwt": Network(
        partial(keyword, audio=True),
        "keyword transformer KWT-1, 12 words, MFCCs inside",
        607_308,
        small=True,
    ),
    "char_lstm": Network(
        partial(lstm_model, vocabulary=65, embedding=128, hidden=128, steps="T"),
        "LSTM character model, 2 x 128",
        280_897,
        symbols=(("T", 64),),
        small=True,
    ),
}


def network(name: str) -> Network:
    """Return an entry of the zoo.

    Raises:
        InputError: if there is none of that name.
    """
    if name not in NETWORKS:
        raise InputError(f"the zoo has no {name!r}; it has {', '.join(NETWORKS)}")
    return NETWORKS[name]


def build(
    name: str, seed: int = 0, *, weights: Weights | None = None, size: int | None = None
) -> Graph:
    """Return a network with weights from ``seed``: the same bytes for the same seed.

    Args:
        name: see `NETWORKS`.
        seed: of the weights.
        weights: other initial values; batch statistics then stay 0 and 1.
        size: of the images, where the network takes any.

    Raises:
        InputError: for an unknown name, or a size where there are no images.
    """
    entry = network(name)
    if size is not None and not entry.image:
        raise InputError(f"{name} does not take images of any size")
    sized = {} if size is None else {"size": size}
    if weights is None and entry.small:
        weights = Initial(seed)
    if weights is not None:
        return entry.make(weights, **sized)
    graph = entry.make(Seeded(seed), **sized)
    return settle(graph, feeds_for(graph, _SETTLE)) if entry.image else graph


def _statistics(graph: Graph) -> list[str]:
    """Return the running means and variances."""
    nodes = [node for node in graph.nodes if node.op == "BatchNormalization"]
    return [name for node in nodes for name in node.inputs[3:]]


def feeds_for(graph: Graph, batch: int, seed: int = 1, **symbols: int) -> dict[str, Array]:
    """Return seeded inputs: normal images and states, token ids, a mask without padding.

    Args:
        graph: one of the zoo.
        batch: samples.
        seed: of the numbers.
        symbols: sizes of free dimensions besides the batch, 64 by default.
    """
    generator = Generator(seed)
    found: dict[str, Array] = {}
    for value in graph.inputs:
        sizes = {"N": batch, **symbols}
        dims = [d if isinstance(d, int) else sizes.get(str(d), 64) for d in value.shape or ()]
        if value.dtype is DType.FLOAT32:
            found[value.name] = generator.randn(*dims).numpy()
        elif "mask" in value.name:
            found[value.name] = np.ones(dims, np.int64)
        else:
            most = 2 if "type" in value.name else _vocabulary(graph, value.name)
            found[value.name] = generator.randint(0, most, dims).numpy()
    return found


def _vocabulary(graph: Graph, name: str) -> int:
    """Return how many rows the table has that an input of ids looks up."""
    for node in graph.consumers().get(name, []):
        if node.op == "Gather" and node.inputs[0] in graph.constants:
            return len(graph.constants[node.inputs[0]])
    raise InputError(f"input {name!r} looks up no table")


def parameters(graph: Graph) -> int:
    """Return the number of parameters that training changes: no statistics, shapes, front ends."""
    skip = set(_statistics(graph)) | set(filter_names(graph.constants, FRONT_END))
    return sum(
        prod(array.shape)
        for name, array in unread(graph.constants).items()
        if array.dtype == np.float32 and array.ndim and name not in skip
    )
