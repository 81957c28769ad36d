"""Trainer: epochs, checkpoints, metrics, an early end; what was interrupted goes on as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from compress_tensor import FileError, InputError, Tensor
from compress_tensor.graph.graph import Array

from .checkpoint_file import fingerprint, load_checkpoint, save_checkpoint
from .data.batches import Batch
from .data.loader import Loader
from .errors import DivergedError
from .loss import cross_entropy
from .nodes import device
from .optim import Average, Optimizer, clip_grad_norm
from .progress import Progress
from .tape import no_grad
from .trainable import Trainable

Outputs = dict[str, Tensor]
Loss = Callable[[Outputs, Batch], Tensor]
Feeds = Callable[[Batch], dict[str, Any]]
Validate = Callable[[Trainable], Mapping[str, float]]


@dataclass(frozen=True)
class Stop:
    """When to end early.

    Attributes:
        metric: its name in what ``validate`` returns.
        patience: end after so many epochs without a better value.
        lower: whether lower is better.
    """

    metric: str
    patience: int
    lower: bool = False


def classification(outputs: Outputs, batch: Batch) -> Tensor:
    """Return the cross-entropy of the first output; mixed samples have two labels.

    Raises:
        InputError: if the data set has no labels.
    """
    scores = next(iter(outputs.values()))
    if batch.labels is None:
        raise InputError("the data set has no labels, which a cross-entropy needs")
    loss = cross_entropy(scores, batch.labels)
    if batch.other_labels is None:
        return loss
    return loss * batch.share + cross_entropy(scores, batch.other_labels) * (1 - batch.share)


class Trainer:
    """Trains a model on the batches of a loader.

    With ``checkpoint``, a run that is killed at any moment goes on from its last checkpoint when
    `fit` is called again in a new process, and ends with the same bytes as one that was not.

    Args:
        model: what is trained.
        optimizer: of its parameters.
        data: the batches.
        loss: of the outputs for a batch.
        epochs: how many.
        feeds: a batch's inputs by name; by default they go to the first input.
        validate: called after every epoch with the model in inference mode; returns metrics.
        checkpoint: a file; None: none is written.
        every: steps between checkpoints; one is written after each epoch too.
        accumulate: batches per step; their gradients are averaged.
        clip: the largest norm of all gradients together.
        average: of the parameters; metrics are of it, and it is what remains at the end.
        stop: when to end early.
        settings: what else a checkpoint must have been made with for a run to go on from it.
        progress: where the progress bar goes; by default standard error if it is a terminal.

    Attributes:
        history: one dict per epoch: loss, learning rate, metrics.
    """

    def __init__(
        self,
        model: Trainable,
        optimizer: Optimizer,
        data: Loader,
        loss: Loss = classification,
        *,
        epochs: int,
        feeds: Feeds | None = None,
        validate: Validate | None = None,
        checkpoint: str | Path | None = None,
        every: int = 100,
        accumulate: int = 1,
        clip: float | None = None,
        average: Average | None = None,
        stop: Stop | None = None,
        settings: Mapping[str, str | float] | None = None,
        progress: TextIO | None = None,
    ) -> None:
        if epochs < 1 or every < 1 or accumulate < 1:
            raise InputError("epochs, every and accumulate are at least 1")
        self.model = model
        self.optimizer = optimizer
        self.data = data
        self.loss = loss
        self.epochs = epochs
        self.feeds = feeds or self._first_input
        self.validate = validate
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.every = every
        self.accumulate = accumulate
        self.clip = clip
        self.average = average
        self.stop = stop
        self.settings = dict(settings or {})
        self.progress = progress
        self.history: list[dict[str, float]] = []
        self._epoch = self._batch = self._steps = self._waited = 0
        self._losses = 0.0
        self._finished = False
        self._model_id = fingerprint(model.graph())
        self._rates = hashlib.sha256()  #: of the learning rates of the steps done

    def _first_input(self, batch: Batch) -> dict[str, Any]:
        return {self.model.inputs[0]: batch.inputs}

    def fit(self) -> list[dict[str, float]]:
        """Train to the end; returns the history.

        Raises:
            DivergedError: naming the step and the first tensor that is no number; the last
                checkpoint is kept.
            FileError: if a checkpoint cannot be written, or belongs to another run.
        """
        if self.checkpoint is not None and self.checkpoint.exists():
            self._resume(self.checkpoint)
        per_epoch = len(self.data)
        bar = Progress(
            self.epochs * per_epoch, self._epoch * per_epoch + self._batch, self.progress
        )
        try:
            while self._epoch < self.epochs and not self._finished:
                self._run_epoch(bar)
        finally:
            bar.close()
        if self.average is not None:
            self._take_average()
        return self.history

    def _run_epoch(self, bar: Progress) -> None:
        self.model.train()
        total = len(self.data)
        for batch in self.data.epoch(self._epoch, self._batch):
            self._batch += 1
            self._losses += self._backward(batch)
            whole = self._batch % self.accumulate == 0 or self._batch == total
            if whole:
                self._step()
            text = f"epoch {self._epoch + 1}/{self.epochs}  loss {self._losses / self._batch:.4f}"
            bar.show(self._epoch * total + self._batch, text)
            if whole and self._batch < total and self._steps % self.every == 0:
                self._save()
        self._end_epoch()

    def _backward(self, batch: Batch) -> float:
        """Add the gradients of a batch; returns its loss."""
        before, buffers = self.model.generator.position, dict(self.model.buffers)
        feeds = self.feeds(batch)
        loss = self.loss(self.model(feeds), batch)
        value = float(loss.item())
        if not isfinite(value):
            self.model.generator.position = before
            self.model.buffers = buffers
            raise DivergedError(self._blame(feeds, value))
        # The last step of an epoch may have fewer batches.
        first = (self._batch - 1) // self.accumulate * self.accumulate
        count = min(self.accumulate, len(self.data) - first)
        (loss if count == 1 else loss * (1 / count)).backward()
        return value

    def _blame(self, feeds: Mapping[str, Any], value: float) -> str:
        where = f"the loss is {value} at step {self._steps + 1} (epoch {self._epoch + 1})"
        name = first_nonfinite(self.model, feeds)
        what = (
            f"the first tensor that is no number is {name}" if name else "all tensors are numbers"
        )
        kept = f"; the last checkpoint is {self.checkpoint}" if self.checkpoint else ""
        return f"{where}: {what}{kept}; lower the learning rate or clip gradients"

    def _step(self) -> None:
        if self.clip is not None:
            clip_grad_norm(self.model.parameters, self.clip)
        self._rates.update(self.optimizer.lr.hex().encode())
        self.optimizer.step()
        self.optimizer.zero_grad()
        self._steps += 1
        if self.average is not None:
            self.average.update()

    def _end_epoch(self) -> None:
        record = {"loss": self._losses / max(self._batch, 1), "lr": self.optimizer.lr}
        if self.validate is not None:
            self.model.eval()
            with no_grad():
                if self.average is None:
                    record.update(self.validate(self.model))
                else:
                    with self.average.applied():
                        record.update(self.validate(self.model))
        self.history.append(record)
        self._epoch, self._batch, self._losses = self._epoch + 1, 0, 0.0
        if self.stop is not None:
            self._finished = self._is_over(self.stop)
        self._save()

    def _is_over(self, stop: Stop) -> bool:
        if stop.metric not in self.history[-1]:
            raise InputError(
                f"the metric {stop.metric!r} to stop by is not among {', '.join(self.history[-1])}"
            )
        values = np.array([record[stop.metric] for record in self.history])
        best = int(values.argmin() if stop.lower else values.argmax())
        return len(values) - 1 - best >= stop.patience

    def _take_average(self) -> None:
        assert self.average is not None
        with no_grad():
            for name, p in self.model.parameters.items():
                p.copy_(self.average.values[name])

    # ---- checkpoints ----

    def _save(self) -> None:
        """Write a checkpoint, unless a parameter is no number."""
        if self.checkpoint is None:
            return
        arrays = {f"model/{k}": v for k, v in self.model.state().items()}
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise DivergedError(
                    f"{name.removeprefix('model/')!r} is no number after step {self._steps}; the "
                    f"last checkpoint is {self.checkpoint}; lower the learning rate"
                )
        arrays |= {f"optimizer/{k}": v for k, v in self.optimizer.state().items()}
        if self.average is not None:
            arrays |= {f"average/{k}": v for k, v in self.average.state().items()}
        meta = {
            "model": self._model_id,
            "data": self._data_id(),
            "epoch": self._epoch,
            "batch": self._batch,
            "steps": self._steps,
            "losses": self._losses.hex(),
            "finished": self._finished,
            "history": self.history,
            "rates": self._rates.hexdigest(),
            "settings": self._settings(),
        }
        save_checkpoint(self.checkpoint, meta, arrays)

    def _settings(self) -> dict[str, Any]:
        """Return what must be as it was when a run goes on."""
        return {**self.settings, **self.optimizer.settings(), "clip": self.clip}

    def _data_id(self) -> list[int]:
        return [len(self.data.dataset), self.data.size, self.data.seed, self.accumulate]

    def _resume(self, path: Path) -> None:
        meta, arrays = load_checkpoint(path)
        if meta["model"] != self._model_id:
            raise FileError(f"{path} is a checkpoint of another model; choose another file")
        if meta["data"] != self._data_id():
            raise FileError(
                f"{path} is a checkpoint of a run with other data, batch size, seed or "
                "accumulation; choose another file"
            )
        if (self.average is not None) != any(name.startswith("average/") for name in arrays):
            raise FileError(f"{path} is a checkpoint of a run with(out) an average of parameters")
        self._check_settings(path, meta)
        try:
            self.model.load_state(_part(arrays, "model/"))
            self.optimizer.load_state(_part(arrays, "optimizer/"))
            if self.average is not None:
                self.average.load_state(_part(arrays, "average/"))
        except InputError as error:
            raise FileError(f"{path} does not fit this run: {error}") from error
        self._epoch, self._batch, self._steps = meta["epoch"], meta["batch"], meta["steps"]
        self._losses = float.fromhex(meta["losses"])
        self._finished = meta["finished"]
        self.history = meta["history"]

    def _check_settings(self, path: Path, meta: Mapping[str, Any]) -> None:
        """Refuse to go on where the end would not be that of a run which was not interrupted.

        More epochs are fine if the learning rates of all steps done would have been the same.

        Raises:
            FileError: saying what differs.
        """
        before, now = meta.get("settings"), self._settings()
        if before is None:  # written before settings were noted
            return
        for name in sorted({*before, *now}):
            if name in before and before[name] != now.get(name):  # what is new was not noted
                raise FileError(
                    f"{path} is a checkpoint of a run with {name} {before[name]}, not "
                    f"{now.get(name)}; go on with what it began with, or begin anew"
                )
        for step in range(meta["steps"]):
            self._rates.update(float(self.optimizer.schedule(step)).hex().encode())
        if self._rates.hexdigest() != meta["rates"]:
            raise FileError(
                f"{path} is a checkpoint of a run with other learning rates, which may depend on "
                "the number of epochs; go on with the epochs and the rate that it began with, or "
                "begin anew"
            )
        if (meta["epoch"], meta["batch"]) > (self.epochs, 0):
            done = meta["epoch"] + (meta["batch"] > 0)
            raise FileError(
                f"{path} is a checkpoint of a run in its epoch {done}, but there are to be "
                f"{self.epochs}; give more epochs, or begin anew"
            )


def _part(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def first_nonfinite(model: Trainable, feeds: Mapping[str, Any]) -> str | None:
    """Return the first tensor of a run that is infinite or NaN: an input, a parameter, a value."""
    for name, given in {**feeds, **model.parameters, **model.buffers}.items():
        if not _finite(given):
            return repr(name)
    held = dict(model.buffers)
    with no_grad():
        values = model.start(feeds)
        for step in model.steps:
            model.run([step], values, keep=True)
            for name in step.node.outputs:
                if name and not _finite(values[name]):
                    model.buffers.update(held)
                    return f"{name!r}, made by {step.node.label}"
    model.buffers.update(held)
    return None


def _finite(value: Any) -> bool:
    array = device(value).numpy()
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


__all__ = ["Stop", "Trainer", "classification", "first_nonfinite"]
