"""The front end of keyword spotters: mel-frequency cepstral coefficients, as a graph.

Davis and Mermelstein, 1980.  Frames of 30 ms, one every 10 ms, under a Hann window; the power
spectrum by a product with the matrix of the discrete Fourier transform; 40 triangles on the mel
scale; logarithm; orthonormal cosine transform (DCT-II); minus the mean over the clip.
"""

from __future__ import annotations

import numpy as np

from compress_tensor import Symbol

from .layers import Layers
from .weights import Array

SECOND = 16000  #: samples of a clip
FRONT_END = "frontend.*"  #: names of constants that are computed, not trained
_WINDOW, _HOP, _SIZE = 480, 160, 512
_LOW, _HIGH = 20.0, 7600.0  #: Hz
_FLOOR = 1e-6  #: added to energies: what is quieter is silence


def mfcc(net: Layers, audio: Symbol, frames: int, bands: int) -> Symbol:
    """Append MFCCs: (N, 16000) becomes (N, frames, bands)."""
    b = net.builder
    places = np.arange(frames)[:, None] * _HOP + np.arange(_WINDOW)
    x = b.gather(audio, b.constant(places.astype(np.int64), "frontend.frames"), axis=1)
    bins = _SIZE // 2 + 1
    spectrum = b.matmul(x, net.parameter("frontend.fourier", fourier(bins)))
    real, imaginary = b.split(spectrum * spectrum, axis=2, num_outputs=2, n_outputs=2)
    energy = b.matmul(real + imaginary, net.parameter("frontend.mel", mel(bins, bands)))
    cepstrum = b.matmul(b.log(energy + _FLOOR), net.parameter("frontend.cosine", cosine(bands)))
    mean = b.reduce_mean(cepstrum, np.array([1], np.int64), keepdims=1)
    made: Symbol = cepstrum - mean
    return made


def fourier(bins: int) -> Array:
    """Return window and Fourier transform as a matrix (window, 2 bins): cosines, then sines."""
    n = np.arange(_WINDOW)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / _WINDOW)
    angle = 2 * np.pi / _SIZE * n[:, None] * np.arange(bins)
    parts: Array = window[:, None] * np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)
    found: Array = parts.astype(np.float32)
    return found


def mel(bins: int, bands: int) -> Array:
    """Return triangles on the mel scale (bins, bands): 2595 log10(1 + f / 700)."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (_LOW, _HIGH))
    edges = 700 * (10 ** (np.linspace(low, high, bands + 2) / 2595) - 1)
    frequency = np.arange(bins)[:, None] * (SECOND / _SIZE)
    rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0).astype(np.float32)


def cosine(bands: int) -> Array:
    """Return the orthonormal DCT-II as a matrix (bands, bands)."""
    k, n = np.arange(bands), np.arange(bands)[:, None]
    found = np.cos(np.pi / bands * (n + 0.5) * k) * np.sqrt(2 / bands)
    found[:, 0] *= np.sqrt(0.5)
    made: Array = found.astype(np.float32)
    return made
