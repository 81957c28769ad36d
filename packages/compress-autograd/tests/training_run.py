"""A short training run with checkpoints, for tests that kill it; arguments: folder, threads."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from networks import resnet

import compress_tensor as ct
from compress_autograd.data import Crop, Flip, InMemory, Loader
from compress_autograd.optim import SGD, Average, cosine
from compress_autograd.trainable import Trainable
from compress_autograd.trainer import Trainer


def trainer(folder: Path, workers: int = 2, epochs: int = 3) -> Trainer:
    """Return the run; its result depends on none of the arguments but ``epochs``."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((50, 3, 8, 8)).astype(np.float32)
    data = InMemory(samples, rng.integers(0, 10, 50))
    loader = Loader(data, np.asarray, 8, augment=[Crop(1), Flip()], mixup=0.5, workers=workers)
    model = Trainable(resnet(blocks=1, width=4, size=8))
    optimizer = SGD(model.parameters, cosine(0.05, 12), 0.9, weight_decay=1e-4)
    return Trainer(
        model,
        optimizer,
        loader,
        epochs=epochs,
        checkpoint=folder / "run.checkpoint",
        every=1,
        accumulate=2,
        clip=5.0,
        average=Average(model.parameters, 0.9),
    )


if __name__ == "__main__":
    ct.set_num_threads(int(sys.argv[2]))
    run = trainer(Path(sys.argv[1]))
    run.fit()
    np.savez(Path(sys.argv[1]) / "end.npz", **run.model.state())
