"""The trainer: killed and resumed, stopped early, refused; what goes wrong ends in one sentence."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import resnet
from training_run import trainer

from compress_autograd.checkpoint_file import load_checkpoint
from compress_autograd.data import InMemory, Loader
from compress_autograd.errors import DivergedError
from compress_autograd.optim import SGD, cosine
from compress_autograd.trainable import Trainable
from compress_autograd.trainer import Stop, Trainer
from compress_tensor import FileError, InputError

RUN = Path(__file__).with_name("training_run.py")


def launch(folder: Path, threads: int) -> Any:
    path = os.pathsep.join([str(RUN.parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, str(RUN), str(folder), str(threads)],
        env={**os.environ, "PYTHONPATH": path},
    )


def end(folder: Path) -> dict[str, bytes]:
    with np.load(folder / "end.npz") as found:
        return {name: found[name].tobytes() for name in found.files}


def test_killed_again_and_again_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    whole = trainer(tmp_path)
    (tmp_path / "broken").mkdir()
    whole.fit()
    wanted = {name: a.tobytes() for name, a in whole.model.state().items()}
    checkpoint = tmp_path / "broken" / "run.checkpoint"
    kills = 0
    for threads in [1, 2, 1, 2, 1, 2, 1, 2]:
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = launch(tmp_path / "broken", threads)
        while process.poll() is None:
            now = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
            if kills < 3 and now != before:  # it came one checkpoint further
                time.sleep(0.002 * kills)
                process.send_signal(signal.SIGKILL)
                kills += 1
                process.wait()
            time.sleep(0.001)
        if process.returncode == 0:
            break

    assert process.returncode == 0
    assert kills == 3
    assert wanted == end(tmp_path / "broken")


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    states = []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        run = trainer(folder, workers, epochs=1)
        run.fit()
        states.append({name: a.tobytes() for name, a in run.model.state().items()})

    assert states[0] == states[1]


def simple(lr: float = 0.1, **keywords: Any) -> Trainer:
    model = Trainable(resnet(blocks=1, width=4, size=8))
    rng = np.random.default_rng(0)
    data = InMemory(
        rng.standard_normal((8, 3, 8, 8)).astype("f4"), keywords.pop("labels", range(8))
    )
    return Trainer(
        model, SGD(model.parameters, lr), Loader(data, np.asarray, 4), **{"epochs": 2, **keywords}
    )


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "c"
    simple(checkpoint=path).fit()
    good = path.read_bytes()
    again = simple(checkpoint=path, epochs=3)
    again.data.dataset._samples[5, 0, 0, 0] = np.nan  # type: ignore[attr-defined]
    with pytest.raises(DivergedError, match=r"step [56] \(epoch 3\): .* is 'input'; the last"):
        again.fit()

    assert good == path.read_bytes()
    again = simple(lr=1e30, checkpoint=tmp_path / "d", epochs=3)
    with pytest.raises(DivergedError, match=r"loss is nan at step 2 .* made by "):
        again.fit()


def test_parameters_that_are_no_numbers_are_not_saved(tmp_path: Path) -> None:
    run = simple(lr=float("inf"), checkpoint=tmp_path / "c", every=1)
    with pytest.raises(DivergedError, match="is no number after step 1"):
        run.fit()

    assert not (tmp_path / "c").exists()


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c"
    simple(checkpoint=path).fit()
    good = path.read_bytes()
    other = simple(checkpoint=path)
    other.model = Trainable(resnet(blocks=1, width=8, size=8))
    with pytest.raises(FileError, match="another model"):
        Trainer(
            other.model,
            SGD(other.model.parameters, 0.1),
            other.data,
            epochs=1,
            checkpoint=path,
        ).fit()
    with pytest.raises(FileError, match="other data"):
        simple(checkpoint=path, accumulate=2).fit()
    path.write_bytes(good.replace(b"checkpoint 1", b"checkpoint 9", 1))
    with pytest.raises(FileError, match="version 9, this is version 1"):
        simple(checkpoint=path).fit()
    path.write_bytes(good[:-1])
    with pytest.raises(FileError, match="damaged"):
        simple(checkpoint=path).fit()
    path.write_bytes(b"something else")
    with pytest.raises(FileError, match="no checkpoint"):
        simple(checkpoint=path).fit()


def test_a_disk_that_fills_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "c"
    simple(checkpoint=path).fit()
    good = path.read_bytes()
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, hard))
    try:
        with pytest.raises(FileError, match="cannot be written"):
            simple(checkpoint=path, epochs=3).fit()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)

    assert good == path.read_bytes()
    assert [path] == list(tmp_path.iterdir())
    assert load_checkpoint(path)[0]["epoch"] == 2


def test_bad_data_is_refused() -> None:
    with pytest.raises(InputError, match="label 10 is out of range: there are 10 classes"):
        simple(labels=[0, 1, 2, 3, 4, 5, 6, 10]).fit()
    with pytest.raises(InputError, match="empty"):
        Loader(InMemory(np.zeros((0, 3)), []), np.asarray, 4)
    with pytest.raises(InputError, match="no labels"):
        simple(labels=None).fit()


def test_early_end_and_progress(tmp_path: Path) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.5, 0.9])
    bar = io.StringIO()
    run = simple(
        epochs=9,
        validate=lambda model: {"accuracy": next(scores)},
        stop=Stop("accuracy", 2),
        progress=bar,
        checkpoint=tmp_path / "c",
    )
    history = run.fit()

    assert [0.1, 0.5, 0.4, 0.5] == [record["accuracy"] for record in history]
    assert "epoch 1/9  loss" in bar.getvalue()
    assert "left" in bar.getvalue()
    assert history == simple(epochs=9, checkpoint=tmp_path / "c").fit()  # it stays ended
    with pytest.raises(InputError, match="'speed' to stop by is not among"):
        simple(stop=Stop("speed", 1)).fit()


def test_a_run_goes_on_only_as_it_began(tmp_path: Path) -> None:
    """With other epochs or rates only where the end is that of a run which was not interrupted."""
    path, whole = tmp_path / "c", tmp_path / "whole"
    simple(lr=0.1, checkpoint=path, epochs=2).fit()
    for wrong, words in (
        (lambda: simple(lr=0.2, checkpoint=path, epochs=3), "other learning rates"),
        (lambda: simple(checkpoint=path, epochs=1), "epoch 2, but there are to be 1"),
        (lambda: simple(checkpoint=path, epochs=3, clip=1.0), "clip None, not 1.0"),
    ):
        with pytest.raises(FileError, match=words):
            wrong().fit()
    other = simple(checkpoint=path)
    other.optimizer = SGD(other.model.parameters, 0.1, 0.9)
    with pytest.raises(FileError, match=r"momentum 0.0, not 0.9"):
        other.fit()
    other.optimizer = SGD(other.model.parameters, cosine(0.1, 4))
    with pytest.raises(FileError, match="depend on the number of epochs"):
        other.fit()
    longer, wanted = simple(checkpoint=path, epochs=3), simple(checkpoint=whole, epochs=3)

    assert longer.fit() == wanted.fit()
    assert path.read_bytes() == whole.read_bytes()
