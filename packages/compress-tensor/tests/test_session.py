"""Compiled graphs against the interpreter: layouts, fusions, memory, shapes, threads, errors."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from session_networks import attention, convolutional, floats

from compress_tensor import DType, Graph, GraphError, InputError, Node, Value, compile  # noqa: A004
from compress_tensor.graph.interpret import interpret


@pytest.fixture
def rng():
    """A seeded generator."""
    return np.random.default_rng(11)


def close(expected, found, scale=64):
    """Compare floats: each of a few hundred additions may round once."""
    bound = scale * np.finfo(np.float32).eps * max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound)


@pytest.mark.parametrize("build", [convolutional, attention])
def test_every_value_agrees_with_the_interpreter(build, rng):
    """The result, and each intermediate value when it is asked for."""
    graph = build(rng)
    shape = (2, 3, 12, 12) if build is convolutional else (2, 9, 32)
    feeds = {"x": floats(rng, *shape)}
    session = compile(graph, threads=2)
    for node in graph.nodes:
        name = node.outputs[0]

        close(interpret(graph, feeds, [name])[name], session.run(feeds, [name])[name], 512)


def test_patterns_are_fused(rng):
    """Spelled-out attention, LayerNormalization and GELU: a kernel each; Add + Relu in products."""
    report = compile(attention(rng)).report({"x": floats(rng, 1, 5, 32)})
    kernels = [line.how for line in report]

    assert kernels.count("layer_norm") == 1
    assert sum("reference" in how for how in kernels) == 0
    assert kernels.count("attention_f32") == 1
    assert sum(how not in ("view", "fused") for how in kernels) == 7
    labels = {
        line.label: line.how
        for line in compile(convolutional(rng)).report({"x": floats(rng, 1, 3, 8, 8)})
    }
    assert labels["Add -> 'a2'"] == labels["Relu -> 'r2'"] == "fused"
    assert labels["Concat -> 'cat'"] == "view"


def test_x_times_its_sigmoid_is_one_kernel(rng):
    """SiLU as PyTorch exports it; not where the sigmoid is read elsewhere or is another value's."""

    def graph(*, factor="x", outputs=("y",)):
        nodes = [
            Node("Sigmoid", ["x"], ["s"]),
            Node("Neg", ["x"], ["n"]),
            Node("Mul", [factor, "s"], ["y"]),
            Node("Abs", ["s"], ["a"]),
        ]
        inputs = [Value("x", DType.FLOAT32, ("N", 33))]
        return Graph(nodes=nodes, inputs=inputs, outputs=[Value(name) for name in outputs])

    feeds = {"x": np.concatenate([floats(rng, 1, 33), 90 * floats(rng, 2, 33)])}
    feeds["x"][2, :4] = np.inf, -np.inf, np.nan, -0.0
    fused, apart = compile(graph()), compile(graph(outputs=("y", "a")))
    other = compile(graph(factor="n"))

    count = [sum(line.how == "binary" for line in s.report(feeds)) for s in (fused, apart, other)]
    assert count == [0, 1, 1]
    assert np.array_equal(fused.run(feeds)["y"], apart.run(feeds)["y"], equal_nan=True)
    assert np.array_equal(-fused.run(feeds)["y"], other.run(feeds)["y"], equal_nan=True)


def test_bytes_do_not_depend_on_threads_runs_or_batch(rng):
    """One, two, three and eight threads, five runs, and a row alone give the same bytes."""
    for build, shape in ((convolutional, (5, 3, 20, 20)), (attention, (5, 17, 32))):
        graph = build(rng)
        x = floats(rng, *shape)
        expected = compile(graph, threads=1).run({"x": x})["y"]
        for threads in (1, 2, 3, 8):
            session = compile(graph, threads=threads)
            for _ in range(5):
                assert session.run({"x": x})["y"].tobytes() == expected.tobytes()
            for i in range(shape[0]):
                alone = session.run({"x": x[i : i + 1]})["y"]
                assert alone.tobytes() == expected[i : i + 1].tobytes()


def test_one_session_serves_many_threads(rng):
    """Concurrent runs with different batch sizes give each its own result."""
    graph = convolutional(rng)
    session = compile(graph, threads=2)
    batches = [floats(rng, n, 3, 12, 12) for n in (1, 2, 3, 4)]
    expected = [session.run({"x": x})["y"] for x in batches]
    wrong = []

    def work(i):
        for _ in range(20):
            if not np.array_equal(session.run({"x": batches[i]})["y"], expected[i]):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(i % 4,)) for i in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert not wrong


def test_results_belong_to_the_caller(rng):
    """A later run does not change what an earlier one returned; inputs are never written."""
    session = compile(convolutional(rng), threads=1)
    x = floats(rng, 1, 3, 8, 8)
    kept = x.copy()
    first = session.run({"x": x})["y"]
    copy = first.copy()
    session.run({"x": x + 1})

    assert np.array_equal(copy, first)
    assert np.array_equal(kept, x)


def test_contents_may_decide_shapes(rng):
    """An input that gives a shape, a computed one, and data that decides how much comes out."""
    nodes = [
        Node("Reshape", ["x", "shape"], ["r"]),
        Node("NonZero", ["r"], ["where"]),
        Node("Shape", ["where"], ["size"]),
        Node("Relu", ["r"], ["y"]),
        Node("ConstantOfShape", ["size"], ["z"]),
    ]
    graph = Graph(
        nodes=nodes,
        inputs=[Value("x", DType.FLOAT32, ("n",)), Value("shape", DType.INT64, (2,))],
        outputs=[Value("y"), Value("where"), Value("z")],
    )
    session = compile(graph, threads=1)
    for rows in (2, 3, 4, 2):
        x = floats(rng, 12) * (rng.random(12) < 0.5)
        feeds = {"x": x.astype(np.float32), "shape": np.array([rows, -1])}
        expected, found = interpret(graph, feeds), session.run(feeds)

        for name in ("y", "where", "z"):
            assert np.array_equal(expected[name], found[name])


def test_both_branches_of_an_if(rng):
    """The branch is chosen by contents, computed or given, with names captured from outside."""

    def branch(op):
        return Graph(nodes=[Node(op, ["r", "c"], ["o"])], outputs=[Value("o")])

    nodes = [
        Node("Relu", ["x"], ["r"]),
        Node("ReduceSum", ["r"], ["sum"], {"keepdims": 0}),
        Node("Greater", ["sum", "limit"], ["large"]),
        Node("If", ["large"], ["y"], {"then_branch": branch("Sub"), "else_branch": branch("Add")}),
    ]
    graph = Graph(
        nodes=nodes,
        inputs=[Value("x", DType.FLOAT32, (4,))],
        outputs=[Value("y")],
        constants={"c": floats(rng, 4), "limit": np.float32(2).reshape(())},
    )
    session = compile(graph, threads=1)
    for x in (np.full(4, 0.1, np.float32), np.full(4, 3, np.float32)):
        assert np.array_equal(interpret(graph, {"x": x})["y"], session.run({"x": x})["y"])


def test_branches_with_equal_names_keep_their_own_weights(rng):
    """Constants of both branches bear one name; packed weights are not mixed up."""

    def branch(weights):
        nodes = [Node("MatMul", ["x", "w"], ["o"])]
        return Graph(nodes=nodes, outputs=[Value("o")], constants={"w": weights})

    pair = {"then_branch": branch(floats(rng, 4, 4)), "else_branch": branch(floats(rng, 4, 4))}
    graph = Graph(
        nodes=[Node("If", ["c"], ["y"], pair)],
        inputs=[Value("x", DType.FLOAT32, (2, 4)), Value("c", DType.BOOL, ())],
        outputs=[Value("y")],
    )
    session = compile(graph, threads=1)
    for _ in range(2):
        for c in (True, False):
            feeds = {"x": floats(rng, 2, 4), "c": np.array(c)}
            close(interpret(graph, feeds)["y"], session.run(feeds)["y"])


def test_constants_that_depend_on_shapes_are_not_cached(rng):
    """A table cut to the length of the input is packed anew for every length."""
    nodes = [
        Node("Shape", ["x"], ["n"], {"start": 1, "end": 2}),
        Node("Sub", ["end", "n"], ["from"]),
        Node("Slice", ["table", "from", "end", "axes"], ["w"]),
        Node("MatMul", ["x", "w"], ["y"]),
    ]
    graph = Graph(
        nodes=nodes,
        inputs=[Value("x", DType.FLOAT32, (2, "n"))],
        outputs=[Value("y")],
        constants={
            "table": floats(rng, 8, 3),
            "end": np.array([8]),
            "axes": np.array([0]),
        },
    )
    session = compile(graph, threads=1)
    for n in (3, 5, 3, 8):
        x = floats(rng, 2, n)
        close(interpret(graph, {"x": x})["y"], session.run({"x": x})["y"])


@pytest.mark.parametrize(
    ("feeds", "sentence"),
    [
        ({}, "'x' is missing"),
        ({"x": np.zeros((1, 3, 8, 8), np.float32), "z": 1}, "no input is named 'z'"),
        ({"x": np.zeros((1, 3, 8, 8))}, "has type float64, not float32"),
        ({"x": np.zeros((1, 4, 8, 8), np.float32)}, r"\[1, 4, 8, 8\], not \[N, 3, H, H\]"),
        ({"x": np.zeros((1, 3, 8, 9), np.float32)}, "H = 8"),
        ({"x": np.zeros((3, 8, 8), np.float32)}, r"not \[N, 3, H, H\]"),
    ],
)
def test_wrong_inputs_are_named(feeds, sentence, rng):
    """A wrong name, type or shape gives one sentence with what was given and what is wanted."""
    with pytest.raises(InputError, match=sentence):
        compile(convolutional(rng)).run(feeds)


def test_wrong_graphs_are_named():
    """A cycle and an unknown output are found before anything runs."""
    cycle = Graph(
        nodes=[Node("Relu", ["b"], ["a"]), Node("Relu", ["a"], ["b"])], outputs=[Value("b")]
    )
    with pytest.raises(GraphError, match="cycle"):
        compile(cycle)
    fine = Graph(nodes=[Node("Relu", ["x"], ["y"])], inputs=[Value("x")], outputs=[Value("y")])
    with pytest.raises(InputError, match="no value 'q'"):
        compile(fine).run({"x": np.zeros(1, np.float32)}, ["q"])
    with pytest.raises(InputError, match="from 1 to 256"):
        compile(fine, threads=0)


def test_zero_sized_and_scalar_values(rng):
    """An empty batch and scalars run like everything else."""
    session = compile(convolutional(rng), threads=2)
    assert session.run({"x": np.zeros((0, 3, 8, 8), np.float32)})["y"].shape == (0, 10)
    graph = Graph(
        nodes=[Node("Mul", ["a", "a"], ["b"]), Node("Sum", ["b", "a", "b"], ["y"])],
        inputs=[Value("a", DType.FLOAT32, ())],
        outputs=[Value("y")],
    )

    found = compile(graph).run({"a": np.float32(3)})["y"]
    assert found.shape == ()
    assert found == np.float32(21)


def test_half_precision_is_computed_in_single(rng):
    """float16 graphs take and give float16; a Cast inside still rounds."""
    to = {"to": int(DType.FLOAT16)}
    nodes = [
        Node("MatMul", ["x", "w"], ["m"]),
        Node("Cast", ["m"], ["wide"], {"to": int(DType.FLOAT32)}),
        Node("Cast", ["wide"], ["again"], to),
        Node("Relu", ["again"], ["y"]),
    ]
    graph = Graph(
        nodes=nodes,
        inputs=[Value("x", DType.FLOAT16, ("n", 8))],
        outputs=[Value("y")],
        constants={"w": rng.standard_normal((8, 5)).astype(np.float16)},
    )
    x = rng.standard_normal((3, 8)).astype(np.float16)
    found = compile(graph).run({"x": x})["y"]

    assert found.dtype == np.float16
    np.testing.assert_allclose(found, interpret(graph, {"x": x})["y"], rtol=2**-9, atol=2**-9)


def test_many_shapes_do_not_pile_up(rng):
    """Plans of past shapes are dropped."""
    from compress_tensor.engine.stage import MOST_PLANS

    session = compile(attention(rng), threads=1)
    for length in range(1, MOST_PLANS + 20):
        session.run({"x": floats(rng, 1, length, 32)})
    (stage,) = session._stages.values()

    assert len(stage._plans) == MOST_PLANS


def test_outputs_are_written_into_given_arrays(rng):
    """The same array comes back, with the same bytes; one that does not serve is refused."""
    graph = convolutional(rng)
    session = compile(graph, threads=2)
    feeds = {"x": floats(rng, 3, 3, 16, 16)}
    expected = session.run(feeds)
    for _ in range(2):  # the second run takes the short way
        given = {name: np.full_like(array, np.nan) for name, array in expected.items()}
        found = session.run(feeds, into=given)
        for name, array in expected.items():
            assert found[name] is given[name]
            assert np.array_equal(array, found[name])
    (name,) = expected
    whole = np.empty((2, *expected[name].shape), np.float32)
    wrong = {
        "of shape": whole,
        "is float64": expected[name].astype(np.float64),
        "not contiguous": np.asfortranarray(expected[name])[..., ::-1],
    }
    for text, array in wrong.items():
        with pytest.raises(InputError, match=text):
            session.run(feeds, into={name: array})
