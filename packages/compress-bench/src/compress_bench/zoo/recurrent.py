"""Language models with LSTMs, over words and over characters.

The word model has the sizes of the "medium" one of Zaremba, Sutskever and Vinyals, 2014, section
4.1 (https://arxiv.org/abs/1409.2329): two layers of 650 units, embeddings as wide, 10,000 words,
35 steps.  States are inputs and outputs, so that a text goes through in pieces.
"""

from __future__ import annotations

from compress_tensor import DType, Graph

from .layers import BATCH, Layers
from .weights import Weights


def lstm_model(
    weights: Weights,
    *,
    vocabulary: int = 10000,
    embedding: int = 650,
    hidden: int = 650,
    layers: int = 2,
    steps: int | str = 35,
) -> Graph:
    """Return a language model.

    Inputs: int64 ``input`` (N, steps), states ``h0``, ``c0``, ... (1, N, hidden).  Outputs:
    logits ``output`` (N, steps, vocabulary), states ``h0_out``, ``c0_out``, ...
    """
    net = Layers("lstm", weights)
    b = net.builder
    bound = hidden**-0.5  # PyTorch's initial range, from -1/sqrt(hidden) to 1/sqrt(hidden)
    ids = b.input("input", DType.INT64, (BATCH, steps))
    names = [f"{s}{n}" for n in range(layers) for s in "hc"]
    states = {name: b.input(name, DType.FLOAT32, (1, BATCH, hidden)) for name in names}
    table = net.parameter("embedding.weight", weights.uniform((vocabulary, embedding), 1.0))
    x = b.transpose(b.gather(table, ids), perm=[1, 0, 2])
    for n in range(layers):
        width = embedding if n == 0 else hidden
        h, c = states[f"h{n}"], states[f"c{n}"]
        y, h_out, c_out = b.lstm(
            x,
            net.parameter(f"lstm{n}.W", weights.uniform((1, 4 * hidden, width), bound)),
            net.parameter(f"lstm{n}.R", weights.uniform((1, 4 * hidden, hidden), bound)),
            net.parameter(f"lstm{n}.B", weights.uniform((1, 8 * hidden), bound)),
            None,
            h,
            c,
            hidden_size=hidden,
            n_outputs=3,
        )
        x = b.squeeze(y, [1])
        b.output(f"h{n}_out", h_out)
        b.output(f"c{n}_out", c_out)
    return net.finish(net.linear(b.transpose(x, perm=[1, 0, 2]), "decoder", vocabulary))
