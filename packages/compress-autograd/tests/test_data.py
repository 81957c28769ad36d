"""Data sets written in each format and read back; broken ones end in one sentence."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest

from compress_autograd.data import (
    PRESETS,
    CharacterStreams,
    Preprocess,
    batches,
    load_preprocess,
    open_dataset,
    preset,
)
from compress_tensor import FileError, InputError


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(3)


def picture(path, array):
    image = pytest.importorskip("PIL.Image")
    image.fromarray(array).save(path)


def clip(path, samples, rate=16000, width=2):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def test_pictures_in_class_folders(tmp_path, rng):
    """Classes are the folders in the order of their names; pixels come back exactly from PNG."""
    pictures = rng.integers(0, 256, (4, 9, 7, 3)).astype(np.uint8)
    for i, name in enumerate(["dog", "cat", "cat", "ant"]):
        (tmp_path / name).mkdir(exist_ok=True)
        picture(tmp_path / name / f"{i}.png", pictures[i])
    found = open_dataset(tmp_path)

    assert found.classes == ["ant", "cat", "dog"]
    assert [found.label(i) for i in range(4)] == [0, 1, 1, 2]
    assert np.array_equal(found.sample(3), pictures[0])


def test_pictures_listed_in_a_table(tmp_path, rng):
    """labels.tsv gives order, class numbers and names."""
    for name in ("a.png", "b.png"):
        picture(tmp_path / name, rng.integers(0, 256, (4, 4, 3)).astype(np.uint8))
    (tmp_path / "labels.tsv").write_text("file\tclass\tname\nb.png\t2\tbee\na.png\t0\tant\n")
    found = open_dataset(tmp_path)

    assert [found.label(0), found.label(1)] == [2, 0]
    assert found.classes == ["ant", "1", "bee"]
    (tmp_path / "labels.tsv").write_text("file\tclass\nc.png\t1\n")
    with pytest.raises(FileError, match=r"line 2 names c\.png, which is missing"):
        open_dataset(tmp_path)


def test_cifar_idx_and_numpy(tmp_path, rng):
    """Binary formats come back bit for bit, with their labels."""
    pixels = rng.integers(0, 256, (5, 3, 32, 32)).astype(np.uint8)
    labels = rng.integers(0, 10, 5).astype(np.uint8)
    rows = np.concatenate([labels[:, None], pixels.reshape(5, -1)], axis=1)
    (tmp_path / "test.bin").write_bytes(rows.tobytes())
    cifar = open_dataset(tmp_path / "test.bin")

    assert np.array_equal(cifar.sample(3), pixels[3].transpose(1, 2, 0))
    assert [cifar.label(i) for i in range(5)] == labels.tolist()

    grey = rng.integers(0, 256, (5, 28, 28)).astype(np.uint8)
    head = b"\0\0\x08\x03" + np.array([5, 28, 28], ">u4").tobytes()
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(head + grey.tobytes()))
    head = b"\0\0\x08\x01" + np.array([5], ">u4").tobytes()
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    idx = open_dataset(tmp_path / "t10k-images-idx3-ubyte.gz")

    assert np.array_equal(idx.sample(2)[..., 0], grey[2])
    assert idx.label(4) == labels[4]

    x = rng.standard_normal((5, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=labels)
    arrays = open_dataset(tmp_path / "d.npz")

    assert np.array_equal(arrays.sample(1), x[1])
    assert arrays.label(1) == labels[1]


def test_clips(tmp_path, rng):
    """16-bit audio is int16 / 32768; the preset cuts or pads to one second."""
    (tmp_path / "yes").mkdir()
    samples = rng.integers(-32768, 32768, 12000).astype("<i2")
    clip(tmp_path / "yes" / "1.wav", samples)
    found = open_dataset(tmp_path)
    data = preset("speech")(found.sample(0))

    assert data.shape == (16000,)
    assert np.array_equal(data[:12000], samples.astype(np.float32) / 32768)
    clip(tmp_path / "yes" / "1.wav", samples, width=1)
    with pytest.raises(FileError, match="8-bit samples"):
        open_dataset(tmp_path).sample(0)


def test_archive_of_pictures(tmp_path, rng):
    """Class folders inside a tar.gz give the same pictures as the folders themselves."""
    image = pytest.importorskip("PIL.Image")
    for name in ("cat", "ant"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for n in range(2):
            picture = rng.integers(0, 256, (5, 4, 3)).astype(np.uint8)
            image.fromarray(picture).save(tmp_path / "data" / name / f"{n}.png")
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "data", "train")
    packed, loose = open_dataset(tmp_path / "a.tar.gz"), open_dataset(tmp_path / "data")

    assert (["ant", "cat"], 4) == (packed.classes, len(packed))
    for n in range(4):
        assert loose.label(n) == packed.label(n)
        assert np.array_equal(loose.sample(n), packed.sample(n))
    (tmp_path / "b.tar.gz").write_bytes((tmp_path / "a.tar.gz").read_bytes()[:90])
    with pytest.raises(FileError, match="is not an archive that can be read"):
        open_dataset(tmp_path / "b.tar.gz")
    with tarfile.open(tmp_path / "c.tar", "w") as archive:
        archive.add(tmp_path / "a.tar.gz", "a/b.txt")
    with pytest.raises(FileError, match="holds no pictures"):
        open_dataset(tmp_path / "c.tar")


def test_tables_of_texts(tmp_path):
    """Tab-separated, comma-separated and JSON lines give texts and numbered classes."""
    (tmp_path / "a.tsv").write_text("good film\t1\nbad\tfilm\t0\n")
    (tmp_path / "a.csv").write_text('"3","A ""title""","text"\n"1","B","more"\n')
    lines = [{"text": "x", "label": "neg", "file": "f"}, {"text": "y", "label": "pos"}]
    packed = gzip.compress("\n".join(map(json.dumps, lines)).encode())
    (tmp_path / "a.jsonl.gz").write_bytes(packed)
    tsv, table, jsonl = (open_dataset(tmp_path / f"a.{s}") for s in ("tsv", "csv", "jsonl.gz"))

    assert (tsv.sample(1), tsv.label(1), tsv.classes) == ("bad\tfilm", 0, ["0", "1"])
    assert (table.sample(0), table.label(0)) == ('A "title"\ntext', 1)
    assert (jsonl.sample(1), jsonl.label(1)) == ("y", 1)


def test_character_streams(tmp_path):
    """The last tenth is cut into streams; left-over characters are dropped."""
    (tmp_path / "t.txt").write_text("ab" * 500 + "c")
    (tmp_path / "v.json").write_text(json.dumps({"tokens": ["a", "b", "c"]}))
    streams = CharacterStreams(tmp_path / "t.txt", tmp_path / "v.json", 3)

    assert streams.ids.shape == (3, 33)
    assert streams.ids[0, :2].tolist() == [0, 1]  # from character 900 on
    (tmp_path / "v.json").write_text('{"a": 0}')
    with pytest.raises(FileError, match="no id for 'b'"):
        CharacterStreams(tmp_path / "t.txt", tmp_path / "v.json", 3)


def test_presets_do_what_their_definition_says(rng):
    """Resize, crop and the norms against the formulas."""
    pytest.importorskip("PIL")
    image = rng.integers(0, 256, (300, 400, 3)).astype(np.uint8)
    out = preset("imagenet")(image)
    assert out.shape == (3, 224, 224)
    assert out.dtype == np.float32
    small = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    chw = small.transpose(2, 0, 1).astype(np.float64)
    mean = np.array([0.485, 0.456, 0.406])[:, None, None]
    std = np.array([0.229, 0.224, 0.225])[:, None, None]

    np.testing.assert_allclose(preset("cifar10")(small), (chw / 255 - mean) / std, atol=1e-6)
    np.testing.assert_allclose(preset("cifar10-pm1")(small), chw / 127.5 - 1, atol=1e-6)
    assert np.array_equal(preset("cifar10-raw")(small), chw.astype(np.float32))
    assert preset("imagenet-pm1")(image).min() >= -1
    assert preset("imagenet-unit")(image).max() <= 1


def test_descriptions_round_trip_and_say_what_is_wrong(tmp_path):
    """Every preset survives its file; a misspelt step is answered with the right one."""
    for name, made in PRESETS.items():
        path = tmp_path / f"{name}.json"
        path.write_text(made.to_json())
        again = load_preprocess(path)
        assert json.loads(made.to_json()) == json.loads(again.to_json())
    (tmp_path / "bad.json").write_text('{"steps": [{"resice": 3}]}')
    with pytest.raises(FileError, match="did you mean 'resize'"):
        load_preprocess(tmp_path / "bad.json")
    with pytest.raises(InputError, match="did you mean 'imagenet'"):
        preset("imagnet")
    with pytest.raises(InputError, match="smaller than the crop"):
        Preprocess((("crop", 9),))(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_keep_the_order(tmp_path, rng, workers):
    """All samples once, in order, the last batch smaller; shapes must agree."""
    x = rng.standard_normal((23, 2)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(23))
    found = list(batches(open_dataset(tmp_path / "d.npz"), preset("none"), 5, workers=workers))

    assert [len(b.inputs) for b in found] == [5, 5, 5, 5, 3]
    assert np.array_equal(x, np.concatenate([b.inputs for b in found]))
    assert np.concatenate([b.labels for b in found]).tolist() == list(range(23))
    with pytest.raises(InputError, match="batch size"):
        next(batches(open_dataset(tmp_path / "d.npz"), preset("none"), 0))


BROKEN = {
    "missing.bin": None,
    "short.bin": b"\x00" * 100,
    "label.bin": b"\xff" * 3073,
    "a.npy": b"\x93NUMPY\x01\x00nonsense",
    "a.npz": b"PK\x03\x04broken",
    "train-images-idx3-ubyte": b"\0\0\x08\x03\0\0\0\x05",
    "huge-idx3-ubyte": b"\0\0\x08\x03" + b"\xff" * 12,
    "a.csv": b"",
    "a.jsonl": b'{"text": 1}\n',
    "a.tsv": b"\xff\xfe",
    "a.jsonl.gz": b"\x1f\x8bnot",
    "a.exe": b"MZ",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_end_in_one_sentence(tmp_path, name):
    """Whatever is wrong with a file is a FileError that names it."""
    if BROKEN[name] is not None:
        (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(FileError, match=name):
        open_dataset(tmp_path / name)


def test_broken_folders_end_in_one_sentence(tmp_path):
    """An empty folder and a picture that is none."""
    with pytest.raises(FileError, match="neither pictures nor"):
        open_dataset(tmp_path)
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    pytest.importorskip("PIL")
    with pytest.raises(FileError, match=r"x\.png is not a picture"):
        open_dataset(tmp_path).sample(0)


DATA = os.environ.get("COMPRESS_DATA")


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="COMPRESS_DATA is not set")
def test_the_real_sets_have_their_sizes():
    """What the data's README says of each set."""
    root = Path(DATA or "")
    sizes = {
        "imagenet_samples": 500,
        "cifar10/test_1000.bin": 1000,
        "cifar10/train_4000.bin": 4000,
        "speech_commands": 720,
        "text/sst2/dev.tsv": 872,
        "text/ag_news_test.csv": 7600,
        "text/imdb_5k/test.jsonl.gz": 5000,
    }
    assert {name: len(open_dataset(root / name)) for name in sizes} == sizes
    vocabulary = root / "models/charrnn_shakespeare.vocab.json"
    streams = CharacterStreams(root / "text/tinyshakespeare.txt", vocabulary)
    assert streams.ids.shape == (16, 6971)
