"""The tape: accumulation, views, in-place writes, hooks, second derivatives."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compress_autograd as ag
import compress_tensor as ct
from compress_autograd.gradcheck import gradcheck
from compress_tensor import InputError, ShapeError, Tensor, UnsupportedError


def leaf(*shape: int, seed: int = 0) -> Tensor:
    found = Tensor(np.random.default_rng(seed).standard_normal(shape))
    found.requires_grad = True
    return found


def test_gradients_add_up_over_uses_and_over_backwards() -> None:
    x = leaf(3)
    for _ in range(2):
        y = x * 2.0
        ct.sum(y * y + y).backward()

    assert x.grad is not None
    np.testing.assert_allclose(2 * (8 * x.numpy() + 2), x.grad.numpy())


def test_what_needs_no_gradient_is_not_followed() -> None:
    x, w = Tensor([1.0, 2.0]), leaf(2).astype("float32")
    with ag.no_grad():
        inside = w * 2.0

    assert not (x * x).requires_grad
    assert not inside.requires_grad
    assert not (w > 0).requires_grad
    assert not w.detach().requires_grad
    assert not ct.floor(w).requires_grad
    assert (x * w).requires_grad


VIEWS: dict[str, Any] = {
    "reshape": lambda x: x.reshape(6, 4),
    "reshape of a transpose": lambda x: x.transpose(2, 0, 1).reshape(4, 6),
    "transpose": lambda x: x.transpose(1, 2, 0),
    "slice": lambda x: x[1, 1:, ::2],
    "backwards": lambda x: x[:, ::-1, 3:0:-2],
    "new dimensions": lambda x: x[:, None, :, :1],
    "broadcast": lambda x: x[:, :1].broadcast_to(5, 2, 3, 4),
    "slice of a broadcast": lambda x: x[:1].broadcast_to(3, 3, 4)[1:, :2].transpose(2, 0, 1),
    "transpose of a broadcast": lambda x: x[:, :, :1].broadcast_to(2, 3, 5).T[2:, 1],
    "flip": lambda x: x.flip(1),
    "indices": lambda x: x[:, [0, 2, 2]],
    "mask": lambda x: x[Tensor(np.arange(24).reshape(2, 3, 4) % 5 == 0)],
    "empty": lambda x: x[:, 3:],
    "squeeze": lambda x: x[:, :1].squeeze(1),
    "split": lambda x: ct.concat(ct.split(x, [1, 3], 2)[::-1], 2),
    "repeat and roll": lambda x: ct.roll(ct.repeat(x, 2, 1), 1, 0),
    "tile": lambda x: ct.tile(x, (2, 1, 2)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(name: str) -> None:
    x = Tensor(np.random.default_rng(1).standard_normal((2, 3, 4)))

    gradcheck(lambda x: VIEWS[name](x) * VIEWS[name](x), [x], order=2)


def test_writing_in_place_to_what_is_followed_is_refused() -> None:
    x, y = leaf(3), Tensor(np.zeros(3))
    with pytest.raises(InputError, match="would be lost"):
        x += 1.0
    with pytest.raises(InputError, match="would be lost"):
        (x * 2.0)[0] = 1.0
    with pytest.raises(InputError, match="an operand"):
        y += x
    with ag.no_grad():
        x += 1.0


def test_writing_in_place_to_what_was_saved_is_detected() -> None:
    x, w = leaf(3), Tensor(np.ones(3))
    loss = ct.sum(x * w)
    w[0] = 5.0

    with pytest.raises(InputError, match="Mul needs a tensor of shape"):
        loss.backward()


def test_a_view_of_what_was_saved_shares_its_version() -> None:
    x = leaf(3)
    loss = ct.sum(ct.exp(x) * ct.exp(x))
    with ag.no_grad():
        x.reshape(3, 1)[0] = 1.0
    loss.backward()  # exp needs its result only
    loss = ct.sum(x * x)
    with ag.no_grad():
        x.reshape(3, 1)[0] = 1.0

    with pytest.raises(InputError, match="written to in place"):
        loss.backward()


def test_the_past_is_used_once() -> None:
    x = leaf(3)
    loss = ct.sum(x * x)
    loss.backward(retain_graph=True)
    loss.backward()

    with pytest.raises(InputError, match="retain_graph"):
        loss.backward()
    with pytest.raises(InputError, match="nothing was recorded"):
        Tensor([1.0]).backward()
    with pytest.raises(ShapeError, match="one number"):
        (x * x).backward()
    with pytest.raises(UnsupportedError, match="QuantizeLinear has no derivative"):
        ct.quantize_linear(x.astype("float32"), 0.1)


def test_memory_is_let_go_of() -> None:
    gc.disable()
    try:
        x = leaf(3)
        y = ct.exp(x)
        watch = weakref.ref(y._tape.record)  # type: ignore[union-attr]
        ct.sum(y * y).backward()
        del y

        assert watch() is None
    finally:
        gc.enable()


def test_hooks_see_and_change_gradients() -> None:
    x = leaf(3)
    y = x * 2.0
    seen: list[Any] = []
    y.register_hook(lambda g: seen.append(g.numpy().copy()))
    x.register_hook(lambda g: g * 10.0)
    ct.sum(y * 3.0 + y).backward()

    assert len(seen) == 1
    np.testing.assert_array_equal(np.full(3, 4.0), seen[0])
    np.testing.assert_array_equal(np.full(3, 80.0), x.grad.numpy())  # type: ignore[union-attr]


def test_functions_of_ones_own() -> None:
    class Straight(ag.Function):
        def forward(self, x: Tensor, low: Tensor) -> tuple[Tensor, Tensor]:
            self.save(x, low)
            return ct.round(x), ct.maximum(x, low)

        def vjp(self, a: Any, b: Any) -> Any:
            x, low = self.saved
            total = None if a is None else a
            if b is not None:
                part = ct.where(x > low, b, 0.0)
                total = part if total is None else total + part
            return total, None

    x = leaf(4)
    rounded, kept = Straight()(x, Tensor(np.zeros(4)))
    (ct.sum(rounded) + ct.sum(kept * 2.0)).backward()

    np.testing.assert_array_equal(1 + 2.0 * (x.numpy() > 0), x.grad.numpy())  # type: ignore[union-attr]
    assert not Straight()(x.detach(), Tensor(np.zeros(4)))[0].requires_grad


def test_grad_leaves_grad_alone_and_knows_intermediate_tensors() -> None:
    x, z = leaf(3), leaf(3, seed=1)
    y = x * x
    gy, gx, gz = ag.grad(ct.sum(y * y), [y, x, z])

    assert x.grad is None
    np.testing.assert_allclose(2 * y.numpy(), gy.numpy())
    np.testing.assert_allclose(4 * x.numpy() ** 3, gx.numpy())
    np.testing.assert_array_equal(np.zeros(3), gz.numpy())


def test_hessian_vector_products() -> None:
    a = np.random.default_rng(0).standard_normal((3, 3))
    x, v = leaf(3), np.array([1.0, -2.0, 0.5])
    loss = ct.sum(x * ct.matmul(Tensor(a), x)) + ct.sum(ct.exp(x))
    (found,) = ag.hessian_vector_product(loss, [x], [Tensor(v)])

    np.testing.assert_allclose((a + a.T) @ v + np.exp(x.numpy()) * v, found.numpy())
    (none,) = ag.hessian_vector_product(ct.sum(x * 2.0), [x], [Tensor(v)])
    np.testing.assert_array_equal(np.zeros(3), none.numpy())


def test_threads_have_tapes_of_their_own() -> None:
    results: list[bool] = []

    def work() -> None:
        results.append((leaf(2) * 2.0).requires_grad)

    with ag.no_grad():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert results == [True]


def test_integers_have_no_gradients() -> None:
    with pytest.raises(InputError, match="int64 has no gradients"):
        Tensor([1, 2]).requires_grad = True


_TWELVE_LEAVES = """
from pathlib import Path
import compress_tensor as ct

def peak():
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in l)
    return int(line.split()[1]) / 1024

leaves = [ct.zeros((1 << 21,)) for _ in range(12)]  # of 8 MB
for x in leaves:
    x.requires_grad = True
loss = sum(ct.sum(x * 2.0) for x in leaves)
before = peak()
loss.backward()
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc")
def test_gradients_of_leaves_are_in_memory_once() -> None:
    """What backward leaves behind (96 MB here) is copied leaf by leaf, not all of it at once."""
    command = [sys.executable, "-c", "import compress_autograd\n" + _TWELVE_LEAVES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    # Linux counts resident pages in lots of 64 a thread: it may lack some.
    assert 95 <= float(done.stdout) < 96 + 40


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_pieces_of_views_add_up(dtype: str) -> None:
    """Gradients of many views of one tensor, between those of its other uses, in any order."""
    x = Tensor(np.random.default_rng(0).standard_normal((6, 5, 4)).astype(dtype))
    x.requires_grad = True
    y = (x * 1.0).transpose(2, 0, 1)
    views: list[Any] = [
        lambda t: t[1], lambda t: t * 1.0, lambda t: t[::2, 1:4], lambda t: t[:, ::-1, 2:],
        lambda t: t[1:3, :, :1].broadcast_to((2, 6, 5)), lambda t: t.reshape(24, 5)[3:7],
        lambda t: t[0][1:][::2], lambda t: ct.split(t, 2, 0)[1], lambda t: t[1],
    ]  # fmt: skip
    wanted = np.zeros((4, 6, 5))
    total: Any = 0.0
    for n, view in enumerate(views):
        seen = view(y)
        weight = np.random.default_rng(n).standard_normal(seen.shape).astype(dtype)
        total = total + ct.sum(seen * Tensor(weight))
        single = Tensor(np.zeros((4, 6, 5)))
        single.requires_grad = True
        (exact,) = ag.grad(ct.sum(view(single) * Tensor(weight.astype(np.float64))), [single])
        wanted += exact.numpy()
    total.backward()

    assert x.grad is not None
    limit = {"float16": 2e-2, "float32": 1e-5, "float64": 1e-12}[dtype]
    got = x.grad.numpy().astype(np.float64).transpose(2, 0, 1)
    np.testing.assert_allclose(got, wanted, rtol=limit, atol=limit)


@pytest.mark.parametrize("steps", [50, 200])
def test_views_cost_what_they_show(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Going back through one slice per step must not touch the whole tensor in each."""
    x = Tensor(np.ones((steps, 64), np.float32))
    x.requires_grad = True
    y = x * 1.0
    total = ct.sum(y[0])
    for n in range(1, steps):
        total = total + ct.sum(y[n])
    zeros, sizes = ct.zeros, []

    def noted(shape: Any, **more: Any) -> Tensor:
        sizes.append(int(np.prod(shape)))
        return zeros(shape, **more)

    monkeypatch.setattr(ct, "zeros", noted)
    total.backward()

    assert sizes == [steps * 64]
