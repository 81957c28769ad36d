"""The command ``compress-quant qat``: training with quantization, then conversion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from compress_autograd import Trainable
from compress_autograd.data import Crop, Flip, Loader, open_dataset, preset
from compress_export import read_onnx
from compress_export.onnx_write import to_bytes
from compress_tensor import InputError, compile  # noqa: A004
from compress_tensor.eager import set_num_threads

from .calibration import Samples
from .certificate import certify
from .cli_output import check_outputs, json_bytes, show, write
from .qat import Method, convert, prepare_qat
from .qat.train import CLIP, EPOCHS, LEARNING_RATE, train
from .recipe import Recipe
from .recipe_file import load_recipe

_AUGMENT = {"crop": Crop(4), "flip": Flip()}
_SAMPLES = 128


def qat(
    model: Annotated[Path, typer.Argument(help="The trained float ONNX file.")],
    data: Annotated[Path, typer.Option(help="Training samples with labels.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX file to write.")],
    preprocess: Annotated[str, typer.Option(help="A preset or a .json description.")] = "none",
    weight_bits: Annotated[int, typer.Option(help="2 to 8.")] = 8,
    activation_bits: Annotated[int, typer.Option(help="2 to 8.")] = 8,
    method: Annotated[
        Method, typer.Option(help="Learned scales, or straight through.")
    ] = Method.LSQ,
    epochs: Annotated[int, typer.Option(min=1)] = EPOCHS,
    batch: Annotated[int, typer.Option(min=1, help="Samples per step.")] = 100,
    lr: Annotated[
        float, typer.Option(help="First learning rate; a cosine brings it to 0.")
    ] = LEARNING_RATE,
    clip: Annotated[float, typer.Option(help="Largest norm of a step's gradients.")] = CLIP,
    distill: Annotated[
        bool, typer.Option(help="Learn the float network's scores, not the labels.")
    ] = False,
    augment: Annotated[str, typer.Option(help="Of crop and flip, as in crop,flip.")] = "",
    validate: Annotated[
        Path | None, typer.Option(help="Samples to measure after each epoch.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File from which an interrupted run goes on.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="YAML file as for static.")] = None,
    seed: Annotated[int, typer.Option(help="Of order and augmentation.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=256)] = 1,
) -> None:
    """Train a network with quantization in the loop, and write it with integers."""
    for name, value in (("learning rate", lr), ("largest norm of gradients", clip)):
        if not value > 0:
            raise InputError(f"the {name} must be positive, not {value}")
    base = load_recipe(recipe) if recipe is not None else Recipe()
    chosen = replace(base, weight_bits=weight_bits, activation_bits=activation_bits)
    ledger, proof = output.with_suffix(".ledger.json"), output.with_suffix(".certificate.json")
    check_outputs(model, [output, ledger, proof])
    set_num_threads(threads)
    graph, dataset, steps = read_onnx(model), open_dataset(data), preset(preprocess)
    feeds = Samples(graph, dataset, steps, _SAMPLES)
    fake = prepare_qat(graph, feeds, chosen, method)
    loader = Loader(dataset, steps, batch, augment=_augments(augment), seed=seed)
    measure = _measure(validate, preprocess, threads) if validate is not None else None
    trained, history = train(
        fake,
        loader,
        epochs=epochs,
        lr=lr,
        clip=clip,
        teacher=graph if distill else None,
        validate=measure,
        checkpoint=checkpoint,
    )
    quantized, decided = convert(trained)
    found = certify(quantized, [feeds.first()], threads=threads)
    write(
        {
            output: to_bytes(quantized),
            ledger: json_bytes({**decided.as_json(), "history": history}),
            proof: json_bytes(found.as_json()),
        }
    )
    lines = [
        f"epoch {number}: " + ", ".join(f"{key} {value:.4g}" for key, value in record.items())
        for number, record in enumerate(history, 1)
    ]
    show(decided, found, model, output, lines)


def _augments(text: str) -> list[Crop | Flip]:
    names = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [name for name in names if name not in _AUGMENT]
    if unknown:
        raise InputError(f"there is no augmentation {unknown[0]!r}; there are crop and flip")
    return [_AUGMENT[name] for name in names]  # type: ignore[misc]


def _measure(path: Path, preprocess: str, threads: int) -> Callable[[Trainable], dict[str, float]]:
    """Return a function that gives the accuracy of the converted network."""
    dataset, steps = open_dataset(path), preset(preprocess)
    labels = [dataset.label(i) for i in range(len(dataset))]
    if not labels or any(label is None for label in labels):
        raise InputError(f"{path} has no labels (or no samples) to measure with")

    def accuracy(trained: Trainable) -> dict[str, float]:
        session = compile(convert(trained.graph())[0], threads=threads)
        (name,) = (value.name for value in session.inputs)
        right = 0
        for start in range(0, len(dataset), 50):
            rows = range(start, min(start + 50, len(dataset)))
            scores = next(
                iter(
                    session.run({name: np.stack([steps(dataset.sample(i)) for i in rows])}).values()
                )
            )
            right += int((scores.argmax(axis=1) == [labels[i] for i in rows]).sum())
        return {"accuracy": right / len(dataset)}

    return accuracy
