"""Discrete Fourier transforms."""

from __future__ import annotations

import numpy as np

from ...errors import ShapeError
from ...graph.graph import Array
from .common import axis_of, scalar, widened
from .registry import reference


def _complex(values: Array) -> Array:
    """Return (..., 1) or (..., 2) as complex numbers."""
    return values[..., 0] + (1j * values[..., 1] if values.shape[-1] == 2 else 0)


def _pairs(values: Array, dtype: np.dtype[np.generic]) -> Array:
    return np.stack([values.real, values.imag], axis=-1).astype(dtype)


@reference("DFT")
@widened
def dft(
    input: Array,
    dft_length: Array | None = None,
    axis: Array | None = None,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> Array:
    """Return the discrete Fourier transform along an axis."""
    along = axis_of(-2 if axis is None else int(scalar(axis, "axis")), input.ndim)
    if along == input.ndim - 1:
        raise ShapeError("the last axis holds real and imaginary parts")
    length = None if dft_length is None else int(scalar(dft_length, "dft_length"))
    signal = _complex(input)
    if inverse and onesided:
        real = np.fft.irfft(signal, length, axis=along)
        return np.asarray(real[..., None].astype(input.dtype))
    if onesided:
        return _pairs(np.fft.rfft(signal.real, length, axis=along), input.dtype)
    transform = np.fft.ifft if inverse else np.fft.fft
    return _pairs(transform(signal, length, axis=along), input.dtype)


@reference("STFT")
@widened
def stft(
    signal: Array,
    frame_step: Array,
    window: Array | None = None,
    frame_length: Array | None = None,
    *,
    onesided: int = 1,
) -> Array:
    """Return the Fourier transforms of windows that slide over the signal."""
    step = int(scalar(frame_step, "frame_step"))
    length = frame_size(signal.shape[1], window, frame_length)
    count = (signal.shape[1] - length) // step + 1
    frames = _complex(signal)[:, np.arange(count)[:, None] * step + np.arange(length)]
    if window is not None:
        frames = frames * window
    if onesided:
        return _pairs(np.fft.rfft(frames.real, axis=-1), signal.dtype)
    return _pairs(np.fft.fft(frames, axis=-1), signal.dtype)


def frame_size(samples: int, window: Array | None, frame_length: Array | None) -> int:
    """Return how long a frame of STFT is."""
    if frame_length is not None:
        return int(scalar(frame_length, "frame_length"))
    return samples if window is None else window.shape[0]
