"""Methods do what the functions of the same name do."""

from __future__ import annotations

import numpy as np
import pytest

from compress_tensor import Tensor

BOTH = ("sum", "prod", "mean", "max", "min", "any", "all", "var", "std", "argmax", "argmin")


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("axis", [None, 0, -1])
def test_reductions_as_methods(name, axis):
    """x.sum(axis) is what numpy's array says."""
    data = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    expected = getattr(data, name)(axis)
    found = getattr(Tensor(data), name)(axis)

    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_elementwise_and_products_as_methods():
    """Functions of each element, clipping, running sums, softmax and products."""
    data = np.random.default_rng(1).standard_normal((3, 3)).astype(np.float32)
    x = Tensor(data)

    np.testing.assert_allclose(x.exp().numpy(), np.exp(data), rtol=1e-6)
    np.testing.assert_allclose(x.abs().sqrt().numpy(), np.sqrt(np.abs(data)), rtol=1e-6)
    np.testing.assert_allclose(x.relu().numpy(), np.maximum(data, 0))
    np.testing.assert_allclose(x.clip(-0.5, 0.5).numpy(), data.clip(-0.5, 0.5))
    np.testing.assert_allclose(x.cumsum(1).numpy(), data.cumsum(1), rtol=1e-5)
    np.testing.assert_allclose(x.matmul(x).numpy(), data @ data, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(x.softmax().numpy().sum(-1), np.ones(3), rtol=1e-6)
    np.testing.assert_allclose(x.sigmoid().numpy(), 1 / (1 + np.exp(-data)), rtol=1e-5)
