"""Shuffled and augmented batches: what is drawn depends on seed and epoch alone."""

from __future__ import annotations

import numpy as np
import pytest

from compress_autograd.data import (
    Chance,
    Crop,
    Cutout,
    Flip,
    InMemory,
    Loader,
    Noise,
    Shift,
    pad_sequences,
)
from compress_tensor import InputError

IMAGES = np.random.default_rng(0).standard_normal((23, 3, 8, 8)).astype(np.float32)


def loader(workers: int = 1, **keywords: object) -> Loader:
    data = InMemory(IMAGES, np.arange(23) % 5)
    changes = [Crop(2), Flip(), Cutout(3), Noise(0.1)]
    return Loader(data, np.asarray, 4, augment=changes, mixup=0.4, workers=workers, **keywords)  # type: ignore[arg-type]


def test_batches_do_not_depend_on_workers_nor_on_where_one_starts() -> None:
    one = [b.inputs.tobytes() for b in loader(1).epoch(3)]
    three = [b.inputs.tobytes() for b in loader(3).epoch(3)]
    late = [b.inputs.tobytes() for b in loader(2).epoch(3, 4)]

    assert len(one) == len(loader()) == 6
    assert one == three
    assert one[4:] == late
    assert one != [b.inputs.tobytes() for b in loader().epoch(2)]
    assert one != [b.inputs.tobytes() for b in loader(seed=1).epoch(3)]


def test_every_sample_comes_once() -> None:
    data = InMemory(np.arange(23.0), np.arange(23))
    plain = Loader(data, np.asarray, 4, drop_last=True)
    seen = np.concatenate([b.labels for b in Loader(data, np.asarray, 4).epoch(0)])  # type: ignore[misc]

    assert sorted(seen.tolist()) == list(range(23))
    assert seen.tolist() != list(range(23))
    assert len(plain) == len(list(plain.epoch(0))) == 5
    ordered = Loader(data, np.asarray, 4, shuffle=False)
    assert [0, 1, 2, 3] == next(ordered.epoch(7)).labels.tolist()  # type: ignore[union-attr]


def test_changes_of_pictures() -> None:
    x = IMAGES[0]
    flips = [np.array_equal(Flip()(x, Chance(0, 0, n)), x[..., ::-1]) for n in range(200)]
    holes = [Cutout(3, 9.0)(x, Chance(0, 0, n)) for n in range(50)]
    crops = [Crop(2)(x, Chance(0, 0, n)) for n in range(50)]

    assert 70 < sum(flips) < 130
    assert all(0 < (hole == 9.0).sum() <= 27 for hole in holes)
    assert any(np.array_equal(c[:, 2:, 1:], x[:, :-2, :-1]) for c in crops)
    assert all(np.isin(c, np.append(x, 0)).all() for c in crops)


def test_changes_of_audio() -> None:
    x = np.arange(1.0, 101.0, dtype=np.float32)
    shifted = Shift(10)(x, Chance(0, 0, 4))
    noise = np.concatenate([Noise(1.0)(x, Chance(0, 0, n)) - x for n in range(200)])
    step = int(shifted[50] - x[50])

    assert 0 < abs(step) <= 10
    assert (shifted == 0).sum() == abs(step)
    assert abs(noise.mean()) < 0.02
    assert 0.5 < noise.std() < 0.65  # uniform deviations: sqrt(1 / 3)


def test_mixup_mixes_inputs_and_says_how() -> None:
    data = InMemory(IMAGES, np.arange(23) % 5)
    plain = next(Loader(data, np.asarray, 8).epoch(0))
    mixed = next(Loader(data, np.asarray, 8, mixup=1.0).epoch(0))

    assert 0 <= mixed.share <= 1
    np.testing.assert_array_equal(plain.labels, mixed.labels)  # type: ignore[arg-type]
    turns = [np.roll(np.arange(8), k) for k in range(8)]
    blends = [
        plain.inputs * np.float32(mixed.share) + plain.inputs[t] * np.float32(1 - mixed.share)
        for t in turns
    ]
    fits = [k for k, b in enumerate(blends) if np.allclose(b, mixed.inputs, atol=1e-6)]
    assert len(fits) == 1
    np.testing.assert_array_equal(plain.labels[turns[fits[0]]], mixed.other_labels)  # type: ignore[index,arg-type]


def test_texts_are_padded_and_go_by_length() -> None:
    rng = np.random.default_rng(0)
    texts = [np.arange(n) + 1 for n in rng.integers(1, 40, 200)]
    lengths = [len(t) for t in texts]
    found = list(Loader(InMemory(texts), np.asarray, 8, pad=0, lengths=lengths).epoch(0))
    mixed = list(Loader(InMemory(texts), np.asarray, 8, pad=0).epoch(0))
    waste = [sum(int((b.inputs == 0).sum()) for b in bs) for bs in (found, mixed)]

    assert sorted(lengths) == sorted(np.concatenate([b.lengths for b in found]).tolist())  # type: ignore[misc]
    assert waste[0] < 0.2 * waste[1]
    assert [b.inputs.shape[1] for b in found] != sorted(b.inputs.shape[1] for b in found)
    padded = pad_sequences([np.array([1, 2]), np.array([1, 2, 3])], -1)
    np.testing.assert_array_equal([[1, 2, -1], [1, 2, 3]], padded)


def test_what_does_not_fit_is_refused() -> None:
    ragged = InMemory([np.zeros(2), np.zeros(3)])
    with pytest.raises(InputError, match="others have"):
        list(Loader(ragged, np.asarray, 2).epoch(0))
    with pytest.raises(InputError, match="no whole batch"):
        Loader(ragged, np.asarray, 3, drop_last=True)
    with pytest.raises(InputError, match="2 samples, but 3 labels"):
        InMemory(np.zeros((2, 2)), [1, 2, 3])
    with pytest.raises(InputError, match="at least 1"):
        Loader(ragged, np.asarray, 0)
