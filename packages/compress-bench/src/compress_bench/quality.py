"""Accuracy of a model on a whole data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress_autograd.data import CharacterStreams, Dataset, Preprocess, batches
from compress_tensor import DType, InputError

from .runtimes import Array, Runner
from .statistics import wilson

Progress = Callable[[int, int], None]  #: called with samples done, samples in all

CHUNK = 100  #: characters per run of a recurrent model; states are carried


@dataclass(frozen=True)
class Quality:
    """What was measured.

    Attributes:
        samples: how many.
        top1: share of right first answers.
        interval: its 95 % interval.
        top5: share with the right answer among the first five (None: fewer than six classes).
        bits: mean -log2 of the probability of the right answer (character models).
        answers: the first answer for every sample, in order.
        outputs: the raw outputs, if they were asked for.
    """

    samples: int
    top1: float
    interval: tuple[float, float]
    top5: float | None = None
    bits: float | None = None
    answers: Array | None = None
    outputs: Array | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the numbers without the answers."""
        found = asdict(self)
        del found["answers"], found["outputs"]
        return found


def evaluate(
    runner: Runner,
    dataset: Dataset,
    preprocess: Preprocess,
    *,
    batch: int = 16,
    limit: int | None = None,
    keep_outputs: bool = False,
    progress: Progress = lambda done, total: None,
) -> Quality:
    """Classify every sample; the first output of the model holds a score per class.

    Raises:
        InputError: if the data have no labels, or samples do not fit the model's input.
    """
    (given,) = _single_input(runner)
    size = batch if given.shape is None or not isinstance(given.shape[0], int) else given.shape[0]
    total = len(dataset) if limit is None else min(limit, len(dataset))
    if total == 0:
        raise InputError("the data set is empty; nothing can be measured")
    hits1 = hits5 = done = 0
    classes = 0
    answers: list[Array] = []
    kept: list[Array] = []
    for part in batches(dataset, preprocess, size, limit=limit):
        if part.labels is None:
            raise InputError("accuracy needs labels: class folders or a labels.tsv")
        scores = _scores(runner, given, part.inputs, size)
        classes = scores.shape[1]
        if part.labels.max() >= classes:
            raise InputError(
                f"label {part.labels.max()} does not fit a model with {classes} outputs; "
                "do data and model belong together?"
            )
        ranked = np.argsort(-scores, axis=1, kind="stable")[:, :5]
        hits1 += int((ranked[:, 0] == part.labels).sum())
        hits5 += int((ranked == part.labels[:, None]).sum())
        answers.append(ranked[:, 0])
        if keep_outputs:
            kept.append(scores)
        done += len(part.labels)
        progress(done, total)
    return Quality(
        samples=done,
        top1=hits1 / done,
        interval=wilson(hits1, done),
        top5=hits5 / done if classes > 5 else None,
        answers=np.concatenate(answers),
        outputs=np.concatenate(kept) if keep_outputs else None,
    )


def _single_input(runner: Runner) -> list[Any]:
    if len(runner.inputs) != 1:
        names = ", ".join(value.name for value in runner.inputs)
        raise InputError(f"the model has the inputs {names}; one is needed for classification")
    return runner.inputs


def _scores(runner: Runner, given: Any, inputs: Array, size: int) -> Array:
    """Return the scores of a batch as (n, classes); a fixed batch is filled up and cut."""
    n = len(inputs)
    if given.shape is not None and isinstance(given.shape[0], int) and n < size:
        inputs = np.concatenate([inputs, np.repeat(inputs[-1:], size - n, axis=0)])
    if given.dtype is DType.FLOAT16:
        inputs = inputs.astype(np.float16)
    if given.shape is not None and len(given.shape) != inputs.ndim:
        raise InputError(
            f"samples have shape {inputs.shape[1:]} after preprocessing, input {given.name!r} "
            f"wants {list(given.shape[1:])}; choose another --preprocess"
        )
    outputs = runner.run({given.name: inputs})
    scores = next(iter(outputs.values())).astype(np.float32).reshape(len(inputs), -1)
    return scores[:n]


def evaluate_characters(
    runner: Runner,
    streams: CharacterStreams,
    *,
    limit: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Quality:
    """Predict each character from all before it in its stream, states carried along.

    The model has an int64 input of ids (n, t), state inputs ``s`` and outputs ``s_out``, and an
    output of logits (n, t, characters).
    """
    ids = streams.ids
    steps = ids.shape[1] - 1 if limit is None else min(limit, ids.shape[1] - 1)
    tokens = [v for v in runner.inputs if v.dtype is DType.INT64]
    states = [v for v in runner.inputs if v.dtype is not DType.INT64]
    if len(tokens) != 1:
        raise InputError("a character model needs one int64 input of ids")
    carried = {v.name: np.zeros(_state_shape(v.shape, len(ids)), np.float32) for v in states}
    bits, hits, done = 0.0, 0, 0
    answers: list[Array] = []
    for start in range(0, steps, CHUNK):
        end = min(start + CHUNK, steps)
        outputs = runner.run({tokens[0].name: ids[:, start:end], **carried})
        missing = [name for name in carried if f"{name}_out" not in outputs]
        if missing:
            raise InputError(f"state {missing[0]!r} has no output {missing[0]}_out")
        carried = {name: outputs[f"{name}_out"] for name in carried}
        rest = [array for name, array in outputs.items() if not name.endswith("_out")]
        logits = rest[0].astype(np.float64)
        target = ids[:, start + 1 : end + 1]
        top = logits.max(axis=-1, keepdims=True)
        log_sum = np.log(np.exp(logits - top).sum(axis=-1)) + top[..., 0]
        right = np.take_along_axis(logits, target[..., None], axis=-1)[..., 0]
        bits += float((log_sum - right).sum() / np.log(2))
        answer = logits.argmax(axis=-1)
        hits += int((answer == target).sum())
        answers.append(answer.reshape(-1))
        done += target.size
        progress(done, len(ids) * steps)
    return Quality(
        samples=done,
        top1=hits / done,
        interval=wilson(hits, done),
        bits=bits / done,
        answers=np.concatenate(answers),
    )


def _state_shape(shape: Any, n: int) -> tuple[int, ...]:
    return tuple(d if isinstance(d, int) else n for d in shape or ())


def vocabulary_of(model: Path) -> Path:
    """Return the vocabulary file that lies beside a character model.

    Raises:
        InputError: if there is none.
    """
    path = model.with_suffix(".vocab.json")
    if not path.is_file():
        raise InputError(f"{path} is missing; a character model needs its vocabulary")
    return path
