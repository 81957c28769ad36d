"""The command compress-quant: what it writes, and what it says about bad input."""

from __future__ import annotations

import errno
import json
import os
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")

from compress_export import read_onnx, write_onnx
from compress_quant import cli
from compress_tensor import Builder, DType
from compress_tensor import files as tensor_files


@pytest.fixture
def rng():
    return np.random.default_rng(24)


@pytest.fixture
def work(tmp_path, rng):
    """Return a folder with a model, samples and broken ones."""
    b = Builder()
    x = b.input("input", DType.FLOAT32, ("N", 3, 8, 8))
    h = b.relu(b.conv(x, rng.normal(size=(4, 3, 3, 3)).astype(np.float32), name="c"), name="r")
    h = b.flatten(b.global_average_pool(h), name="f")
    b.output("output", b.gemm(h, rng.normal(size=(5, 4)).astype(np.float32), transB=1, name="l"))
    write_onnx(b.graph(), tmp_path / "m.onnx")
    data = rng.normal(size=(12, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "d.npy", data)
    np.savez(tmp_path / "labelled.npz", x=data, y=np.zeros(12, np.int64))
    np.save(tmp_path / "empty.npy", data[:0])
    np.save(tmp_path / "channels.npy", data[:, :2])
    np.save(tmp_path / "size.npy", data[:, :, :4])
    np.save(tmp_path / "rank.npy", data[:, 0])
    np.save(tmp_path / "double.npy", data.astype(np.float64))
    nan = data.copy()
    nan[5] = np.nan
    np.save(tmp_path / "nan.npy", nan)
    (tmp_path / "broken.npy").write_bytes(b"no numpy")
    (tmp_path / "folder").mkdir()
    (tmp_path / "t.tsv").write_text("a text\t1\n")
    (tmp_path / "typo.yaml").write_text("obsever: mse\n")
    (tmp_path / "clash.yaml").write_text("{target: tensorrt, activations: s8}\n")
    b = Builder()
    b.output("output", b.relu(b.input("input", DType.FLOAT32, ("N", 3, 8, 8))))
    write_onnx(b.graph(), tmp_path / "nothing.onnx")
    b = Builder()
    one, two = (b.input(n, DType.FLOAT32, ("N", 4)) for n in "ab")
    b.output("output", b.matmul(b.add(one, two), np.ones((4, 4), np.float32)))
    write_onnx(b.graph(), tmp_path / "two.onnx")
    return tmp_path


def command(monkeypatch, folder, *words, name="static"):
    """Run ``compress-quant static`` (or another one) in a folder; return its status."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["compress-quant", name, *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def listing(folder):
    return {path.name for path in folder.iterdir()}


def test_it_writes_model_ledger_and_certificate(work, monkeypatch, capsys):
    """And prints both as JSON if asked."""
    status = command(
        monkeypatch, work, "m.onnx", "--data", "d.npy", "-o", "q.onnx", "--json", "--embed",
        "--memory", "4GB",
    )  # fmt: skip
    report = json.loads(capsys.readouterr().out)

    assert 0 == status
    ledger = json.loads((work / "q.ledger.json").read_text())
    certificate = json.loads((work / "q.certificate.json").read_text())
    assert {"ledger": ledger, "certificate": certificate} == report
    assert 12 == ledger["samples"]
    assert {"int8", "float"} >= {d["form"] for d in ledger["decisions"]}
    assert certificate["comparisons"][0]["agrees"]
    graph = read_onnx(work / "q.onnx")
    assert json.loads(graph.metadata["compress_certificate"]) == certificate


def test_it_prints_a_table(work, monkeypatch, capsys):
    """With a line per node; labels in the data are not looked at."""
    status = command(
        monkeypatch, work, "m.onnx", "--data", "labelled.npz", "-o", "q.onnx", "--no-certificate",
        "--samples", 5, "--observer", "minmax", "--target", "tensorrt", "--threads", 2,
        "--ledger", "l.json", "--exclude", "l", "--strict",
    )  # fmt: skip
    text = capsys.readouterr().out

    assert 0 == status
    assert "excluded by 'l'" in text
    assert "5 samples" in " ".join(text.split())
    assert {"l.json", "q.onnx"} <= listing(work)
    assert not {"q.certificate.json", "q.ledger.json"} & listing(work)


BAD = [
    (["m.onnx", "--data", "empty.npy"], "empty"),
    (["m.onnx", "--data", "none"], "does not exist"),
    (["m.onnx", "--data", "broken.npy"], "cannot be read"),
    (["m.onnx", "--data", "folder"], "neither pictures nor"),
    (["m.onnx", "--data", "t.tsv"], "texts"),
    (["m.onnx", "--data", "channels.npy"], "wants [3, 8, 8]"),
    (["m.onnx", "--data", "size.npy"], "wants [3, 8, 8]"),
    (["m.onnx", "--data", "rank.npy"], "wants [3, 8, 8]"),
    (["m.onnx", "--data", "double.npy"], "float64"),
    (["m.onnx", "--data", "nan.npy"], "sample 5"),
    (["m.onnx", "--data", "d.npy", "--preprocess", "imagenett"], "did you mean 'imagenet'"),
    (["m.onnx", "--data", "d.npy", "--recipe", "typo.yaml"], "did you mean 'observer'"),
    (["m.onnx", "--data", "d.npy", "--recipe", "clash.yaml"], "no zero points"),
    (["m.onnx", "--data", "d.npy", "--recipe", "no.yaml"], "cannot be read"),
    (["m.onnx", "--data", "d.npy", "--memory", "much"], "not a size"),
    (["m.onnx", "--data", "d.npy", "--memory", "1MB"], "give at least"),
    (["m.onnx", "--data", "d.npy", "--percentile", "10"], "above 50"),
    (["m.onnx", "--data", "d.npy", "--exclude", "cc"], "names no node"),
    (["m.onnx", "--data", "d.npy", "--op-types", "Convv"], "'Convv'"),
    (["m.onnx", "--data", "d.npy", "--observer", "wild"], "Invalid value"),
    (["m.onnx", "--data", "d.npy", "--samples", "0"], "Invalid value"),
    (["nothing.onnx", "--data", "d.npy"], "nothing to quantize"),
    (["two.onnx", "--data", "d.npy"], "inputs a, b"),
    (["d.npy", "--data", "d.npy"], "not an ONNX model"),
    (["none.onnx", "--data", "d.npy"], "none.onnx"),
]


@pytest.mark.parametrize(("words", "text"), BAD, ids=[" ".join(w[1:]) + w[0] for w, _ in BAD])
def test_bad_input_is_one_sentence_and_status_2(work, monkeypatch, capsys, words, text):
    """And nothing is written."""
    before = listing(work)
    status = command(monkeypatch, work, *words, "-o", "q.onnx")
    said = capsys.readouterr().err

    assert 2 == status
    assert text in " ".join(said.split())
    assert "Traceback" not in said
    assert before == listing(work)
    if said.startswith("error:"):
        assert 1 == len(said.strip().splitlines())


@pytest.mark.parametrize(
    ("output", "text"),
    [("m.onnx", "named twice"), ("nowhere/q.onnx", "cannot be written"), ("folder", "folder")],
)
def test_outputs_that_cannot_be(work, monkeypatch, capsys, output, text):
    """The model itself, a missing folder, a folder."""
    before = listing(work)
    status = command(monkeypatch, work, "m.onnx", "--data", "d.npy", "-o", output)

    assert 2 == status
    assert text in capsys.readouterr().err
    assert before == listing(work)


def test_a_quantized_model_is_refused(work, monkeypatch, capsys):
    """Rather than quantized again."""
    assert 0 == command(monkeypatch, work, "m.onnx", "--data", "d.npy", "-o", "q.onnx")
    assert 2 == command(monkeypatch, work, "q.onnx", "--data", "d.npy", "-o", "p.onnx")
    assert "already quantized" in capsys.readouterr().err


def test_ctrl_c_leaves_nothing_behind(work, monkeypatch, capsys):
    """In the middle of the work."""

    def interrupted(*args, **keywords):
        raise KeyboardInterrupt

    before = listing(work)
    monkeypatch.setattr(cli, "quantize_static", interrupted)
    status = command(monkeypatch, work, "m.onnx", "--data", "d.npy", "-o", "q.onnx")

    assert 2 == status
    assert "interrupted" in capsys.readouterr().err
    assert before == listing(work)


def test_a_full_disk_leaves_nothing_behind(work, monkeypatch, capsys):
    """Although some of the files were already written."""
    real, calls = os.fsync, []

    def full(number):
        calls.append(number)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(number)

    before = listing(work)
    monkeypatch.setattr(tensor_files.os, "fsync", full)
    status = command(monkeypatch, work, "m.onnx", "--data", "d.npy", "-o", "q.onnx")

    assert 2 == status
    assert "No space left" in capsys.readouterr().err
    assert before == listing(work)


QAT = ("m.onnx", "-o", "q.onnx", "--epochs", "2", "--batch", "4", "--lr", "0.01")


def test_training_with_quantization(work, monkeypatch, capsys):
    """Model, ledger and certificate; a second run goes on from the checkpoint's end: same bytes."""
    words = (*QAT, "--data", "labelled.npz", "--weight-bits", "4", "--augment", "crop,flip")
    more = ("--validate", "labelled.npz", "--checkpoint", "c.ckpt")
    found = []
    for _ in range(2):
        assert command(monkeypatch, work, *words, *more, name="qat") == 0
        found.append((work / "q.onnx").read_bytes())
    assert command(monkeypatch, work, *words, *more, "--distill", name="qat") == 2
    assert "run with targets labels, not the float network's" in " ".join(
        capsys.readouterr().err.split()
    )
    (work / "c.ckpt").unlink()
    assert command(monkeypatch, work, *words, *more, name="qat") == 0
    found.append((work / "q.onnx").read_bytes())

    assert found[0] == found[1] == found[2]
    history = json.loads((work / "q.ledger.json").read_text())["history"]
    assert [set(record) for record in history] == [{"loss", "lr", "accuracy"}] * 2
    comparisons = json.loads((work / "q.certificate.json").read_text())["comparisons"]
    assert all(each["agrees"] for each in comparisons if each["codes"])
    graph = read_onnx(work / "q.onnx")
    assert not [node for node in graph.nodes if node.domain]
    assert "epoch 2" in capsys.readouterr().out


def test_training_by_the_float_network_needs_no_labels(work, monkeypatch, capsys):
    """Its scores are the aim: the divergence from them falls."""
    words = ("m.onnx", "-o", "q.onnx", "--data", "d.npy", "--weight-bits", "2", "--distill")
    more = ("--epochs", "6", "--batch", "4", "--lr", "0.01")

    assert command(monkeypatch, work, *words, *more, name="qat") == 0
    losses = [r["loss"] for r in json.loads((work / "q.ledger.json").read_text())["history"]]
    assert 0 < losses[-1] < 0.7 * losses[0]
    assert command(monkeypatch, work, *words[:-1], *more, name="qat") == 2
    assert "labels" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--data", "d.npy"), "the data set has no labels"),
        (("--data", "labelled.npz", "--weight-bits", "1"), "weight_bits must be from 2 to 8"),
        (("--data", "labelled.npz", "--augment", "rotate"), "no augmentation 'rotate'"),
        (("--data", "labelled.npz", "--lr", "-1"), "learning rate must be positive"),
        (("--data", "labelled.npz", "--lr", "1e30"), "NaN or infinite elements after training"),
        (("--data", "absent.npz"), "absent.npz does not exist"),
        (("--data", "labelled.npz", "--validate", "d.npy"), "no labels"),
    ],
)
def test_what_training_refuses(words, sentence, work, monkeypatch, capsys):
    """One sentence, status 2, nothing written."""
    before = listing(work)

    assert command(monkeypatch, work, *QAT, *words, name="qat") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert sentence in error
    assert "Traceback" not in error
    assert listing(work) == before
