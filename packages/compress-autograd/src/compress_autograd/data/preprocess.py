"""Preprocessing as a small description: a list of steps, each a name and its numbers.

A description file is JSON, for example what the preset ``imagenet`` says::

    {"steps": [{"resize": 256}, {"crop": 224}, {"scale": 255},
               {"normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
               {"layout": "chw"}]}

Steps, applied in the given order (pictures start as uint8, height x width x RGB):

* ``resize n``: short side to n, other side rounded, Pillow bilinear; ``[h, w]``: exactly that;
* ``crop n`` or ``[h, w]``: from the centre, offsets rounded down;
* ``scale s``: float32, divided by s;
* ``shift a``: plus a;
* ``normalize``: minus mean, divided by std, per channel (or one number each);
* ``channels "bgr"``: reversed;
* ``grey``: to one channel (ITU-R 601 luma);
* ``layout "chw"``: channels first;  ``shape [...]``: reshaped;
* ``length n``: audio cut or padded with zeros at the end;
* ``dtype name``: converted.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress_tensor import FileError, InputError, MissingExtraError

from .dataset import Array, read_text

Step = tuple[str, Any]


@dataclass(frozen=True)
class Preprocess:
    """A sequence of steps; call it on a sample."""

    steps: tuple[Step, ...]
    name: str = ""

    def __call__(self, sample: Any) -> Array:
        """Return the network's input for one sample (without the batch dimension).

        Raises:
            InputError: if a step does not fit the sample.
        """
        data = np.asarray(sample)
        for name, value in self.steps:
            try:
                data = STEPS[name](data, value)
            except (ValueError, TypeError, IndexError) as error:
                raise InputError(
                    f"preprocessing step {name} {value!r} does not fit a sample of shape "
                    f"{data.shape}: {error}"
                ) from error
        return data

    def to_json(self) -> str:
        """Return the description file."""
        return json.dumps({"steps": [{name: value} for name, value in self.steps]})


def load_preprocess(path: Path) -> Preprocess:
    """Read a description file.

    Raises:
        FileError: if it is not one; a misspelt step is answered with the nearest name.
    """
    try:
        loaded = json.loads(read_text(path))
    except ValueError as error:
        raise FileError(f"{path} is not JSON: {error}") from error
    if not isinstance(loaded, dict) or not isinstance(loaded.get("steps"), list):
        raise FileError(f'{path} must be {{"steps": [...]}}')
    steps = []
    for number, step in enumerate(loaded["steps"], 1):
        if not isinstance(step, dict) or len(step) != 1:
            raise FileError(f"{path} step {number} must be one name with its value")
        ((name, value),) = step.items()
        if name not in STEPS:
            near = difflib.get_close_matches(name, STEPS, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; steps are {', '.join(STEPS)}"
            raise FileError(f"{path} step {number} is {name!r}, which does not exist{hint}")
        steps.append((name, value))
    return Preprocess(tuple(steps), str(path))


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    height, width = (value, value) if isinstance(value, int) else value
    if not (0 < int(height) <= 1 << 15 and 0 < int(width) <= 1 << 15):
        raise ValueError(f"size {value} is out of range")
    return int(height), int(width)


def _resize(data: Array, value: int | Sequence[int]) -> Array:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(
            "resizing pictures needs Pillow; install compress-autograd[images]"
        ) from error
    height, width = data.shape[:2]
    if isinstance(value, int):
        short = min(height, width)
        target = _pair((round(height * value / short), round(width * value / short)))
    else:
        target = _pair(value)
    if target == (height, width):
        return data
    resized = Image.fromarray(data).resize(target[::-1], Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _crop(data: Array, value: int | Sequence[int]) -> Array:
    height, width = _pair(value)
    top, left = (data.shape[0] - height) // 2, (data.shape[1] - width) // 2
    if top < 0 or left < 0:
        raise ValueError("the picture is smaller than the crop")
    return data[top : top + height, left : left + width]


def _floats(data: Array) -> Array:
    return data if data.dtype == np.float32 else data.astype(np.float32)


def _normalize(data: Array, value: Mapping[str, Any]) -> Array:
    mean, std = (np.asarray(value[key], np.float32) for key in ("mean", "std"))
    return (_floats(data) - mean) / std


def _channels(data: Array, value: str) -> Array:
    if value not in ("rgb", "bgr"):
        raise ValueError("channels are rgb or bgr")
    return data[..., ::-1] if value == "bgr" else data


def _grey(data: Array, value: Any) -> Array:
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return (_floats(data) @ weights)[..., None]


def _layout(data: Array, value: str) -> Array:
    if value not in ("chw", "hwc"):
        raise ValueError("layouts are chw and hwc")
    return np.ascontiguousarray(data.transpose(2, 0, 1) if value == "chw" else data)


def _length(data: Array, value: int) -> Array:
    n = int(value)
    return data[:n] if len(data) >= n else np.pad(data, (0, n - len(data)))


STEPS: dict[str, Callable[[Array, Any], Array]] = {
    "resize": _resize,
    "crop": _crop,
    "scale": lambda data, value: _floats(data) / np.float32(value),
    "shift": lambda data, value: _floats(data) + np.float32(value),
    "normalize": _normalize,
    "channels": _channels,
    "grey": _grey,
    "layout": _layout,
    "shape": lambda data, value: data.reshape(value),
    "length": _length,
    "dtype": lambda data, value: data.astype(np.dtype(value)),
}
