"""Philox and what is drawn from it."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import compress_tensor as ct
from compress_tensor import DType, Generator, InputError
from compress_tensor.random import philox


def slow_philox(counter, key):
    """Philox 4x32-10 as the paper writes it, in Python's integers."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ([0] * 4, (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_published_known_answers(counter, key, expected):
    """The vectors that come with the authors' Random123."""
    assert [int(word, 16) for word in expected.split()] == philox(
        np.array([counter], np.uint32), key
    )[0].tolist()
    assert [int(word, 16) for word in expected.split()] == slow_philox(counter, key)


def test_words_are_the_counters_in_order():
    """Word w is word w % 4 of block w // 4, from any position, also past 2**32 blocks."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        seed = int(rng.integers(0, 2**64, dtype=np.uint64))
        start = int(rng.integers(0, 2**40)) + int(rng.choice([0, (1 << 34) - 3, 1 << 50]))
        n = int(rng.integers(0, 30))
        words = Generator(seed, start).words(n).tolist()
        expected = []
        for w in range(start, start + n):
            block = w // 4
            counter = [block & 0xFFFFFFFF, block >> 32, 0, 0]
            expected.append(slow_philox(counter, (seed & 0xFFFFFFFF, seed >> 32))[w % 4])
        assert expected == words


def test_splitting_a_request_changes_nothing():
    """rand, randn and randint draw the same whether at once or in parts."""
    rng = np.random.default_rng(2)
    for name in ("rand", "randn", "randint"):

        def draw(generator, n, name=name):
            if name == "randint":
                return generator.randint(-5, 1000, n).tolist()
            return getattr(generator, name)(n).tolist()

        for _ in range(20):
            sizes = rng.integers(0, 40, 5).tolist()
            one, many = Generator(9), Generator(9)
            assert draw(one, sum(sizes)) == [x for n in sizes for x in draw(many, n)]
            assert one.position == many.position


def test_large_requests_equal_small_ones():
    """The blocks that are computed at a time leave no seam."""
    n = (1 << 18) + 100
    whole = Generator(4).words(n)
    assert np.array_equal(whole[-200:], Generator(4, n - 200).words(200))


def test_distributions():
    """Ranges, means, variances, and how often each value comes."""
    g = Generator(3)
    u = g.rand(200_000).numpy()
    assert 0 <= u.min() < 1e-4
    assert 1 - 1e-4 < u.max() < 1
    assert abs(u.mean() - 0.5) < 0.003
    assert abs(u.var() - 1 / 12) < 0.001
    z = g.randn(400, 500).numpy()
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    assert abs((z**4).mean() - 3) < 0.1
    assert abs((np.abs(z) < 1).mean() - 0.6827) < 0.005
    counts = np.bincount(g.randint(0, 10, (100_000,)).numpy(), minlength=10)
    assert (abs(counts - 10_000) < 500).all()
    both = np.corrcoef(z[:, :-1].ravel(), z[:, 1:].ravel())[0, 1]
    assert abs(both) < 0.01


def test_types_shapes_and_bounds():
    """Every float and integer type; extreme ranges of integers."""
    g = Generator(5)
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        assert g.rand(2, 3, dtype=dtype).dtype is DType[dtype.upper()]
        assert g.randn((2, 3), dtype=dtype).shape == (2, 3)
    for dtype in ("int8", "uint8", "int32", "int64", "uint64", "int4", "uint16"):
        low, high = DType[dtype.upper()].integer_range
        drawn = g.randint(low, high + 1, (500,), dtype)
        numbers = ct.to_numbers(drawn).astype(object)
        assert drawn.dtype is DType[dtype.upper()]
        assert low <= numbers.min() < low + (high - low) / 4
        assert high >= numbers.max() > high - (high - low) / 4
    assert set(g.randint(3, 5, (100,)).tolist()) == {3, 4}
    assert g.randint(0, 1).item() == 0
    assert sorted(g.permutation(50).tolist()) == list(range(50))
    assert g.rand(0, 3).shape == (0, 3)
    for wrong in (
        lambda: Generator(-1),
        lambda: Generator(1 << 64),
        lambda: g.randint(3, 3),
        lambda: g.randint(0, 300, 2, "uint8"),
        lambda: g.rand(2, dtype="int8"),
    ):
        with pytest.raises(InputError):
            wrong()


def test_normals_are_the_same_bytes_everywhere():
    """Pinned: libcore's functions do not differ between processors."""
    bits = Generator(1).randn(4).numpy().view(np.uint32)
    again = Generator(1).randn(4).numpy().view(np.uint32)
    assert bits.tolist() == again.tolist()
    assert abs(Generator(1).randn(1000).numpy()).max() < 6.7


def test_the_process_generator():
    """manual_seed starts it anew; a generator of one's own leaves it alone."""
    ct.manual_seed(11)
    first = ct.rand(3).tolist()
    ct.randn(2)
    ct.manual_seed(11)
    ct.rand(5, generator=Generator(0))
    assert first == ct.rand(3).tolist()
    assert ct.randint(0, 5, (2,)).shape == (2,)
    ct.manual_seed(0)


def test_threads_share_a_generator_without_overlap():
    """Every word is given out once."""
    g, drawn = Generator(8), []

    def draw():
        for _ in range(50):
            drawn.extend(g.words(10).tolist())

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(drawn) == sorted(Generator(8).words(2000).tolist())
