"""The layers that networks are written with: a Builder that also makes the parameters.

Parameters bear PyTorch's names (``layer1.0.conv1.weight``), so that one knows where one is.
"""

from __future__ import annotations

import numpy as np

from compress_tensor import Builder, DType, Graph, Symbol

from .weights import Array, Weights

BATCH = "N"  #: the free dimension of every network


class Layers:
    """A network that is being written.

    Args:
        name: of the graph.
        weights: where parameters come from.

    Attributes:
        builder: for operators without parameters.
        weights: where parameters come from.
    """

    def __init__(self, name: str, weights: Weights) -> None:
        self.builder = Builder(name)
        self.weights = weights

    def image(self, size: int, channels: int = 3) -> Symbol:
        """Declare the input ``input``: float32 images (N, channels, size, size)."""
        return self.builder.input("input", DType.FLOAT32, (BATCH, channels, size, size))

    def finish(self, output: Symbol) -> Graph:
        """Return the network with the one output ``output``."""
        self.builder.output("output", output)
        return self.builder.graph()

    def parameter(self, name: str, value: Array) -> Symbol:
        """Add a parameter."""
        return self.builder.constant(value, name)

    def conv(
        self,
        x: Symbol,
        name: str,
        channels: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        *,
        bias: bool = False,
    ) -> Symbol:
        """Append a square convolution, padded so that stride 1 keeps the size."""
        assert x.shape is not None
        before = x.shape[1]
        assert isinstance(before, int)
        shape = (channels, before // groups, kernel, kernel)
        inputs = [x, self.parameter(f"{name}.weight", self.weights.he(shape))]
        if bias:
            inputs.append(self.parameter(f"{name}.bias", np.zeros(channels, np.float32)))
        made: Symbol = self.builder.conv(
            *inputs,
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[(kernel - 1) // 2] * 4,
            group=groups,
            name=name,
        )
        return made

    def batch_norm(self, x: Symbol, name: str, epsilon: float = 1e-5) -> Symbol:
        """Append a batch normalisation with scales near 1, shifts near 0, statistics 0 and 1.

        `settle` replaces the statistics by those of data.
        """
        assert x.shape is not None
        (channels,) = (d for d in x.shape[1:2] if isinstance(d, int))
        made: Symbol = self.builder.batch_normalization(
            x,
            self.parameter(f"{name}.weight", self.weights.around([channels], 1.0, 0.1)),
            self.parameter(f"{name}.bias", self.weights.around([channels], 0.0, 0.1)),
            self.parameter(f"{name}.running_mean", np.zeros(channels, np.float32)),
            self.parameter(f"{name}.running_var", np.ones(channels, np.float32)),
            epsilon=epsilon,
            name=name,
        )
        return made

    def layer_norm(self, x: Symbol, name: str, epsilon: float) -> Symbol:
        """Append a layer normalisation over the last axis."""
        assert x.shape is not None
        (width,) = (d for d in x.shape[-1:] if isinstance(d, int))
        made: Symbol = self.builder.layer_normalization(
            x,
            self.parameter(f"{name}.weight", self.weights.around([width], 1.0, 0.1)),
            self.parameter(f"{name}.bias", self.weights.around([width], 0.0, 0.1)),
            axis=-1,
            epsilon=epsilon,
            name=name,
        )
        return made

    def linear(self, x: Symbol, name: str, width: int, *, bias: bool = True) -> Symbol:
        """Append a product with a matrix, of the last axis, as exporters write it."""
        assert x.shape is not None
        (before,) = (d for d in x.shape[-1:] if isinstance(d, int))
        weight = self.parameter(f"{name}.weight", self.weights.normal((before, width)))
        made: Symbol = self.builder.apply("MatMul", x, weight, name=name)
        if not bias:
            return made
        return made + self.parameter(f"{name}.bias", self.weights.around([width], 0.0, 0.02))

    def classifier(self, x: Symbol, name: str, classes: int) -> Symbol:
        """Append the last layer on (N, features): a Gemm with the weight transposed."""
        assert x.shape is not None
        (before,) = (d for d in x.shape[1:] if isinstance(d, int))
        # Of a size that spreads the logits by about 1.
        weight = self.weights.normal((classes, before), (1 / before) ** 0.5)
        made: Symbol = self.builder.gemm(
            x,
            self.parameter(f"{name}.weight", weight),
            self.parameter(f"{name}.bias", np.zeros(classes, np.float32)),
            transB=1,
            name=name,
        )
        return made

    def gelu(self, x: Symbol) -> Symbol:
        """Append GELU as PyTorch exports it before opset 20: with Erf."""
        inner: Symbol = self.builder.erf(x / float(np.sqrt(2)))
        return x * (inner + 1.0) * 0.5

    def pooled(self, x: Symbol) -> Symbol:
        """Append the mean over height and width, as (N, channels)."""
        made: Symbol = self.builder.flatten(self.builder.global_average_pool(x), axis=1)
        return made
