"""The preprocessing that well-known networks expect, by name."""

from __future__ import annotations

import difflib
from pathlib import Path

from compress_tensor import InputError

from .preprocess import Preprocess, Step, load_preprocess

_CENTRE: tuple[Step, ...] = (("resize", 256), ("crop", 224))
_NORM: tuple[Step, ...] = (
    ("scale", 255.0),
    ("normalize", {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}),
)
_CHW: tuple[Step, ...] = (("layout", "chw"),)

PRESETS = {
    preset.name: preset
    for preset in (
        Preprocess((*_CENTRE, *_NORM, *_CHW), "imagenet"),
        Preprocess((*_CENTRE, ("scale", 127.5), ("shift", -1.0), *_CHW), "imagenet-pm1"),
        Preprocess((*_CENTRE, ("scale", 255.0), *_CHW), "imagenet-unit"),
        Preprocess((*_NORM, *_CHW), "cifar10"),
        Preprocess((("scale", 1.0), *_CHW), "cifar10-raw"),
        Preprocess((("scale", 127.5), ("shift", -1.0), *_CHW), "cifar10-pm1"),
        Preprocess((("length", 16000),), "speech"),
        Preprocess((), "none"),
    )
}
CHARLM = "charlm"  #: not steps on samples, but `CharacterStreams`


def preset(name: str) -> Preprocess:
    """Return a preset, or what a description file says.

    Raises:
        InputError: if there is neither; with the nearest name.
        FileError: if the file is not a description.
    """
    if name in PRESETS:
        return PRESETS[name]
    if name.endswith(".json") or Path(name).is_file():
        return load_preprocess(Path(name))
    near = difflib.get_close_matches(name, [*PRESETS, CHARLM], 1)
    hint = f"did you mean {near[0]!r}?" if near else f"presets are {', '.join([*PRESETS, CHARLM])}"
    raise InputError(f"there is no preprocessing {name!r}; {hint} (or give a .json description)")
