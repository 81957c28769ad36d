"""What `Trainable` runs as one operator: found where it is spelled out, with the same gradients."""

from __future__ import annotations

import numpy as np
import pytest

import compress_tensor as ct
from compress_autograd import Trainable, grad
from compress_tensor import Builder, DType, Graph, Node, Tensor
from compress_tensor.eager import run


def _real(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def _perceptron(dtype, form="erf"):
    """Return linear, GELU spelled out, linear on (N, 3, 8)."""
    b = Builder("perceptron")
    kind = {np.float32: DType.FLOAT32, np.float64: DType.FLOAT64}[dtype]
    x = b.input("x", kind, ("N", 3, 8))
    y = b.add(b.matmul(x, _real(0, 8, 12).astype(dtype)), _real(1, 12).astype(dtype))
    number = lambda value: np.asarray(value, dtype)  # noqa: E731
    if form == "erf":
        inner = b.erf(b.div(y, number(2**0.5)))
    else:
        cube = b.mul(number(0.044715), b.pow(y, number(3.0)))
        inner = b.tanh(b.mul(number((2 / np.pi) ** 0.5), b.add(y, cube)))
    y = b.mul(b.mul(y, b.add(inner, number(1.0))), number(0.5))
    b.output("output", b.add(_real(2, 5).astype(dtype), b.matmul(y, _real(3, 12, 5).astype(dtype))))
    return b.graph()


def _gradients(model, x):
    out = model({"x": x})["output"]
    ct.sum(out * Tensor(_real(9, *out.shape).astype(x.dtype))).backward()
    return {name: p.grad.numpy() for name, p in model.parameters.items()}


@pytest.mark.parametrize("form", ["erf", "tanh"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_gradients(dtype, form):
    """Fused and as it is written; the definition of an operator by the user turns fusion off."""
    graph, x = _perceptron(dtype, form), _real(4, 2, 3, 8).astype(dtype)
    model = Trainable(graph)
    plain = Trainable(graph, operators={"Gemm": lambda node, *given: run("Gemm", given)})

    assert [step.node.op for step in model.steps] == ["Linear", "Gelu", "Linear", "Identity"]
    assert len(plain.steps) == len(graph.nodes)
    found, expected = _gradients(model, x), _gradients(plain, x)
    for name, array in expected.items():
        limit = 64 * np.finfo(dtype).eps * np.abs(array).max()
        np.testing.assert_allclose(found[name], array, rtol=0, atol=limit)
    assert [node.op for node in model.graph().nodes] == [node.op for node in graph.nodes]


def _layer(bias, outputs=("output",)):
    nodes = [Node("MatMul", ["x", "w"], ["p"]), Node("Add", ["p", "b"], ["output"])]
    graph = Graph(nodes=nodes, constants={"w": _real(0, 4, 6).astype(np.float32), "b": bias})
    b = Builder("one")
    x = b.input("x", DType.FLOAT32, ("N", 4))
    b.output("output", b.identity(x))
    shell = b.graph()
    graph.inputs, kind = shell.inputs, shell.outputs[0]
    graph.outputs = [type(kind)(name, DType.FLOAT32, None) for name in outputs]
    return graph


@pytest.mark.parametrize(
    ("graph", "fused"),
    [
        (_layer(_real(1, 6).astype(np.float32)), True),
        (_layer(_real(1, 6).astype(np.float32), outputs=("output", "p")), False),
        (_layer(_real(1, 1).astype(np.float32)), False),
        (_layer(_real(1, 2, 6).astype(np.float32)), False),
    ],
    ids=["a bias", "the product is wanted", "one number", "a matrix"],
)
def test_only_linear_layers(graph, fused):
    """A product that somebody else reads, or a sum that is no bias, stays as it is."""
    model = Trainable(graph)
    x = _real(3, 2, 4).astype(np.float32)
    expected = x @ graph.constants["w"] + graph.constants["b"]

    assert [step.node.op for step in model.steps] == (["Linear"] if fused else ["MatMul", "Add"])
    found = model({"x": x})["output"].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def _attention(form, mask):
    """Return attention of an input (N, 2, 9, 8) with itself, times matrices that are trained."""
    b = Builder("attention")
    x = b.input("x", DType.FLOAT32, ("N", 2, 9, 8))
    q, k, v = (b.matmul(x, _real(n, 8, 8).astype(np.float32)) for n in range(3))
    k, number = b.transpose(k, perm=[0, 1, 3, 2]), np.float32(8**0.5)
    if form == "on q":
        q = b.mul(q, np.float32(1 / number))
    scores = b.matmul(q, k)
    if form == "divided":
        scores = b.div(scores, number)
    elif form == "multiplied":
        scores = b.mul(np.float32(1 / number), scores)
    if mask is not None:
        scores = b.add(scores, mask)
    b.output("output", b.matmul(b.softmax(scores, axis=-1), v))
    return b.graph()


@pytest.mark.parametrize("form", ["on q", "divided", "multiplied"])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_beside_torch(form, masked):
    """The gradients of the three matrices, with a mask that hides the last keys."""
    torch = pytest.importorskip("torch", reason="torch is what we compare with")
    mask = np.zeros((1, 1, 1, 9), np.float32) - 1e9 * (np.arange(9) > 6) if masked else None
    mask = None if mask is None else mask.astype(np.float32)
    graph, x = _attention(form, mask), _real(4, 3, 2, 9, 8).astype(np.float32)
    model = Trainable(graph)
    names = list(model.parameters)
    found = _gradients(model, x)

    assert "Attention" in [step.node.op for step in model.steps]
    assert not {"Softmax", "Mul", "Div"} & {step.node.op for step in model.steps}
    weights = [torch.tensor(graph.constants[n], requires_grad=True) for n in names]
    q, k, v = (torch.tensor(x) @ w for w in weights)
    seen = None if mask is None else torch.tensor(mask)
    out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
    (out * torch.tensor(_real(9, *out.shape).astype(np.float32))).sum().backward()
    for name, weight in zip(names, weights, strict=True):
        wanted = weight.grad.numpy()
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("again", [False, True])
def test_attention_that_the_kernels_do_not_take(again):
    """A mask that is trained and second derivatives: composed rules give the same gradients."""
    graph = _attention("divided", _real(5, 1, 1, 9, 9).astype(np.float32))
    x, found = {"x": _real(4, 2, 2, 9, 8).astype(np.float32)}, []
    for operators in ({}, {"Gemm": lambda node, *given: run("Gemm", given)}):
        model = Trainable(graph, operators=operators)
        parameters = list(model.parameters.values())
        out = model(x)["output"]
        gradients = grad(ct.sum(out * out), parameters, create_graph=again)
        if again:
            gradients = grad(sum((ct.sum(g * g) for g in gradients), ct.Tensor(0.0)), parameters)
        found.append([g.numpy() for g in gradients])

    assert len(found[0]) == 4
    for mine, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def _block(residual):
    """Return a convolution, batch normalisation, perhaps a residual, Relu, the mean."""
    b = Builder("block")
    x = b.input("x", DType.FLOAT32, ("N", 6, 5, 7))
    y = b.conv(x, _real(0, 6, 6, 3, 3).astype(np.float32), kernel_shape=[3, 3], pads=[1] * 4)
    rows = [_real(n, 6).astype(np.float32) for n in range(1, 4)]
    y = b.batch_normalization(y, *rows, np.abs(rows[0]), epsilon=1e-3)
    if residual == "of the same shape":
        y = b.add(b.mul(x, _real(5, 6, 1, 1).astype(np.float32)), y)
    elif residual == "that broadcasts":
        y = b.add(y, _real(5, 6, 1, 1).astype(np.float32))
    b.output("output", b.relu(y))
    return b.graph()


@pytest.mark.parametrize("residual", ["", "of the same shape", "that broadcasts"])
def test_what_follows_a_batch_normalisation(residual):
    """Values, statistics and gradients, first and second, are those of separate operators."""
    graph, x, found = _block(residual), _real(6, 3, 6, 5, 7).astype(np.float32), []
    for operators in ({}, {"Relu": lambda node, value: run("Relu", (value,))}):
        model = Trainable(graph, operators=operators)
        parameters = list(model.parameters.values())
        outs = [model({"x": x})["output"]]
        found.append([outs[0].numpy(), *(b.numpy() for b in model.buffers.values())])
        found[-1] += _gradients(model, x).values()
        first = grad(ct.sum(outs[0] * outs[0]), parameters, create_graph=True)
        second = grad(sum((ct.sum(g * g) for g in first), ct.Tensor(0.0)), parameters)
        found[-1] += [g.numpy() for g in second]
        found[-1].append(model.eval()({"x": x})["output"].numpy())
        ops = [step.node.op for step in model.steps]

        assert ("Relu" in ops) == bool(operators)
    for mine, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def _words(kind, turned=True, wanted=()):
    """Return a recurrent layer over 11 embedded words, of ids (N, T)."""
    b = Builder("words")
    ids = b.input("x", DType.INT64, ("N", "T") if turned else ("T", "N"))
    n, rows = 6, _GATES[kind] * 6
    weights = [_real(1, 1, rows, 5), _real(2, 1, rows, n), _real(3, 1, 2 * rows)]
    x = b.gather(_real(0, 11, 5).astype(np.float32), ids)
    if wanted:
        b.output("embedded", x)
    x = b.transpose(x, perm=[1, 0, 2]) if turned else x
    layer = {"LSTM": b.lstm, "GRU": b.gru, "RNN": b.rnn}[kind]
    y, last = layer(x, *(w.astype(np.float32) for w in weights), hidden_size=n, n_outputs=2)
    b.output("output", y)
    b.output("last", last)
    return b.graph()


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("kind", _GATES)
def test_a_recurrent_layer_over_words(kind, turned):
    """Values and gradients, first and second, are those of the operators one by one."""
    graph = _words(kind, turned)
    ids, found = np.random.default_rng(4).integers(-11, 11, (6, 9)), []
    for operators in ({}, {"Relu": lambda node, value: run("Relu", (value,))}):
        model = Trainable(graph, operators=operators)
        parameters = list(model.parameters.values())
        outs = model({"x": ids})
        found.append([out.numpy() for out in outs.values()])
        loss = ct.sum(outs["output"] * outs["output"]) + ct.sum(outs["last"] * 3.0)
        first = grad(loss, parameters, create_graph=True)
        second = grad(sum((ct.sum(g * g) for g in first), ct.Tensor(0.0)), parameters)
        found[-1] += [g.numpy() for g in (*first, *second)]
        few = _gradients(model, ids[:2, :3])
        found[-1] += few.values()

        assert ("Gather" in [step.node.op for step in model.steps]) == bool(operators)
        assert len(parameters) == 4
    for mine, wanted in zip(*found, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


def test_embedded_words_that_are_wanted_stay() -> None:
    graph = _words("GRU", wanted=("embedded",))
    model = Trainable(graph)
    found = model({"x": np.zeros((3, 30), np.int64)})

    assert [step.node.op for step in model.steps][:1] == ["Gather"]
    assert found["embedded"].shape == (3, 30, 5)
