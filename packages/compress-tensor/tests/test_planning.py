"""What planning stands on: the collector held meanwhile, changes that can be taken back."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest

import compress_tensor
from compress_tensor import Graph
from compress_tensor.collector import collector_held
from compress_tensor.dtype import DType
from compress_tensor.engine import stage
from compress_tensor.engine.journal import Journal
from compress_tensor.graph.graph import Node, Value
from compress_tensor.graph.passes import optimize


def small_graph() -> Graph:
    return Graph(
        nodes=[
            Node("Conv", ["x", "w"], ["c"], {"kernel_shape": [1, 1]}),
            Node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
            Node("Identity", ["n"], ["i"]),
            Node("Relu", ["i"], ["r"]),
            Node("Identity", ["r"], ["y"]),
        ],
        inputs=[Value("x", DType.FLOAT32, (1, 2, 3, 3))],
        outputs=[Value("y")],
        constants={
            "w": np.ones((2, 2, 1, 1), np.float32),
            **{name: np.ones(2, np.float32) for name in "sbmv"},
        },
    )


def test_the_collector_is_off_only_meanwhile() -> None:
    assert gc.isenabled()
    with collector_held():
        assert not gc.isenabled()
        with collector_held():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="inside"), collector_held():
        raise ValueError("inside")
    assert gc.isenabled()


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        with collector_held():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_last_of_several_threads_lets_go() -> None:
    inside, leave, seen = threading.Event(), threading.Event(), []

    def hold() -> None:
        with collector_held():
            inside.set()
            leave.wait(10)
        seen.append(gc.isenabled())

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(10)
    with collector_held():
        pass
    assert not gc.isenabled()
    leave.set()
    thread.join()
    assert seen == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forking is POSIX's")
def test_a_child_forked_meanwhile_has_its_collector() -> None:
    with collector_held():
        child = os.fork()
        if not child:
            os._exit(0 if gc.isenabled() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not gc.isenabled()
    assert gc.isenabled()


def test_planning_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    plan = stage.make_plan

    def watched(*given: object) -> object:
        seen.append(gc.isenabled())
        return plan(*given)

    monkeypatch.setattr(stage, "make_plan", watched)
    session = compress_tensor.compile(small_graph(), threads=1)
    session.run({"x": np.ones((1, 2, 3, 3), np.float32)})
    assert seen == [False]
    assert gc.isenabled()


def test_a_journal_goes_back_to_its_mark() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        journal: Journal[int, int] = Journal()
        for key in rng.integers(0, 20, 15).tolist():
            journal[key] = key
        journal.mark()
        before = dict(journal)
        for key, value in rng.integers(0, 30, (25, 2)).tolist():
            journal[key] = value
        journal.undo()
        assert journal == before
        journal[99] = 1
        journal.mark()
        journal.undo()
        assert journal == {**before, 99: 1}


def test_passes_change_no_node_of_their_graph() -> None:
    graph = small_graph()
    before = [node.copy() for node in graph.nodes]
    found = optimize(graph)
    assert graph.nodes == before
    assert [node.op for node in found.nodes] == ["Conv", "Relu"]
    assert found.nodes[-1].outputs == ["y"]


def test_fresh_names_are_never_in_use() -> None:
    graph = small_graph()
    assert graph.fresh("new") == graph.fresh("new") == "new"
    assert graph.fresh("w") == "w_1"
    taken = graph.names()
    made = [graph.fresh("w", taken) for _ in range(3)]
    assert made == ["w_1", "w_2", "w_3"]
    assert taken == graph.names() | set(made)
