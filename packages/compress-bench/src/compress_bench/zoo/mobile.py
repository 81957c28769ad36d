"""MobileNetV2 and EfficientNet-B0: inverted residuals with depthwise convolutions.

MobileNetV2: Sandler et al., 2018, table 2, https://arxiv.org/abs/1801.04381.
EfficientNet: Tan and Le, 2019, table 1, https://arxiv.org/abs/1905.11946; squeeze and excitation
to a quarter of the block's input channels, x * sigmoid(x) as activation.
"""

from __future__ import annotations

from dataclasses import dataclass

from compress_tensor import Graph, Symbol

from .layers import Layers
from .weights import Weights


@dataclass(frozen=True)
class Stage:
    """A row of the papers' tables."""

    expansion: int
    channels: int
    count: int
    stride: int
    kernel: int = 3


MOBILENETV2 = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
EFFICIENTNET_B0 = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 40, 2, 2, 5),
    Stage(6, 80, 3, 2),
    Stage(6, 112, 3, 1, 5),
    Stage(6, 192, 4, 2, 5),
    Stage(6, 320, 1, 1),
)


def mobilenet_v2(weights: Weights, *, size: int = 224) -> Graph:
    """Return MobileNetV2 1.0 for 1000 classes."""
    net = _Mobile("mobilenetv2", weights, efficient=False)
    return net.build(MOBILENETV2, size)


def efficientnet_b0(weights: Weights, *, size: int = 224) -> Graph:
    """Return EfficientNet-B0 for 1000 classes."""
    net = _Mobile("efficientnet-b0", weights, efficient=True)
    return net.build(EFFICIENTNET_B0, size)


class _Mobile:
    """What both networks have in common."""

    def __init__(self, name: str, weights: Weights, *, efficient: bool) -> None:
        self.net = Layers(name, weights)
        self.efficient = efficient
        self.number = 0

    def build(self, stages: tuple[Stage, ...], size: int) -> Graph:
        x = self._conv(self.net.image(size), "features.0", 32, 3, 2)
        for stage in stages:
            for n in range(stage.count):
                self.number += 1
                x = self._block(x, stage, stage.stride if n == 0 else 1)
        x = self._conv(x, f"features.{self.number + 1}", 1280, 1)
        return self.net.finish(self.net.classifier(self.net.pooled(x), "classifier", 1000))

    def _block(self, x: Symbol, stage: Stage, stride: int) -> Symbol:
        assert x.shape is not None
        (before,) = (d for d in x.shape[1:2] if isinstance(d, int))
        name, wide = f"features.{self.number}", before * stage.expansion
        y = x if stage.expansion == 1 else self._conv(x, f"{name}.expand", wide, 1)
        y = self._conv(y, f"{name}.depthwise", wide, stage.kernel, stride, wide)
        if self.efficient:
            y = self._excite(y, f"{name}.se", max(1, before // 4))
        y = self.net.conv(y, f"{name}.project", stage.channels, 1)
        y = self.net.batch_norm(y, f"{name}.project.bn")
        return x + y if stride == 1 and before == stage.channels else y

    def _excite(self, x: Symbol, name: str, squeezed: int) -> Symbol:
        """Append squeeze and excitation (Hu, Shen and Sun, 2018)."""
        assert x.shape is not None
        (channels,) = (d for d in x.shape[1:2] if isinstance(d, int))
        mean = self.net.builder.global_average_pool(x)
        s = self._activation(self.net.conv(mean, f"{name}.fc1", squeezed, 1, bias=True))
        s = self.net.conv(s, f"{name}.fc2", channels, 1, bias=True)
        made: Symbol = x * self.net.builder.sigmoid(s)
        return made

    def _conv(
        self, x: Symbol, name: str, channels: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> Symbol:
        y = self.net.conv(x, name, channels, kernel, stride, groups)
        return self._activation(self.net.batch_norm(y, f"{name}.bn"))

    def _activation(self, x: Symbol) -> Symbol:
        if self.efficient:
            x = x * self.net.builder.sigmoid(x)
        else:
            x = self.net.builder.clip(x, 0.0, 6.0)
        return x
