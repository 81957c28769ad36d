"""Optimizers and schedules, step by step against torch's; clipping, groups, states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compress_autograd.optim import (
    LAMB,
    SGD,
    Adam,
    AdamW,
    Average,
    Group,
    clip_grad_norm,
    clip_grad_value,
    cosine,
    groups_by_decay,
    one_cycle,
    step_decay,
    warm_up,
)
from compress_tensor import InputError, Tensor, get_num_threads, set_num_threads

STEPS = 5


def start() -> dict[str, Tensor]:
    rng = np.random.default_rng(0)
    found = {"w": Tensor(rng.standard_normal((3, 4)).astype("f4"))}
    found["b"] = Tensor(rng.standard_normal(4).astype("f4"))
    for p in found.values():
        p.requires_grad = True
    return found


def gradients(n: int) -> dict[str, Any]:
    rng = np.random.default_rng(n + 1)
    return {"w": rng.standard_normal((3, 4)).astype("f4"), "b": rng.standard_normal(4).astype("f4")}


def ours(make: Any) -> dict[str, Tensor]:
    parameters = start()
    optimizer = make(parameters)
    for n in range(STEPS):
        for name, g in gradients(n).items():
            parameters[name].grad = Tensor(g)
        optimizer.step()
        optimizer.zero_grad()
    return parameters


CASES: dict[str, tuple[Any, Any]] = {
    "sgd": (lambda p: SGD(p, 0.1), lambda t, p: t.SGD(p, 0.1)),
    "momentum": (
        lambda p: SGD(p, 0.1, 0.9, weight_decay=0.01),
        lambda t, p: t.SGD(p, 0.1, 0.9, weight_decay=0.01),
    ),
    "nesterov": (
        lambda p: SGD(p, 0.1, 0.9, nesterov=True),
        lambda t, p: t.SGD(p, 0.1, 0.9, nesterov=True),
    ),
    "adam": (
        lambda p: Adam(p, 0.01, weight_decay=0.1),
        lambda t, p: t.Adam(p, 0.01, weight_decay=0.1),
    ),
    "adamw": (
        lambda p: AdamW(p, 0.01, weight_decay=0.1),
        lambda t, p: t.AdamW(p, 0.01, weight_decay=0.1),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_steps_are_those_of_torch(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    mine, theirs = CASES[name]
    held = {n: torch.tensor(p.numpy().copy(), requires_grad=True) for n, p in start().items()}
    optimizer = theirs(torch.optim, list(held.values()))
    for n in range(STEPS):
        for key, g in gradients(n).items():
            held[key].grad = torch.tensor(g)
        optimizer.step()
    for key, p in ours(mine).items():
        np.testing.assert_allclose(held[key].detach().numpy(), p.numpy(), rtol=1e-5, atol=1e-6)


def test_lamb_steps_have_the_length_of_the_parameter() -> None:
    parameters = start()
    before = {n: p.numpy().copy() for n, p in parameters.items()}
    optimizer = LAMB(parameters, 0.01)
    for name, g in gradients(0).items():
        parameters[name].grad = Tensor(g)
    optimizer.step()
    for name, p in parameters.items():
        step = np.linalg.norm(p.numpy() - before[name])

        assert abs(step - 0.01 * np.linalg.norm(before[name])) < 1e-6


def test_groups_and_states() -> None:
    parameters = start()
    wide, narrow = groups_by_decay(parameters, 0.5)

    assert list(wide.parameters) == ["w"]
    assert (wide.weight_decay, narrow.weight_decay) == (0.5, 0.0)
    slow = ours(lambda p: SGD([Group({"w": p["w"]}, rate=0.0), Group({"b": p["b"]})], 0.1))
    np.testing.assert_array_equal(start()["w"].numpy(), slow["w"].numpy())
    assert (start()["b"].numpy() != slow["b"].numpy()).all()
    with pytest.raises(InputError, match="'w' is in two groups"):
        SGD([wide, Group({"w": parameters["w"]})], 0.1)

    def interrupted(p: dict[str, Tensor]) -> Any:
        class Renewed:
            def __init__(self) -> None:
                self.inner = Adam(p, 0.01)

            def step(self) -> None:
                self.inner.step()
                state = self.inner.state()
                self.inner = Adam(p, 0.01)
                self.inner.load_state(state)

            def zero_grad(self) -> None:
                self.inner.zero_grad()

        return Renewed()

    one, two = ours(lambda p: Adam(p, 0.01)), ours(interrupted)
    assert one["w"].numpy().tobytes() == two["w"].numpy().tobytes()
    with pytest.raises(InputError, match="another optimizer"):
        Adam(parameters).load_state({"m/other": np.zeros(3), "/steps": np.array(1)})


def test_schedules() -> None:
    assert [step_decay(1.0, [2, 3])(n) for n in range(4)] == [1.0, 1.0, 0.1, pytest.approx(0.01)]
    assert [cosine(1.0, 4, 0.2)(n) for n in (0, 2, 4, 9)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert [warm_up(cosine(1.0, 4), 2)(n) for n in (0, 1, 2, 4)] == pytest.approx([0.5, 1, 1, 0.5])


def test_one_cycle_is_that_of_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is the oracle")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=20)
    mine = one_cycle(0.5, 20)
    for n in range(20):
        assert mine(n) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        if n < 19:
            schedule.step()


def test_clipping() -> None:
    parameters = start()
    for name, g in gradients(0).items():
        parameters[name].grad = Tensor(g)
    whole = np.concatenate([g.reshape(-1) for g in gradients(0).values()])
    before = clip_grad_norm(parameters, 0.5)
    after = np.concatenate([p.grad.numpy().reshape(-1) for p in parameters.values()])  # type: ignore[union-attr]

    assert before == pytest.approx(np.linalg.norm(whole), rel=1e-6)
    assert np.linalg.norm(after) == pytest.approx(0.5, rel=1e-4)
    clip_grad_value(parameters, 0.01)
    assert max(abs(p.grad.numpy()).max() for p in parameters.values()) <= np.float32(0.01)  # type: ignore[union-attr]


def test_average() -> None:
    parameters = start()
    average = Average(parameters, 0.5)
    first = parameters["b"].numpy().copy()
    parameters["b"].detach().fill_(1.0)
    average.update()

    np.testing.assert_allclose(0.1 * first + 0.9, average.values["b"].numpy(), rtol=1e-6)
    with average.applied():
        np.testing.assert_array_equal(average.values["b"].numpy(), parameters["b"].numpy())
    np.testing.assert_array_equal(np.ones(4), parameters["b"].numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("name", CASES)
def test_steps_are_those_of_the_equations(name: str, dtype: str) -> None:
    """The same rule in float64 arrays; gradients and parameters of any strides."""
    rng = np.random.default_rng(5)
    values, slopes = rng.standard_normal((7, 30)), rng.standard_normal((3, 30, 7))
    p = Tensor(values.astype(dtype)).T.T
    p.requires_grad = True
    optimizer = CASES[name][0]({"p": p})
    exact, m, v = p.numpy().astype(np.float64), np.zeros((7, 30)), np.zeros((7, 30))
    for n, slope in enumerate(slopes.astype(dtype)):
        p.grad = Tensor(slope).T
        optimizer.step()
        g, decay = slope.T.astype(np.float64), optimizer.weight_decay
        if name == "adamw":
            exact = exact * (1 - optimizer.lr * decay)
        else:
            g = g + decay * exact
        if "adam" in name:
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            root = np.sqrt(v / (1 - 0.999 ** (n + 1))) + 1e-8
            exact = exact - 0.01 * m / (1 - 0.9 ** (n + 1)) / root
        else:
            m = optimizer.momentum * m + g
            exact = exact - 0.1 * (g + 0.9 * m if name == "nesterov" else m)

    limit = {"float64": 1e-14, "float32": 1e-6, "float16": 5e-3}[dtype]
    np.testing.assert_allclose(p.numpy().astype(np.float64), exact, rtol=limit, atol=limit)


def test_threads_change_nothing() -> None:
    before, found = get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            set_num_threads(threads)
            for name, (make, _) in CASES.items():
                rng = np.random.default_rng(1)
                p = Tensor(rng.standard_normal(70001).astype(np.float32))
                p.requires_grad = True
                optimizer = make({"p": p})
                for _ in range(3):
                    p.grad = Tensor(rng.standard_normal(70001).astype(np.float32))
                    optimizer.step()
                found.append((name, p.numpy().tobytes()))
    finally:
        set_num_threads(before)

    assert len(set(found)) == len(CASES)
