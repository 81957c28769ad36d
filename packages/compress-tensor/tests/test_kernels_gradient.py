"""Kernels of gradients against their definitions in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compress_tensor import InputError, Tensor, get_num_threads, set_num_threads
from compress_tensor.eager import run_many

EPSILON = float(np.finfo(np.float32).eps)


def compare(
    op: str, arrays: list[Any], outputs: int = 1, terms: int = 1, **attributes: Any
) -> None:
    """Compare float32 with float64: errors grow with the root of the number of terms."""
    pairs = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in attributes.items())
    name = f"compress::{op}"
    wide = run_many(name, [Tensor(a.astype(np.float64)) for a in arrays], pairs, outputs)
    found = run_many(name, [Tensor(a) for a in arrays], pairs, outputs)
    for mine, exact in zip(found, wide, strict=True):
        limit = 8 * EPSILON * terms**0.5 * max(float(np.abs(exact.numpy()).max(initial=0)), 1.0)

        assert mine.shape == exact.shape
        np.testing.assert_allclose(mine.numpy(), exact.numpy(), rtol=0, atol=limit)


def real(seed: int, *shape: int) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


WINDOWS = [
    ((3, 5, 9, 8), 7, {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}),
    ((70, 16, 8, 8), 40, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ((2, 6, 9, 9), 9, {"kernel_shape": [3, 3], "group": 3, "dilations": [2, 1]}),
    ((2, 21, 7, 7), 21, {"kernel_shape": [3, 3], "group": 21, "pads": [1, 1, 1, 1]}),
    ((2, 4, 30), 6, {"kernel_shape": [5], "strides": [3]}),
    ((0, 4, 5, 5), 3, {"kernel_shape": [2, 2]}),
]


@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_gradients_of_convolution_weights(case: Any) -> None:
    shape, out, attributes = case
    weights = Tensor(
        real(1, out, shape[1] // attributes.get("group", 1), *attributes["kernel_shape"])
    )
    pairs = tuple((k, tuple(v) if isinstance(v, list) else v) for k, v in attributes.items())
    (y,) = run_many("Conv", [Tensor(real(0, *shape)), weights], pairs, 1)
    terms = max(y.size // out, 1)
    compare("ConvWeightGrad", [real(2, *shape), real(3, *y.shape)], terms=terms, **attributes)


@pytest.mark.parametrize(
    ("shape", "kernel", "strides", "pads", "dilations"),
    [
        ((3, 37, 9, 8), [3, 3], [2, 2], [1, 1, 1, 0], [1, 1]),
        ((2, 16, 11, 7), [2, 3], [1, 3], [0, 2, 1, 1], [2, 1]),
        ((4, 5, 20), [4], [3], [1, 2], [1]),
        ((0, 4, 5, 5), [2, 2], [1, 1], [0, 0, 0, 0], [1, 1]),
    ],
    ids=str,
)
def test_maximum_of_windows(
    shape: tuple[int, ...],
    kernel: list[int],
    strides: list[int],
    pads: list[int],
    dilations: list[int],
) -> None:
    attributes = {
        "kernel_shape": tuple(kernel),
        "strides": tuple(strides),
        "pads": tuple(pads),
        "dilations": tuple(dilations),
    }
    x = np.round(real(0, *shape) * 2)  # with many that are equal
    (y,) = run_many("MaxPool", [Tensor(x)], tuple(attributes.items()), 1)
    compare("MaxPoolGrad", [x, real(1, *y.shape)], **attributes)


@pytest.mark.parametrize(
    ("shape", "out", "attributes"),
    [
        ((3, 12, 9, 8), 7, {"strides": (2, 2), "pads": (1, 1, 1, 1), "output_padding": (1, 0)}),
        ((2, 6, 5, 7), 4, {"strides": (3, 1), "group": 2, "pads": (0, 2, 1, 0)}),
        ((2, 5, 4, 4), 6, {"strides": (4, 5)}),
        ((2, 8, 11), 3, {"strides": (2,), "pads": (1, 2)}),
        ((2, 4, 6, 6), 5, {"dilations": (2, 1), "strides": (2, 2)}),
    ],
    ids=str,
)
def test_transposed_convolution_with_computed_weights(
    shape: tuple[int, ...], out: int, attributes: dict[str, Any]
) -> None:
    """A phase of the stride at a time, some without any weight, beside the definition."""
    size = (3, 2)[: len(shape) - 2]
    arrays = [real(0, *shape), real(1, shape[1], out, *size)]
    pairs = tuple(attributes.items())
    (wide,) = run_many("ConvTranspose", [Tensor(a.astype(np.float64)) for a in arrays], pairs, 1)
    (found,) = run_many("ConvTranspose", [Tensor(a) for a in arrays], pairs, 1)

    limit = 64 * EPSILON * float(np.abs(wide.numpy()).max())
    np.testing.assert_allclose(found.numpy(), wide.numpy(), rtol=0, atol=limit)


@pytest.mark.parametrize("shape", [(6, 5, 7, 3), (40, 37, 9, 8), (3, 16, 11), (9, 20)], ids=str)
def test_batch_normalisation(shape: tuple[int, ...]) -> None:
    rows = [real(n, shape[1]) + 2 for n in range(3)]
    x, terms = real(5, *shape) * 3 + 10, int(np.prod(shape)) // shape[1]
    compare("BatchNorm", [x, *rows[:2]], 3, terms, epsilon=1e-3)
    compare("BatchNormGrad", [real(6, *shape), real(7, *shape), *rows], 3, terms)


@pytest.mark.parametrize("name", ["Relu", "Sigmoid", "Tanh", "Gelu", "GeluTanh", "Swish"])
def test_slopes_of_functions(name: str) -> None:
    compare("UnaryGrad", [real(0, 50, 40) * 3, real(1, 50, 40)], function=name, alpha=1.3)


@pytest.mark.parametrize("shape", [(7, 33, 48), (300, 5), (4, 3, 7, 9), (2, 1)], ids=str)
@pytest.mark.parametrize("axis", [-1, 1])
def test_layer_normalisation(shape: tuple[int, ...], axis: int) -> None:
    x, g = real(0, *shape) * 3 + 1, real(1, *shape)
    rows = int(np.prod(shape[: axis % len(shape)]))
    # With an epsilon of the size of the variance, a single element per row has a derivative too.
    compare("LayerNormGrad", [x, g, real(2, *shape[axis:])], 3, rows, axis=axis, epsilon=0.5)


@pytest.mark.parametrize("shape", [(5, 6, 37), (3, 16), (9, 1), (4, 0)], ids=str)
def test_softmax(shape: tuple[int, ...]) -> None:
    (y,) = run_many("Softmax", [Tensor(real(0, *shape) * 3)], (), 1)
    compare("SoftmaxGrad", [y.numpy(), real(1, *shape)], terms=max(shape[-1], 1))


@pytest.mark.parametrize("scale", [{}, {"factor": 0.3}, {"divisor": 3.0}], ids=str)
@pytest.mark.parametrize(
    ("sizes", "mask"),
    [
        ((2, 9, 12, 3, 8, 5), (2, 1, 1, 12)),
        ((1, 150, 70, 2, 24, 16), (150, 70)),
        ((3, 40, 300, 1, 7, 33), None),
        ((2, 0, 5, 2, 4, 4), None),
    ],
    ids=str,
)
def test_attention(sizes: tuple[int, ...], mask: Any, scale: dict[str, float]) -> None:
    batch, queries, keys, heads, size, width = sizes
    shapes = [(queries, size), (keys, size), (keys, width), (queries, width)]
    arrays = [real(n, batch, a, heads, b) for n, (a, b) in enumerate(shapes)]
    if mask is not None:
        arrays.append(real(4, *mask))
    compare("AttentionGrad", arrays, 3, max(queries, keys), **scale)


def test_attention_is_the_same_bytes_for_any_threads_and_layout() -> None:
    q, k, v, g = (real(n, 3, 130, 4, 16) for n in range(4))
    before, results = get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            set_num_threads(threads)
            turned = [Tensor(a.transpose(2, 0, 3, 1).copy()).transpose(1, 3, 0, 2) for a in (k, g)]
            found = run_many("compress::AttentionGrad", [Tensor(a) for a in (q, k, v, g)], (), 3)
            other = run_many(
                "compress::AttentionGrad", [Tensor(q), turned[0], Tensor(v), turned[1]], (), 3
            )
            results += [[each.numpy().tobytes() for each in part] for part in (found, other)]
    finally:
        set_num_threads(before)

    assert all(each == results[0] for each in results)


def test_rows_are_the_same_bytes_for_any_threads_and_layout() -> None:
    x, g, scale = real(0, 37, 150, 19), real(1, 37, 19, 150), real(2, 19)
    before, results = get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            set_num_threads(threads)
            moved = Tensor(g).swapaxes(1, 2)
            found = run_many("compress::LayerNormGrad", [Tensor(x), moved, Tensor(scale)], (), 3)
            found += run_many("compress::SoftmaxGrad", [Tensor(x), moved], (), 1)
            results.append([each.numpy().tobytes() for each in found])
    finally:
        set_num_threads(before)

    assert all(each == results[0] for each in results)


def test_images_stay_channels_last_and_threads_change_nothing() -> None:
    x, scale = real(0, 40, 19, 9, 7), real(1, 19)
    before, results = get_num_threads(), []
    try:
        for threads in (1, 3):
            set_num_threads(threads)
            found = run_many("compress::BatchNorm", [Tensor(a) for a in (x, scale, scale)], (), 3)
            results.append([each.numpy().tobytes() for each in found])
    finally:
        set_num_threads(before)

    assert found[0].strides[1] == 1
    assert (found[0] * 2.0).strides == found[0].strides
    assert found[0].clone().is_contiguous()
    assert results[0] == results[1]


@pytest.mark.parametrize("shape", [(40, 10), (7, 1), (0, 5), (3, 1000), (129, 33)], ids=str)
@pytest.mark.parametrize("attributes", [{}, {"smoothing": 0.1}, {"ignore_index": 0}], ids=str)
def test_cross_entropy(shape: tuple[int, int], attributes: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    labels = Tensor(rng.integers(0, shape[1], shape[0]))
    scores, factor = real(0, *shape) * 30 + 1000, np.array(0.3)
    found: dict[Any, list[Any]] = {}
    for dtype in (np.float32, np.float64):
        given = [Tensor(scores.astype(dtype)), labels]
        pairs = tuple(attributes.items())
        loss = run_many("compress::CrossEntropy", given, pairs, 1)
        given.append(Tensor(factor.astype(dtype)))
        found[dtype] = loss + run_many("compress::CrossEntropyGrad", given, pairs, 1)
    for mine, exact in zip(*found.values(), strict=True):
        limit = 4 * EPSILON * max(float(np.abs(exact.numpy()).max(initial=0)), 1.0)
        np.testing.assert_allclose(mine.numpy(), exact.numpy(), rtol=1e-5, atol=limit)


def test_a_label_that_is_no_class_is_refused() -> None:
    scores = Tensor(real(0, 3, 4))
    with pytest.raises(InputError, match=r"label 4 is not in 0\.\.3"):
        run_many("compress::CrossEntropy", [scores, Tensor(np.array([0, 4, 1]))], (), 1)
    labels = Tensor(np.array([0, -100, 1]))
    (loss,) = run_many("compress::CrossEntropy", [scores, labels], (("ignore_index", -100),), 1)

    assert loss.numpy()[1] == 0
