"""A run: a network, its data, an optimizer, and a Trainer around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from compress_autograd import Trainable, Trainer
from compress_tensor import FileError, InputError
from compress_tensor.eager import set_num_threads

from .material import Material, gather
from .recipes import Recipe

Report = Callable[[int, Mapping[str, float]], None]  #: called with epoch (from 1) and metrics


@dataclass(frozen=True)
class Options:
    """What a recipe does not say, or what is to be other than it says.

    Attributes:
        data: to train on.
        test: to measure on; None: a part of ``data`` is held out.
        epochs: how many; None: as the recipe says.
        batch: samples per step; None likewise.
        lr: the highest learning rate; None likewise.
        threads: of training and measuring; they change no byte of the result.
        seed: of weights, order and augmentation.
        memory: what a step may take, as in ``"2GB"``.
        checkpoint: the file that an interrupted run goes on from.
        every: steps between checkpoints.
    """

    data: Path
    test: Path | None = None
    epochs: int | None = None
    batch: int | None = None
    lr: float | None = None
    threads: int = 1
    seed: int = 0
    memory: str | None = None
    checkpoint: Path | None = None
    every: int = 100


@dataclass(frozen=True)
class Run:
    """What is ready to be trained.

    Attributes:
        material: data and graph.
        model: the graph under the tape.
        trainer: call its ``fit``.
    """

    material: Material
    model: Trainable
    trainer: Trainer


def prepare(name: str, recipe: Recipe, options: Options, report: Report) -> Run:
    """Return a run of a network by a recipe.

    Raises:
        FileError: if data cannot be read.
        InputError: if they, or a number, do not fit.
    """
    epochs, batch = options.epochs or recipe.epochs, options.batch or recipe.batch
    lr = recipe.lr if options.lr is None else options.lr
    if not 0 < lr < float("inf"):
        raise InputError(f"the learning rate must be positive, not {lr}")
    set_num_threads(options.threads)
    material = gather(name, recipe.kind, options.data, options.test, batch, options.seed)
    model = Trainable(
        material.graph, frozen=material.frozen, seed=options.seed, memory=options.memory
    )
    optimizer = recipe.optimizer(model.parameters, lr, epochs * len(material.loader))

    def validate(now: Trainable) -> dict[str, float]:
        found = {material.metric: material.measure(now.graph(), options.threads)}
        report(len(trainer.history) + 1, found)
        return found

    trainer = Trainer(
        model,
        optimizer,
        material.loader,
        material.loss,
        epochs=epochs,
        feeds=material.feeds,
        validate=validate,
        checkpoint=options.checkpoint,
        every=options.every,
        clip=recipe.clip,
    )
    return Run(material, model, trainer)


def default_data(root: str | None, inside: str) -> Path:
    """Return where data lie by default.

    Raises:
        FileError: if nobody said where.
    """
    if not root:
        raise FileError(
            "no data are named: give --data, or set COMPRESS_DATA to the folder that holds them"
        )
    return Path(root) / inside
