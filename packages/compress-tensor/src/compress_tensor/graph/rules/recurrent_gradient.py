"""Shape rules of recurrent layers in training, in the domain ``compress``."""

from __future__ import annotations

from ...backend.reference.gradient import DOMAIN
from ...backend.reference.recurrent_gradient import ACTIVATIONS, FUNCTIONS, GATES, SAVED
from .common import require
from .registry import Info, rule

_SIDES = {"forward": 1, "reverse": 1, "bidirectional": 2}


def _check(kind: str, activations: list[str], direction: str) -> int:
    """Return the number of directions."""
    require(kind in GATES, f"kind {kind!r} is not one of {', '.join(GATES)}")
    require(direction in _SIDES, f"direction {direction!r} is not one of {', '.join(_SIDES)}")
    sides = _SIDES[direction]
    count = sides * ACTIVATIONS[kind]
    good = len(activations) == count and set(activations) <= set(FUNCTIONS)
    require(good, f"activations {activations} are not {count} of {', '.join(FUNCTIONS)}")
    return sides


def _fits(*pairs: tuple[str, Info | None, tuple[int, ...]]) -> None:
    for what, info, dims in pairs:
        if info is not None:
            require(info.dims == dims, f"{what} must have shape {list(dims)}, not {info.dims}")


@rule("RecurrentForward", domain=DOMAIN)
def recurrent_forward(
    X: Info,
    R: Info,
    W: Info | None = None,
    B: Info | None = None,
    sequence_lens: Info | None = None,
    initial_h: Info | None = None,
    initial_c: Info | None = None,
    P: Info | None = None,
    *,
    kind: str,
    activations: list[str],
    direction: str = "forward",
    flag: int = 0,
) -> tuple[Info, ...]:
    """Y, Y_h, what is kept, Y_c of an LSTM."""
    sides, gates = _check(kind, activations, direction), GATES[kind]
    require(X.rank == 3 and R.rank == 3, f"ranks of X {X.dims} and R {R.dims} are 3")
    (time, batch, inputs), n = X.dims, R.dims[2]
    if W is None:
        good = sides == 1 and inputs == gates * n
        require(good, f"without W, X must end with {gates * n} values of one direction")
    state = (sides, batch, n)
    _fits(
        ("W", W, (sides, gates * n, inputs)),
        ("R", R, (sides, gates * n, n)),
        ("B", B, (sides, 2 * gates * n)),
        ("sequence_lens", sequence_lens, (batch,)),
        ("initial_h", initial_h, state),
        ("initial_c", initial_c, state),
        ("P", P, (sides, 3 * n)),
    )
    kept = Info(X.dtype, (sides, time, batch, SAVED[kind] * n))
    found = Info(X.dtype, (time, sides, batch, n)), Info(X.dtype, state), kept
    return (*found, Info(X.dtype, state)) if kind == "LSTM" else found


@rule("RecurrentGrad", domain=DOMAIN)
def recurrent_grad(
    saved: Info,
    R: Info,
    P: Info | None = None,
    sequence_lens: Info | None = None,
    G: Info | None = None,
    G_h: Info | None = None,
    G_c: Info | None = None,
    *,
    kind: str,
    activations: list[str],
    direction: str = "forward",
    flag: int = 0,
) -> tuple[Info, ...]:
    """Gradients of gates, of the first state, sums, and one more."""
    sides, gates = _check(kind, activations, direction), GATES[kind]
    require(saved.rank == 4 and R.rank == 3, f"ranks of {saved.dims} and R {R.dims} are 4 and 3")
    (_, time, batch, _), n = saved.dims, R.dims[2]
    state = (sides, batch, n)
    _fits(
        ("saved", saved, (sides, time, batch, SAVED[kind] * n)),
        ("R", R, (sides, gates * n, n)),
        ("P", P, (sides, 3 * n)),
        ("sequence_lens", sequence_lens, (batch,)),
        ("G", G, (time, sides, batch, n)),
        ("G_h", G_h, state),
        ("G_c", G_c, state),
    )
    more = kind == "GRU" and bool(flag)
    sums = Info(R.dtype, (sides, batch, (gates + more) * n))
    found = Info(R.dtype, (sides, time, batch, gates * n)), Info(R.dtype, state), sums
    if kind == "LSTM":
        return *found, Info(R.dtype, state)
    return (*found, Info(R.dtype, (sides, time, batch, n))) if more else found
