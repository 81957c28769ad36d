"""From a recipe and data on disk to what a Trainer is given."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import compress_tensor
from compress_autograd import cross_entropy
from compress_autograd.data import (
    Batch,
    CharacterStreams,
    Crop,
    Dataset,
    Flip,
    InMemory,
    Loader,
    Noise,
    Shift,
    batches,
    open_dataset,
    preset,
)
from compress_autograd.trainer import Feeds, Loss, Outputs, classification
from compress_tensor import Graph, InputError, Tensor

from ..quality import evaluate_characters
from ..runtimes import Array
from ..zoo import Initial, network
from ..zoo.front_end import FRONT_END
from .recipes import Kind
from .samples import Vocabulary, characters, held_out

PIECE = 100  #: characters that a recurrent network is trained over at once
_TEST_BATCH = 100
_WORDS, _TOKENS = 8192, 64  #: of text_classifier

Measure = Callable[[Graph, int], float]  #: of a graph and a number of threads


@dataclass(frozen=True)
class Material:
    """What is trained, on what.

    Attributes:
        graph: with its initial weights.
        loader: the batches.
        measure: the metric on the test data.
        metric: its name: ``accuracy``, or ``bits per character`` (less is better).
        feeds: a batch's inputs by name.
        loss: of the outputs for a batch.
        frozen: constants that are not trained.
        files: what belongs beside the model, by suffix.
    """

    graph: Graph
    loader: Loader
    measure: Measure
    metric: str
    feeds: Feeds | None = None
    loss: Loss = classification
    frozen: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


def gather(name: str, kind: Kind, data: Path, test: Path | None, batch: int, seed: int) -> Material:
    """Return what a network is trained on.

    Args:
        name: of the network.
        kind: of its data.
        data: to train on.
        test: to measure on; None: a part of ``data`` is held out.
        batch: samples per step.
        seed: of weights, order and augmentation.

    Raises:
        FileError: if data cannot be read.
        InputError: if they do not fit the network.
    """
    if kind is Kind.CHARACTERS:
        if test is not None:
            raise InputError(f"{name} is measured on the end of its text; leave --test out")
        return _characters(name, data, batch, seed)
    whole = open_dataset(data)
    wanted = {Kind.PICTURES: "image", Kind.TEXTS: "text", Kind.CLIPS: "audio"}[kind]
    given = {data: whole} | ({} if test is None else {test: open_dataset(test)})
    for path, each in given.items():
        if each.kind != wanted or each.label(0) is None:
            raise InputError(
                f"{name} is trained on {kind.value} with labels; {path} has samples of the kind "
                f"{each.kind}{'' if each.classes else ' without labels'}"
            )
    train, other = (whole, given[test]) if test is not None else held_out(whole)
    if len(other.classes) > len(train.classes):
        raise InputError(f"{test} has {len(other.classes)} classes, {data} {len(train.classes)}")
    make = {Kind.PICTURES: _pictures, Kind.TEXTS: _texts, Kind.CLIPS: _clips}[kind]
    return make(name, train, other, batch, seed)


def _pictures(name: str, train: Dataset, test: Dataset, batch: int, seed: int) -> Material:
    shape = train.sample(0).shape
    if shape != (32, 32, 3):
        raise InputError(
            f"{name} takes pictures of 32 x 32 pixels, and {train.name(0)} has "
            f"{' x '.join(map(str, shape[:2]))}; resize them"
        )
    steps = preset("cifar10")
    loader = Loader(train, steps, batch, augment=[Crop(4), Flip()], seed=seed)
    graph = network(name).make(Initial(seed), classes=len(train.classes))
    return Material(graph, loader, _accuracy(test, steps, _first(graph)), "accuracy")


def _clips(name: str, train: Dataset, test: Dataset, batch: int, seed: int) -> Material:
    steps = preset("speech")
    loader = Loader(train, steps, batch, augment=[Shift(1600), Noise(0.01)], seed=seed)
    graph = network(name).make(Initial(seed), classes=len(train.classes))
    measure = _accuracy(test, steps, _first(graph))
    return Material(graph, loader, measure, "accuracy", frozen=(FRONT_END,))


def _texts(name: str, train: Dataset, test: Dataset, batch: int, seed: int) -> Material:
    words = Vocabulary((train.sample(n) for n in range(len(train))), _WORDS, _TOKENS)
    graph = network(name).make(Initial(seed), classes=len(train.classes))
    loader = Loader(train, words, batch, seed=seed)
    return Material(
        graph,
        loader,
        _accuracy(test, words, _tokens),
        "accuracy",
        feeds=_tokens,
        files={".vocab.json": words.to_json()},
    )


def _tokens(batch: Batch) -> dict[str, Any]:
    ids = batch.inputs
    mask = (ids != 0).astype(np.int64)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def _characters(name: str, path: Path, batch: int, seed: int) -> Material:
    pieces, alphabet = characters(path, PIECE)
    graph = network(name).make(Initial(seed), vocabulary=len(alphabet))
    tokens = json.dumps({"tokens": alphabet})
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocabulary.json"
        vocabulary.write_text(tokens)
        streams = CharacterStreams(path, vocabulary)
    width = int(graph.constants["lstm0.R"].shape[2])
    states = [value.name for value in graph.inputs[1:]]

    def feeds(given: Batch) -> dict[str, Any]:
        ids, n = given.inputs[:, :-1], len(given.inputs)
        zeros = {name: np.zeros((1, n, width), np.float32) for name in states}
        return {"input": np.ascontiguousarray(ids), **zeros}

    def measure(now: Graph, threads: int) -> float:
        found = evaluate_characters(compress_tensor.compile(now, threads=threads), streams)
        assert found.bits is not None
        return found.bits

    return Material(
        graph,
        Loader(InMemory(pieces), np.asarray, batch, seed=seed),
        measure,
        "bits per character",
        feeds=feeds,
        loss=_next_character,
        files={".vocab.json": tokens},
    )


def _next_character(outputs: Outputs, batch: Batch) -> Tensor:
    scores = outputs["output"]
    wanted = np.ascontiguousarray(batch.inputs[:, 1:]).reshape(-1)
    return cross_entropy(scores.reshape((wanted.size, scores.shape[2])), wanted)


def _first(graph: Graph) -> Feeds:
    name = graph.inputs[0].name
    return lambda batch: {name: batch.inputs}


def _accuracy(test: Dataset, steps: Callable[[Any], Array], feeds: Feeds) -> Measure:
    """Return a function that gives the share of right answers."""

    def measure(graph: Graph, threads: int) -> float:
        session = compress_tensor.compile(graph, threads=threads)
        right = 0
        for batch in batches(test, steps, _TEST_BATCH):
            scores = session.run(feeds(batch))["output"]
            right += int((scores.argmax(axis=1) == batch.labels).sum())
        return right / len(test)

    return measure
