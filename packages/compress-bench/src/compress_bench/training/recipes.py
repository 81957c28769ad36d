"""How each network of the zoo is trained: data, optimizer, epochs; short enough for two cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from compress_autograd.optim import SGD, AdamW, Optimizer, groups_by_decay, one_cycle
from compress_tensor import InputError, Tensor


class Kind(Enum):
    """What a network is given."""

    PICTURES = "pictures"
    TEXTS = "texts"
    CLIPS = "clips"
    CHARACTERS = "characters"


@dataclass(frozen=True)
class Recipe:
    """A short recipe; the learning rate goes up and down once (one cycle).

    Attributes:
        kind: of data.
        train: the data inside the folder that COMPRESS_DATA names.
        test: what is measured on; None: a part of ``train`` that is held out.
        epochs: how many.
        batch: samples per step.
        lr: the highest learning rate.
        sgd: whether by SGD with momentum 0.9, and not by AdamW.
        weight_decay: of matrices and kernels.
        clip: the largest norm of all gradients together.
    """

    kind: Kind
    train: str
    test: str | None
    epochs: int
    batch: int
    lr: float
    sgd: bool = False
    weight_decay: float = 0.0
    clip: float | None = None

    def optimizer(self, parameters: Mapping[str, Tensor], lr: float, steps: int) -> Optimizer:
        """Return the optimizer for so many steps."""
        groups, schedule = groups_by_decay(parameters, self.weight_decay), one_cycle(lr, steps)
        return SGD(groups, schedule, 0.9) if self.sgd else AdamW(groups, schedule)


_CIFAR = ("cifar10/cifar10_jpeg_train.tar.gz", "cifar10/cifar10_jpeg_test.tar.gz")
_RESNET = Recipe(Kind.PICTURES, *_CIFAR, 8, 128, 0.1, sgd=True, weight_decay=5e-4)

RECIPES = {
    "resnet20": _RESNET,
    "resnet32": _RESNET,
    "resnet56": _RESNET,
    "vit_tiny": Recipe(Kind.PICTURES, *_CIFAR, 10, 128, 1e-3, weight_decay=0.05, clip=1.0),
    "text_classifier": Recipe(
        Kind.TEXTS, "text/sst2/train.tsv", "text/sst2/test.tsv", 4, 32, 3e-4, False, 0.05, 1.0
    ),
    "kwt": Recipe(Kind.CLIPS, "speech_commands", None, 40, 32, 1e-3, False, 0.05, 1.0),
    "char_lstm": Recipe(Kind.CHARACTERS, "text/tinyshakespeare.txt", None, 4, 25, 4e-3, clip=1.0),
}


def recipe(name: str) -> Recipe:
    """Return the recipe of a network.

    Raises:
        InputError: if there is none of that name.
    """
    if name not in RECIPES:
        raise InputError(f"there is no recipe for {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]
