"""3 x 3 convolutions with fewer multiplications.

Lavin and Gray 2016, Fast Algorithms for Convolutional Neural Networks (arXiv 1509.09308):
F(2 x 2, 3 x 3) and F(4 x 4, 3 x 3), the latter with other points, see libcore's
src/winograd/winograd.h.

Largest error relative to the layer's largest output, against float64, over all 3 x 3 layers
with stride 1 (the worst layer; in brackets the median one):

========================  =================  =================  =================
network, inputs           direct             F(2 x 2)           F(4 x 4)
========================  =================  =================  =================
ResNet-20, CIFAR-10       5.8e-7 (3.6e-7)    2.8e-7 (2.0e-7)    1.3e-6 (6.2e-7)
ResNet-56, CIFAR-10       7.9e-7 (3.5e-7)    4.2e-7 (1.9e-7)    2.0e-6 (6.3e-7)
SqueezeNet 1.1, ImageNet  8.0e-7 (6.4e-7)    4.2e-7 (2.7e-7)    1.3e-6 (8.1e-7)
ResNet-18, seeded         1.7e-6 (1.1e-6)    7.4e-7 (4.1e-7)    2.6e-6 (9.7e-7)
========================  =================  =================  =================

None of 1000 answers of ResNet-20, ResNet-56 and ResNet-8 on CIFAR-10 changes.
"""

from __future__ import annotations

import numpy as np

from ...graph.graph import Array
from ...native.call import call
from ..options import TILES
from ..weights import Empty
from .matrix import PANEL, panels

# Measured on one core of a Zen 4 processor (3.7 GHz, AVX-512).
MULTIPLY_ADDS = 57e9  #: a second
NEAR_BYTES, FAR_BYTES = 60e9, 26e9  #: of weights, a second: from the caches and from memory
NEAR_MOST = 4_000_000  #: bytes of a layer that stay in the caches while others run
TILE_SECONDS = 50e-9  #: finding a tile's pixels, there and back
TRANSFORM_SECONDS = {2: 1.6e-9, 4: 4e-9}  #: per channel
LEAST_CHANNELS = 16  #: with fewer, whole strips of channels are transformed for nothing
WORTH = 0.9  #: of the direct convolution's time: less is not worth the memory


def pack_kernel(kernel: Array, tile: int, empty: Empty = np.empty) -> Array:
    """Return [OC, IC, 3, 3] as G g G', packed: [(tile + 2)^2, panels, IC, 16]."""
    oc, ic = kernel.shape[:2]
    packed = empty(((tile + 2) ** 2, panels(oc), ic, PANEL), np.float32)
    call("pack_winograd_f32", [np.ascontiguousarray(kernel), packed], [tile])
    return packed


def best_tile(channels: int, columns: int, height: int, width: int, most: int) -> int:
    """Return the tile that is fastest for a convolution of this shape, 0 for none.

    It must not depend on the batch, the threads or the processor, which would change the bytes.
    So it is an estimate for one image and one core, with the numbers below.

    Args:
        channels: of the input.
        columns: channels of the output.
        height: of the output.
        width: of the output.
        most: the largest tile that may be used.
    """
    if min(channels, columns) < LEAST_CHANNELS:
        return 0
    best, least = 0, WORTH * _seconds(9 * height * width, 9, channels * columns)
    for tile in TILES:
        if tile > most:
            break
        tiles = -(-height // tile) * -(-width // tile)
        points = (tile + 2) ** 2
        seconds = _seconds(tiles * points, points, channels * columns)
        seconds += tiles * (TILE_SECONDS + TRANSFORM_SECONDS[tile] * (channels + columns))
        if seconds < least:
            best, least = tile, seconds
    return best


def _seconds(products: int, matrices: int, size: int) -> float:
    """Return the time of so many products with a row of one of so many matrices of that size."""
    nbytes = 4 * matrices * size
    rate = NEAR_BYTES if nbytes <= NEAR_MOST else FAR_BYTES
    return products * size / MULTIPLY_ADDS + nbytes / rate
