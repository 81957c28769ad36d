"""Training from the command line, on data that a test can afford."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import wave

import numpy as np
import pytest

from compress_autograd.data import InMemory
from compress_bench import cli
from compress_bench.suite_memory import Case, step
from compress_bench.training.samples import Vocabulary, characters, held_out
from compress_bench.zoo import Initial
from compress_bench.zoo.transformer import Shape, bert
from compress_export import read_onnx
from compress_tensor import FileError, InputError, compile  # noqa: A004


@pytest.fixture
def rng():
    """Return the one source of random numbers of a test."""
    return np.random.default_rng(0)


@pytest.fixture
def command(monkeypatch, capsys):
    """Run compress-bench in this process; returns status, output and errors."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["compress-bench", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def pictures(tmp_path, rng):
    """Return a CIFAR file of 40 pictures of two kinds: red ones and blue ones."""
    records = []
    for n in range(40):
        picture = rng.integers(0, 100, (3, 32, 32))
        picture[0 if n % 2 else 2] += 120
        records.append(bytes([n % 2]) + picture.astype(np.uint8).tobytes())
    (tmp_path / "train.bin").write_bytes(b"".join(records))
    return tmp_path / "train.bin"


def clip(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.astype("<i2").tobytes())


@pytest.mark.parametrize("name", ["resnet20", "vit_tiny"])
def test_same_bytes_for_threads_and_runs(command, pictures, tmp_path, name):
    """One and two threads, and the same command again, write the same file."""
    words = ("train", name, "--data", pictures, "--test", pictures)
    words += ("--epochs", 2, "--batch", 20)
    files = []
    for number, threads in enumerate((1, 2, 1)):
        files.append(tmp_path / f"{number}.onnx")
        status, out, err = command(*words, "--threads", threads, "-o", files[-1])
        assert (0, "") == (status, err)
        assert "epoch 2: accuracy" in out

    assert files[0].read_bytes() == files[1].read_bytes() == files[2].read_bytes()
    assert not files[0].with_suffix(".checkpoint").exists()
    other = tmp_path / "other.onnx"
    command(*words, "--seed", 1, "-o", other)
    assert files[0].read_bytes() != other.read_bytes()


def test_a_killed_run_goes_on_to_the_same_bytes(pictures, tmp_path):
    """SIGKILL after the first checkpoint; --resume ends where an undisturbed run ends."""
    script = "from compress_bench.cli import main; main()"
    words = [sys.executable, "-c", script, "train", "resnet20", "--data", str(pictures)]
    words += ["--epochs", "3", "--batch", "8", "--every", "1"]
    killed, whole = tmp_path / "killed.onnx", tmp_path / "whole.onnx"
    checkpoint = killed.with_suffix(".checkpoint")
    with subprocess.Popen([*words, "-o", str(killed)], stdout=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + 60
        while not checkpoint.exists() and time.monotonic() < deadline and run.poll() is None:
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
    assert checkpoint.exists()
    assert not killed.exists()
    for path, extra in ((killed, ["--resume"]), (whole, [])):
        done = subprocess.run([*words, "-o", str(path), *extra], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr

    assert killed.read_bytes() == whole.read_bytes()


def test_what_is_trained_is_what_is_written(command, pictures, tmp_path):
    """The network learns which are red, and the file says so."""
    path = tmp_path / "resnet.onnx"
    words = ("train", "resnet20", "--data", pictures, "--epochs", 10, "--batch", 8, "-o", path)
    status, out, _ = command(*words)
    status_too, eval_out, _ = command(
        "eval", path, "--data", pictures, "--preprocess", "cifar10", "--json"
    )

    assert (0, 0) == (status, status_too)
    assert "accuracy 100.00%" in out.splitlines()[-1]
    assert json.loads(eval_out)["top1"] == 1.0


def test_texts(command, tmp_path):
    """Words become numbers; the vocabulary is written beside the model."""
    lines = [f"{'good fine' if n % 2 else 'bad poor'} film {n}\t{n % 2}" for n in range(30)]
    (tmp_path / "t.tsv").write_text("\n".join(lines))
    path = tmp_path / "text.onnx"
    words = ("train", "text_classifier", "--data", tmp_path / "t.tsv", "--epochs", 2)
    status, out, _ = command(*words, "--batch", 6, "-o", path)
    vocabulary = json.loads(path.with_suffix(".vocab.json").read_text())

    assert (0, True) == (status, "accuracy" in out)
    assert {"good", "bad", "film"} <= set(vocabulary)
    assert {v.name for v in read_onnx(path).inputs} >= {"input_ids", "attention_mask"}


def test_clips(command, tmp_path, rng):
    """Audio goes in as it is: the front end is inside the file, and is not trained."""
    for name in ("no", "yes"):
        (tmp_path / "clips" / name).mkdir(parents=True)
        for n in range(5):
            clip(tmp_path / "clips" / name / f"{n}.wav", rng.integers(-9000, 9000, 15000))
    path = tmp_path / "kwt.onnx"
    words = ("train", "kwt", "--data", tmp_path / "clips", "--epochs", 1, "--batch", 4)
    status, _, _ = command(*words, "-o", path)
    graph, audio = read_onnx(path), np.zeros((1, 16000), np.float32)

    assert status == 0
    assert compile(graph).run({"input": audio})["output"].shape == (1, 2)
    from compress_bench.zoo.front_end import fourier

    assert graph.constants["frontend.fourier"].tobytes() == fourier(257).tobytes()


def test_characters(command, tmp_path):
    """A text of one repeated line is soon known; bits per character are printed."""
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on a mat. " * 400)
    path = tmp_path / "lm.onnx"
    words = ("train", "char_lstm", "--data", text, "--epochs", 2, "--batch", 8, "--lr", 0.02)
    status, out, _ = command(*words, "-o", path)
    value = float(out.splitlines()[-1].split()[-4])
    told = command("eval", path, "--data", text, "--preprocess", "charlm", "--json")[1]

    assert status == 0
    assert out.splitlines()[-1].endswith("bits per character")
    assert value < 3.5  # the entropy of single characters here, 3.3 bits, is what comes first
    assert json.loads(told)["bits"] == pytest.approx(value, abs=1e-4)


def test_mistakes(command, pictures, tmp_path, monkeypatch):
    """One sentence and status 2, before anything is trained."""
    monkeypatch.delenv("COMPRESS_DATA", raising=False)
    good = ("--data", pictures, "-o", tmp_path / "x.onnx")
    (tmp_path / "t.tsv").write_text("a\t0\nb\t1\n")
    cases = [
        (("alexnet", *good), "no recipe for 'alexnet'"),
        (("resnet20", "-o", tmp_path / "x.onnx"), "give --data, or set COMPRESS_DATA"),
        (("resnet20", "--data", tmp_path / "none", "-o", tmp_path / "x.onnx"), "does not exist"),
        (("resnet20", "--data", pictures, "-o", tmp_path / "no/x.onnx"), "create its folder"),
        (("resnet20", "--data", pictures, "-o", tmp_path / "x.bin"), "must end in .onnx"),
        (("resnet20", *good, "--lr", -1), "learning rate must be positive"),
        (("resnet20", *good, "--memory", "lots"), "no amount of memory"),
        (("resnet20", *good, "--memory", "1MB"), "make the batch smaller or the budget larger"),
        (("text_classifier", *good), "trained on texts"),
        (("text_classifier", "--data", tmp_path / "t.tsv", *good[2:]), "give --test"),
        (("char_lstm", "--data", tmp_path / "t.tsv", *good[2:]), "too short"),
        (("char_lstm", *good, "--test", pictures), "leave --test out"),
    ]
    for words, sentence in cases:
        status, _, err = command("train", *words)
        assert (2, 1) == (status, err.strip().count("\n") + 1), words
        assert sentence in err
    assert not (tmp_path / "x.onnx").exists()


def test_every_fifth_of_a_class_is_held_out():
    """Nothing is in both parts, and every class is in the test."""
    data = InMemory(np.arange(30), [0, 1, 1] * 10)
    train, test = held_out(data)
    parts = [[int(part.sample(n)) for n in range(len(part))] for part in (train, test)]

    assert sorted(parts[0] + parts[1]) == list(range(30))
    assert [2, 4] == [[test.label(n) for n in range(len(test))].count(c) for c in (0, 1)]
    with pytest.raises(InputError, match="hold one out"):
        held_out(InMemory(np.arange(4), [0, 0, 0, 0]))


def test_vocabulary():
    """Frequent words first, ties by spelling; cut and padded to one length."""
    words = Vocabulary(["b a, B", "c a"], 6, 5)

    assert [2, 4, 3, 1, 0] == words("B a zebra").tolist()
    assert 5 == len(words("a " * 99))


def test_pieces_of_a_text(tmp_path):
    """Pieces overlap by one character, so that each is predicted once; the end is held out."""
    (tmp_path / "t.txt").write_text("abcdefghij" * 10)
    pieces, alphabet = characters(tmp_path / "t.txt", 20)

    assert list("abcdefghij") == alphabet
    assert (4, 21) == pieces.shape
    assert pieces[0, -1] == pieces[1, 0]
    with pytest.raises(FileError, match="too short"):
        characters(tmp_path / "t.txt", 500)


def test_a_budget_of_memory_on_a_small_bert():
    """Refused without checkpointing, naming the remedy; with it the losses are the same bits."""
    graph = bert(Initial(0), Shape(4, 64, 2, 256), 64, vocabulary=100, positions=64, classes=2)
    plain = step(lambda: graph, Case(None, False), 8)
    refused = step(lambda: graph, Case("9MB", False), 8)
    again = step(lambda: graph, Case("9MB", True), 8)

    assert "a training step needs" in refused["refused"]
    assert "checkpointing=True" in refused["refused"]
    assert again["computed_again"] > 0
    assert plain["losses"] == again["losses"]


def test_a_run_does_not_go_on_with_other_numbers(command, pictures, tmp_path, monkeypatch):
    """--resume with another --lr or --epochs is one sentence, and status 2."""
    path = tmp_path / "r.onnx"
    words = ("train", "resnet20", "--data", pictures, "--epochs", 2, "--batch", 20, "-o", path)
    kept = path.with_suffix(".checkpoint")
    with monkeypatch.context() as patch:
        patch.setattr("compress_bench.cli_train.write_onnx", lambda *given: sys.exit(9))
        assert command(*words, "--every", 1)[0] == 9
    assert kept.exists()
    for extra in (("--lr", 0.7), ("--epochs", 3)):
        status, _, err = command(*words, *extra, "--resume")

        assert status == 2
        assert "other learning rates" in err
        assert "Traceback" not in err
    assert command(*words, "--resume")[0] == 0
