"""ResNet for ImageNet and for CIFAR (He, Zhang, Ren and Sun, 2016, tables 1 and 6).

The ImageNet form has its stride in the 3x3 convolution of a bottleneck, as torchvision's.
The CIFAR form has shortcuts without parameters (option A): every second pixel, zero channels.
https://arxiv.org/abs/1512.03385
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from compress_tensor import Graph, Symbol

from .layers import Layers
from .weights import Weights

EXPANSION = 4


def resnet(weights: Weights, blocks: Sequence[int], *, bottleneck: bool, size: int = 224) -> Graph:
    """Return a ResNet for 1000 classes; ``blocks``: how many in each of the four stages."""
    net = Layers("resnet", weights)
    x = net.batch_norm(net.conv(net.image(size), "conv1", 64, 7, 2), "bn1")
    x = net.builder.relu(x)
    x = net.builder.max_pool(x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage and not block else 1
            make = _bottleneck if bottleneck else _basic
            x = make(net, x, f"layer{stage + 1}.{block}", 64 << stage, stride)
    return net.finish(net.classifier(net.pooled(x), "fc", 1000))


def _basic(net: Layers, x: Symbol, name: str, width: int, stride: int) -> Symbol:
    shortcut = _projected(net, x, name, width, stride)
    y = net.batch_norm(net.conv(x, f"{name}.conv1", width, 3, stride), f"{name}.bn1")
    y = net.batch_norm(net.conv(net.builder.relu(y), f"{name}.conv2", width, 3), f"{name}.bn2")
    return _sum(net, y, shortcut)


def _bottleneck(net: Layers, x: Symbol, name: str, width: int, stride: int) -> Symbol:
    shortcut = _projected(net, x, name, width * EXPANSION, stride)
    y = net.batch_norm(net.conv(x, f"{name}.conv1", width, 1), f"{name}.bn1")
    y = net.conv(net.builder.relu(y), f"{name}.conv2", width, 3, stride)
    y = net.builder.relu(net.batch_norm(y, f"{name}.bn2"))
    y = net.batch_norm(net.conv(y, f"{name}.conv3", width * EXPANSION, 1), f"{name}.bn3")
    return _sum(net, y, shortcut)


def _sum(net: Layers, y: Symbol, shortcut: Symbol) -> Symbol:
    made: Symbol = net.builder.relu(y + shortcut)
    return made


def _projected(net: Layers, x: Symbol, name: str, width: int, stride: int) -> Symbol:
    """Return the shortcut: the input itself, or projected where its shape changes (option B)."""
    assert x.shape is not None
    if stride == 1 and x.shape[1] == width:
        return x
    y = net.conv(x, f"{name}.downsample.0", width, 1, stride)
    return net.batch_norm(y, f"{name}.downsample.1")


def resnet_cifar(weights: Weights, depth: int, *, size: int = 32, classes: int = 10) -> Graph:
    """Return a ResNet of 6 n + 2 layers."""
    net = Layers(f"resnet{depth}", weights)
    x = net.batch_norm(net.conv(net.image(size), "conv1", 16, 3), "bn1")
    x = net.builder.relu(x)
    for stage in range(3):
        for block in range((depth - 2) // 6):
            stride = 2 if stage and not block else 1
            width, name = 16 << stage, f"layer{stage + 1}.{block}"
            shortcut = _every_second(net, x, width) if stride == 2 else x
            y = net.batch_norm(net.conv(x, f"{name}.conv1", width, 3, stride), f"{name}.bn1")
            y = net.conv(net.builder.relu(y), f"{name}.conv2", width, 3)
            x = _sum(net, net.batch_norm(y, f"{name}.bn2"), shortcut)
    return net.finish(net.classifier(net.pooled(x), "linear", classes))


def _every_second(net: Layers, x: Symbol, width: int) -> Symbol:
    """Return every second pixel, channels filled up with zeros on both sides."""
    ends = np.iinfo(np.int64).max
    y = net.builder.slice(
        x,
        np.array([0, 0], np.int64),
        np.array([ends, ends], np.int64),
        np.array([2, 3], np.int64),
        np.array([2, 2], np.int64),
    )
    side = width // 4
    made: Symbol = net.builder.pad(y, np.array([0, side, 0, 0, 0, side, 0, 0], np.int64), 0.0)
    return made
