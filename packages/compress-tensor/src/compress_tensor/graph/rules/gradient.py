"""Shape rules of the operators that training needs, in the domain ``compress``."""

from __future__ import annotations

from ...backend.reference.gradient import DOMAIN, SLOPES
from ...backend.reference.spatial import windows
from ...dtype import DType
from .common import require
from .registry import Info, rule


@rule("ConvWeightGrad", domain=DOMAIN)
def conv_weight_grad(
    X: Info,
    G: Info,
    *,
    kernel_shape: list[int],
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Info:
    """Weights have a filter per channel of the result."""
    x, g = X.dims, G.dims
    require(len(x) >= 3 and len(g) == len(x), f"ranks of {x} and {g} differ or are too small")
    axes = windows(x[2:], kernel_shape, strides, pads, dilations, auto_pad)
    fits = g[0] == x[0] and list(g[2:]) == [w.output for w in axes]
    require(fits, f"a gradient of shape {g} does not belong to an input of {x}")
    good = group >= 1 and x[1] % group == 0 and g[1] % group == 0
    require(good, f"{x[1]} and {g[1]} channels do not divide into {group} groups")
    return Info(X.dtype, (g[1], x[1] // group, *kernel_shape))


@rule("BatchNorm", domain=DOMAIN)
def batch_norm(
    X: Info,
    scale: Info,
    B: Info,
    residual: Info | None = None,
    *,
    epsilon: float = 1e-5,
    relu: int = 0,
) -> tuple[Info, ...]:
    """The normalised tensor, and two numbers per channel."""
    if residual is not None:
        require(residual.dims == X.dims, f"shapes {X.dims} and {residual.dims} differ")
    require(X.rank >= 2, f"an input of shape {X.dims} has no channels")
    for each in (scale, B):
        require(each.dims == X.dims[1:2], f"{each.dims} is not one number per channel of {X.dims}")
    found = Info(X.dtype, X.dims[1:2])
    return Info(X.dtype, X.dims), found, found


@rule("BatchNormGrad", domain=DOMAIN)
def batch_norm_grad(
    X: Info, G: Info, mean: Info, inverse: Info, scale: Info
) -> tuple[Info, Info, Info]:
    """A gradient per operand that is trained."""
    require(X.rank >= 2 and X.dims == G.dims, f"shapes {X.dims} and {G.dims} differ")
    for each in (mean, inverse, scale):
        require(each.dims == X.dims[1:2], f"{each.dims} is not one number per channel of {X.dims}")
    found = Info(X.dtype, X.dims[1:2])
    return Info(X.dtype, X.dims), found, found


@rule("MaxPoolGrad", domain=DOMAIN)
def max_pool_grad(
    X: Info,
    G: Info,
    *,
    kernel_shape: list[int],
    strides: list[int],
    pads: list[int],
    dilations: list[int],
) -> Info:
    """As the input."""
    x, g = X.dims, G.dims
    require(len(x) >= 3 and len(g) == len(x), f"ranks of {x} and {g} differ or are too small")
    axes = windows(x[2:], kernel_shape, strides, pads, dilations, "NOTSET")
    fits = g[:2] == x[:2] and list(g[2:]) == [w.output for w in axes]
    require(fits, f"a gradient of shape {g} does not belong to an input of {x}")
    return Info(X.dtype, x)


@rule("LayerNormGrad", domain=DOMAIN)
def layer_norm_grad(
    X: Info, G: Info, scale: Info, *, axis: int = -1, epsilon: float = 1e-5
) -> tuple[Info, Info, Info]:
    """A gradient per operand of the normalisation."""
    require(X.dims == G.dims, f"shapes {X.dims} and {G.dims} differ")
    require(-X.rank <= axis < X.rank, f"axis {axis} of a tensor of rank {X.rank}")
    wanted = X.dims[axis % X.rank :]
    require(scale.dims == wanted, f"a scale of shape {scale.dims} where {wanted} is normalised")
    return Info(X.dtype, X.dims), Info(X.dtype, wanted), Info(X.dtype, wanted)


@rule("SoftmaxGrad", domain=DOMAIN)
def softmax_grad(Y: Info, G: Info) -> Info:
    """As both operands."""
    require(Y.dims == G.dims and Y.rank >= 1, f"shapes {Y.dims} and {G.dims} do not fit")
    return Info(G.dtype, G.dims)


@rule("AttentionGrad", domain=DOMAIN)
def attention_grad(
    Q: Info,
    K: Info,
    V: Info,
    G: Info,
    mask: Info | None = None,
    *,
    divisor: float = 0.0,
    factor: float = 0.0,
) -> tuple[Info, Info, Info]:
    """A gradient per operand, tokens before heads."""
    q, k, v, g = (each.dims for each in (Q, K, V, G))
    require(len(q) == len(k) == len(v) == len(g) == 4, f"ranks of {q}, {k}, {v} and {g}")
    fits = q[0] == k[0] == v[0] == g[0] and q[2:] == k[2:] and v[2:] == g[2:]
    fits = fits and q[1:3] == g[1:3] and k[1:3] == v[1:3] and k[1] >= 1
    require(fits, f"queries {q}, keys {k}, values {v} and a gradient {g} do not fit")
    if mask is not None:
        scores, have = (q[0], q[2], q[1], k[1]), mask.dims
        wide = (1,) * (4 - len(have)) + have
        good = len(wide) == 4 and all(n in (1, m) for n, m in zip(wide, scores, strict=True))
        require(good, f"a mask of shape {have} does not fit scores of {scores}")
    return Info(Q.dtype, q), Info(K.dtype, k), Info(V.dtype, v)


@rule("UnaryGrad", domain=DOMAIN)
def unary_grad(V: Info, G: Info, *, function: str, alpha: float = 1.0) -> Info:
    """As both operands."""
    require(V.dims == G.dims and V.dtype == G.dtype, f"shapes {V.dims} and {G.dims} differ")
    require(function in SLOPES, f"function {function!r} is not one of {', '.join(SLOPES)}")
    return Info(G.dtype, G.dims)


def _check_labels(scores: Info, labels: Info) -> None:
    require(scores.rank == 2, f"scores must be (n, classes), not {scores.dims}")
    require(labels.dims == scores.dims[:1], f"labels {labels.dims} do not fit {scores.dims}")
    require(labels.dtype is DType.INT64, f"labels are int64, not {labels.dtype.label}")


@rule("CrossEntropy", domain=DOMAIN)
def cross_entropy(
    scores: Info, labels: Info, *, smoothing: float = 0.0, ignore_index: int | None = None
) -> Info:
    """A loss per row."""
    _check_labels(scores, labels)
    return Info(scores.dtype, scores.dims[:1])


@rule("CrossEntropyGrad", domain=DOMAIN)
def cross_entropy_grad(
    scores: Info,
    labels: Info,
    factor: Info,
    *,
    smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> Info:
    """As the scores."""
    _check_labels(scores, labels)
    require(factor.dims == (), f"the factor is one number, not {factor.dims}")
    return Info(scores.dtype, scores.dims)
