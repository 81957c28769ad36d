"""The recipe by which a prepared graph is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from compress_autograd import Trainable
from compress_autograd.data import Loader
from compress_autograd.data.batches import Batch
from compress_autograd.loss import kl_divergence
from compress_autograd.optim import SGD, cosine
from compress_autograd.trainer import Loss, Outputs, Trainer, classification
from compress_tensor import Graph, Tensor, compile  # noqa: A004
from compress_tensor.eager import get_num_threads

from .fake import OPERATORS
from .prepare import trainable_names

EPOCHS = 3
LEARNING_RATE = 1e-3
MOMENTUM = 0.9
#: Largest norm of all gradients together.  Without normalisation layers (they are folded) and with
#: few bits the first gradients are ten times those of the trained network: one step of such
#: a length ruins it.
CLIP = 20.0


def train(
    fake: Graph,
    batches: Loader,
    *,
    epochs: int = EPOCHS,
    lr: float = LEARNING_RATE,
    clip: float = CLIP,
    teacher: Graph | None = None,
    validate: Callable[[Trainable], dict[str, float]] | None = None,
    checkpoint: Path | None = None,
) -> tuple[Graph, list[dict[str, float]]]:
    """Train what `prepare_qat` made, by SGD with momentum and a cosine from ``lr`` to 0.

    Args:
        fake: the prepared graph; it is not changed.
        batches: labelled samples.
        epochs: how many times all of them.
        lr: the first learning rate.
        clip: largest norm of all gradients of a step together.
        teacher: the float network, whose scores are learned instead of the labels.  They say more
            than a label, which counts where samples are few, and none are needed.
        validate: called after every epoch; its metrics go to the history.
        checkpoint: file from which an interrupted run goes on.

    Returns:
        The trained graph, for `convert`; and per epoch loss, learning rate and metrics.
    """
    model = Trainable(fake, operators=OPERATORS, parameters=trainable_names(fake))
    optimizer = SGD(model.parameters, cosine(lr, epochs * len(batches)), MOMENTUM)
    trainer = Trainer(
        model,
        optimizer,
        batches,
        classification if teacher is None else taught(teacher),
        epochs=epochs,
        clip=clip,
        validate=validate,
        checkpoint=checkpoint,
        settings={"targets": "labels" if teacher is None else "the float network's scores"},
    )
    history = trainer.fit()
    return model.graph(), history


def taught(teacher: Graph) -> Loss:
    """Return the divergence of a network's first output from that of a teacher.

    Hinton, Vinyals and Dean, 2015, "Distilling the knowledge in a neural network".
    """
    session = compile(teacher, threads=get_num_threads())
    name, output = teacher.inputs[0].name, teacher.outputs[0].name

    def loss(outputs: Outputs, batch: Batch) -> Tensor:
        return kl_divergence(outputs[output], session.run({name: batch.inputs})[output])

    return loss
