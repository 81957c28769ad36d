"""Random networks with a bound on the rounding error of every value.

The first dimension is the batch: no operator mixes its rows.  A value's bound comes from the
number of additions behind it.  With u = 2**-24, a product over k terms computed in any order
differs from the real number by at most (k + 2) u sum |a b| (Higham, 2002, section 3.1), and what
its inputs are off by grows by at most the operator's Lipschitz constant in the largest norm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from compress_tensor import DType, Graph, Node, Value
from compress_tensor.backend.reference.registry import evaluate

U = 2.0**-24
MOST_ELEMENTS = 3000  # of a value
LARGEST = 1e3  # magnitude of a value


@dataclass
class Network:
    """Nodes so far, what every value holds, and how far from the real number that may be."""

    rng: np.random.Generator
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)

    def size(self, name: str) -> float:
        """Return the largest magnitude of a value."""
        return float(np.abs(self.arrays[name]).max(initial=0))

    def constant(self, array: Any) -> str:
        """Return the name of a new constant."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def floats(self, *shape: int) -> np.ndarray:
        """Return normal numbers."""
        return self.rng.standard_normal(shape).astype(np.float32)

    def any_of(self, items: Sequence[Any]) -> Any:
        """Return one of them."""
        return items[int(self.rng.integers(len(items)))]

    def like(self, name: str) -> str:
        """Return a value of the same shape, perhaps the same."""
        shape = self.arrays[name].shape
        return str(self.any_of([n for n, a in self.arrays.items() if a.shape == shape]))

    def emit(
        self, op: str, inputs: list[str], error: float, outputs: int = 1, **given: Any
    ) -> None:
        """Add a node unless its values would be too large; ``error`` is its bound."""
        arrays = [self.constants[n] if n in self.constants else self.arrays[n] for n in inputs]
        found = evaluate(op, arrays, given, outputs)[:outputs]
        # Doubled: the interpreter rounds too.  The last term is what storing rounds.
        for array in found:
            if not 0 < array.size <= MOST_ELEMENTS or np.abs(array).max() > LARGEST:
                return
        names = [f"v{len(self.arrays) + i}" for i in range(outputs)]
        self.nodes.append(Node(op, inputs, names, dict(given)))
        for name, array in zip(names, found, strict=True):
            self.arrays[name] = array
            self.errors[name] = error + 2 * U * float(np.abs(array).max())

    def graph(self, outputs: Sequence[str]) -> Graph:
        """Return the graph with the batch left open."""
        shape = ("N", *self.arrays["x"].shape[1:])
        return Graph(
            nodes=list(self.nodes),
            inputs=[Value("x", DType.FLOAT32, shape)],
            outputs=[Value(name) for name in outputs],
            constants=dict(self.constants),
        )

    def leaves(self) -> list[str]:
        """Return the values that nothing reads."""
        read = {name for node in self.nodes for name in node.inputs}
        return [name for name in self.arrays if name not in read and name != "x"]


Layer = Callable[[Network, str], None]


def product_error(net: Network, x: str, weights: np.ndarray, axes: tuple[int, ...]) -> float:
    """Return the bound of a product with constants, ``axes`` being those summed over."""
    total = float(np.abs(weights).sum(axis=axes).max())
    terms = int(np.prod([weights.shape[a] for a in axes]))
    return total * (net.errors[x] + 2 * (terms + 4) * U * net.size(x))


def conv(net: Network, x: str) -> None:
    """Convolution: plain, grouped or depthwise."""
    _, c, h, w = net.arrays[x].shape
    groups = int(net.any_of([1, 1, c, net.any_of([g for g in range(1, c + 1) if c % g == 0])]))
    out = groups * int(net.rng.integers(1, 4 if groups > 1 else 20))
    kernel = [min(int(net.any_of([1, 3, 2])), size) for size in (h, w)]
    weights = net.floats(out, c // groups, *kernel)
    weights /= np.sqrt(np.prod(weights.shape[1:]))
    inputs = [x, net.constant(weights)]
    if net.rng.integers(2):
        inputs.append(net.constant(net.floats(out)))
    given = {
        "pads": net.rng.integers(0, 2, 4).tolist(),
        "strides": net.rng.integers(1, 3, 2).tolist(),
        "group": groups,
    }
    net.emit("Conv", inputs, product_error(net, x, weights, (1, 2, 3)), **given)


def conv_transpose(net: Network, x: str) -> None:
    """Transposed convolution."""
    c = net.arrays[x].shape[1]
    weights = net.floats(c, int(net.rng.integers(1, 6)), 2, 3) / np.float32(np.sqrt(4 * c))
    given = {"strides": net.rng.integers(1, 3, 2).tolist(), "pads": [0, 1, 1, 0]}
    error = product_error(net, x, weights, (0, 2, 3))
    net.emit("ConvTranspose", [x, net.constant(weights)], error, **given)


def pool(net: Network, x: str) -> None:
    """Maxima or means of windows."""
    kernel = [min(int(net.any_of([2, 3])), size) for size in net.arrays[x].shape[2:]]
    given = {
        "kernel_shape": kernel,
        "strides": net.rng.integers(1, 3, 2).tolist(),
        "pads": [int(net.rng.integers(0, k)) for k in kernel * 2],
        "ceil_mode": int(net.rng.integers(2)),
    }
    if net.rng.integers(2):
        net.emit("MaxPool", [x], net.errors[x], **given)
    else:
        error = net.errors[x] + 2 * (int(np.prod(kernel)) + 2) * U * net.size(x)
        given["count_include_pad"] = int(net.rng.integers(2))
        net.emit("AveragePool", [x], error, **given)


def global_pool(net: Network, x: str) -> None:
    """Mean of all pixels."""
    terms = int(np.prod(net.arrays[x].shape[2:]))
    net.emit("GlobalAveragePool", [x], net.errors[x] + 2 * (terms + 2) * U * net.size(x))


def batch_norm(net: Network, x: str) -> None:
    """Scale and shift of channels."""
    c = net.arrays[x].shape[1]
    gamma, variance = net.floats(c), np.abs(net.floats(c)) + 0.5
    inputs = [x, *(net.constant(a) for a in (gamma, net.floats(c), net.floats(c), variance))]
    grows = float(np.abs(gamma / np.sqrt(variance)).max())
    error = grows * net.errors[x] + 16 * U * (net.size(x) + 5) * (grows + 1)
    net.emit("BatchNormalization", inputs, error)


def instance_norm(net: Network, x: str) -> None:
    """Normalisation of each picture's channels."""
    c, *spatial = net.arrays[x].shape[1:]
    gamma = net.floats(c)
    error = _normalized(net, x, gamma, int(np.prod(spatial)))
    net.emit(
        "InstanceNormalization",
        [x, net.constant(gamma), net.constant(net.floats(c))],
        error,
        epsilon=0.1,
    )


def layer_norm(net: Network, x: str) -> None:
    """Normalisation of the last axis."""
    n = net.arrays[x].shape[-1]
    gamma = net.floats(n)
    inputs = [x, net.constant(gamma), net.constant(net.floats(n))]
    net.emit("LayerNormalization", inputs, _normalized(net, x, gamma, n), axis=-1, epsilon=0.1)


def _normalized(net: Network, x: str, gamma: np.ndarray, n: int) -> float:
    """Return (2 + sqrt(n)) / sigma times what is off; sigma is at least sqrt(0.1)."""
    grows = (2 + np.sqrt(n)) / np.sqrt(0.1) * float(np.abs(gamma).max())
    return float(grows * (net.errors[x] + 4 * (n + 8) * U * (net.size(x) + 1)))


def softmax(net: Network, x: str) -> None:
    """Shares of an axis; sums of |J| are at most 1/2."""
    axis = int(net.rng.integers(1, net.arrays[x].ndim))
    n = net.arrays[x].shape[axis]
    error = net.errors[x] + 4 * (net.size(x) + n + 8) * U
    net.emit("Softmax", [x], error, axis=axis)


def unary(net: Network, x: str) -> None:
    """Functions of one number, with the largest slope of each."""
    op, slope = net.any_of(
        [
            *(("Relu", 1.0), ("Sigmoid", 0.25), ("Tanh", 1.0), ("HardSwish", 1.5), ("Abs", 1.0)),
            *(("Neg", 1.0), ("Erf", 1.13), ("Gelu", 1.13), ("LeakyRelu", 1.0), ("Relu", 1.0)),
            *(("Softplus", 1.0), ("Mish", 1.1), ("Elu", 1.0), ("HardSigmoid", 0.2)),
        ]
    )
    net.emit(op, [x], slope * net.errors[x] + 32 * U * (net.size(x) + 1))


def clip(net: Network, x: str) -> None:
    """Relu6 and the like."""
    low, high = (net.constant(np.array(v, np.float32)) for v in (net.any_of([0, -1]), 6))
    net.emit("Clip", [x, low, high], net.errors[x])


def binary(net: Network, x: str) -> None:
    """Arithmetic of two values, or of one and a constant that broadcasts."""
    shape = net.arrays[x].shape
    if net.rng.integers(2):
        y = net.like(x)
        size, error = net.size(y), net.errors[y]
    else:
        axis = int(net.rng.integers(1, len(shape)))
        array = net.floats(*(n if i == axis else 1 for i, n in enumerate(shape[1:], 1)))
        y, size, error = net.constant(array), float(np.abs(array).max()), 0.0
    op = str(net.any_of(["Add", "Add", "Mul", "Sub", "Max", "Min"]))
    pair = [x, y] if net.rng.integers(2) or op == "Sub" else [y, x]
    if op == "Mul":
        net.emit(op, pair, net.errors[x] * size + error * net.size(x) + net.errors[x] * error)
    else:
        net.emit(op, pair, net.errors[x] + error + 2 * U * (net.size(x) + size))


def matmul(net: Network, x: str) -> None:
    """Product with constants on the right."""
    k = net.arrays[x].shape[-1]
    weights = net.floats(k, int(net.rng.integers(1, 40))) / np.float32(np.sqrt(k))
    error = product_error(net, x, weights, (0,))
    if net.arrays[x].ndim == 2 and net.rng.integers(2):
        bias = net.constant(net.floats(weights.shape[1]))
        name = net.constant(np.ascontiguousarray(weights.T))
        net.emit("Gemm", [x, name, bias], error, transB=1)
    else:
        net.emit("MatMul", [x, net.constant(weights)], error)


def attend(net: Network, x: str) -> None:
    """Product of two values: x times its transpose."""
    rank = net.arrays[x].ndim
    order = [*range(rank - 2), rank - 1, rank - 2]
    before = len(net.nodes)
    net.emit("Transpose", [x], net.errors[x], perm=order)
    if len(net.nodes) == before:
        return
    k, size, off = net.arrays[x].shape[-1], net.size(x), net.errors[x]
    error = k * (2 * size * off + off * off + 2 * (k + 4) * U * size * size)
    net.emit("MatMul", [x, net.nodes[-1].outputs[0]], error)


def mean(net: Network, x: str) -> None:
    """Mean or maximum over an axis."""
    axis = int(net.rng.integers(1, net.arrays[x].ndim))
    n = net.arrays[x].shape[axis]
    op = str(net.any_of(["ReduceMean", "ReduceMax"]))
    axes = net.constant(np.array([axis]))
    net.emit(op, [x, axes], net.errors[x] + 2 * (n + 2) * U * net.size(x), keepdims=1)


def concat(net: Network, x: str) -> None:
    """Two values that differ on one axis at most."""
    shape = net.arrays[x].shape
    axis = int(net.rng.integers(1, len(shape)))
    rest = [n for i, n in enumerate(shape) if i != axis]
    fits = [
        name
        for name, array in net.arrays.items()
        if array.ndim == len(shape) and [n for i, n in enumerate(array.shape) if i != axis] == rest
    ]
    other = str(net.any_of(fits))
    net.emit("Concat", [x, other], max(net.errors[x], net.errors[other]), axis=axis)


def split(net: Network, x: str) -> None:
    """Two parts of an axis."""
    axis = int(net.rng.integers(1, net.arrays[x].ndim))
    n = net.arrays[x].shape[axis]
    if n > 1:
        first = int(net.rng.integers(1, n))
        sizes = net.constant(np.array([first, n - first]))
        net.emit("Split", [x, sizes], net.errors[x], outputs=2, axis=axis)


def reshape(net: Network, x: str) -> None:
    """Another shape behind the batch."""
    rest = net.arrays[x].shape[1:]
    if net.rng.integers(2):
        shape = [0, -1]
    else:
        n = int(np.prod(rest))
        factor = int(net.any_of([f for f in range(1, min(n, 12) + 1) if n % f == 0]))
        shape = net.any_of([[0, factor, -1], [0, factor, -1, 1], [0, -1, factor, 1]])
    net.emit("Reshape", [x, net.constant(np.array(shape))], net.errors[x])


def transpose(net: Network, x: str) -> None:
    """Another order of the axes behind the batch."""
    order = [0, *(net.rng.permutation(net.arrays[x].ndim - 1) + 1).tolist()]
    net.emit("Transpose", [x], net.errors[x], perm=order)


def slice_(net: Network, x: str) -> None:
    """Every element, every other or backwards, of a stretch."""
    axis = int(net.rng.integers(1, net.arrays[x].ndim))
    n = net.arrays[x].shape[axis]
    step = int(net.any_of([1, 1, 2, -1]))
    start = int(net.rng.integers(0, n))
    bounds = [n - 1 - start, -n - 1, step] if step < 0 else [start, n, step]
    names = [net.constant(np.array([v])) for v in (bounds[0], bounds[1], axis, bounds[2])]
    net.emit("Slice", [x, *names], net.errors[x])


def pad(net: Network, x: str) -> None:
    """A border around the last axis."""
    rank, n = net.arrays[x].ndim, net.arrays[x].shape[-1]
    mode = str(net.any_of(["constant", "constant", "edge", "reflect"]))
    widths = [0] * (2 * rank)
    widths[rank - 1], widths[-1] = (int(net.rng.integers(0, min(3, n))) for _ in range(2))
    net.emit("Pad", [x, net.constant(np.array(widths))], net.errors[x], mode=mode)


def gather(net: Network, x: str) -> None:
    """Some indices of an axis."""
    axis = int(net.rng.integers(1, net.arrays[x].ndim))
    n = net.arrays[x].shape[axis]
    index = net.constant(net.rng.integers(-n, n, int(net.rng.integers(1, 6))))
    net.emit("Gather", [x, index], net.errors[x], axis=axis)


def resize(net: Network, x: str) -> None:
    """Enlarge pictures."""
    scales = net.constant(np.array([1, 1, net.any_of([1, 1.5, 2]), 2], np.float32))
    name = net.constant(np.zeros(0, np.float32))
    mode = str(net.any_of(["nearest", "linear"]))
    error = net.errors[x] + (32 * U * net.size(x) if mode == "linear" else 0.0)
    given = {"coordinate_transformation_mode": str(net.any_of(["half_pixel", "asymmetric"]))}
    net.emit("Resize", [x, name, scales], error, mode=mode, **given)


EVERY: list[Layer] = [unary, unary, clip, binary, binary, softmax, mean, concat, split, reshape]
EVERY += [transpose, slice_, pad, gather, matmul, layer_norm]
PICTURES: list[Layer] = [conv, conv, conv, conv, conv_transpose, pool, pool, global_pool]
PICTURES += [batch_norm, instance_norm, resize, binary, unary]


def random_network(rng: np.random.Generator, layers: int) -> Network:
    """Return a network of some layers over a batch of three."""
    net = Network(rng)
    if rng.integers(4):
        shape = [3, int(rng.integers(1, 20)), int(rng.integers(1, 9)), int(rng.integers(1, 9))]
    else:
        shape = [3, *rng.integers(1, 16, int(rng.integers(1, 3))).tolist()]
    net.arrays["x"], net.errors["x"] = net.floats(*shape), 0.0
    for _ in range(layers):
        names = list(net.arrays)
        # Deep rather than wide: the newest values are read more often.
        x = names[-1 - min(int(rng.geometric(0.5)) - 1, len(names) - 1)]
        rank = net.arrays[x].ndim
        table = PICTURES if rank == 4 and rng.integers(3) else EVERY
        table = [*table, attend] if rank == 3 else table
        net.any_of(table)(net, x)
    return net
