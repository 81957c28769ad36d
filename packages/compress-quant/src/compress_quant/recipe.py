"""The recipe: everything that one may choose about a static quantization."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from compress_tensor import InputError

from .observe import Observer
from .observe.ranges import PERCENTILE
from .target import Activations, Target


class When(str, Enum):
    """Whether a step is taken; AUTO: where measurement says that it helps."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Override:
    """What differs for some nodes.

    Attributes:
        node: a pattern (``*``, ``?``) of node names or first outputs.
        keep_float: leave them in floats.
        observer: for the values that they make.
        low: with ``high``: the range of the values that they make, instead of an observed one.
        high: see ``low``.
    """

    node: str
    keep_float: bool = False
    observer: Observer | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to quantize.

    Attributes:
        target: who runs the file.
        activations: codes of what is computed at run time (tensorrt: always s8 symmetric).
        observer: how ranges are chosen.
        percentile: of the observer of that name, in percent.
        memory: bytes that the process may have in use while it observes; None: no limit.
        threads: of the engine while it observes; results do not depend on it.
        exclude: patterns of nodes that stay in floats.
        op_types: only nodes of these operators are quantized; empty: all.
        overrides: for single nodes; of several that match the last one counts.
        least_decibels: signal to noise at the outputs below which the worst nodes go back to
            floats; minus infinity: none does.
        equalize: cross-layer equalization.
        bias_correction: fast bias correction.
        weight_bits: of weights, 2 to 8.  With fewer than 8 bits, here or below, no node goes back
            to floats for the sake of ``least_decibels``.
        activation_bits: of what is computed at run time, 2 to 8.
        edge_bits: at least so many at the ends of the network: see `bits`.
        per_channel: one scale per output channel of a weight; False: one per weight.
        strict: refuse when a product stays in floats that nobody excluded.
    """

    target: Target = Target.CPU
    activations: Activations = Activations.U8
    observer: Observer = Observer.AUTO
    percentile: float = PERCENTILE
    memory: int | None = None
    threads: int = 1
    exclude: tuple[str, ...] = ()
    op_types: tuple[str, ...] = ()
    overrides: tuple[Override, ...] = ()
    least_decibels: float = 20.0
    equalize: When = When.AUTO
    bias_correction: When = When.AUTO
    strict: bool = False
    weight_bits: int = 8
    activation_bits: int = 8
    edge_bits: int = 8
    per_channel: bool = True

    def __post_init__(self) -> None:
        if not 50.0 < self.percentile <= 100.0:
            raise InputError(f"percentile {self.percentile} is not above 50 and at most 100")
        if self.percentile != PERCENTILE and self.observer not in (
            Observer.PERCENTILE,
            Observer.AUTO,
        ):
            raise InputError(
                f"percentile {self.percentile} has no effect with observer "
                f"{self.observer.value!r}; choose one of them"
            )
        if self.target is Target.TENSORRT and self.activations is Activations.S8:
            raise InputError("target tensorrt takes no zero points; activations cannot be 's8'")
        for name in ("weight_bits", "activation_bits", "edge_bits"):
            if not 2 <= getattr(self, name) <= 8:
                raise InputError(f"{name} must be from 2 to 8, not {getattr(self, name)}")
        if self.memory is not None and self.memory <= 0:
            raise InputError(f"memory must be positive, not {self.memory}")
        for each in self.overrides:
            _check_override(each)


def _check_override(each: Override) -> None:
    if (each.low is None) != (each.high is None):
        raise InputError(f"override of {each.node!r}: low and high belong together")
    if each.low is not None and each.high is not None:
        if not -3.0e38 < each.low < each.high < 3.0e38:
            raise InputError(f"override of {each.node!r}: {each.low} .. {each.high} is not a range")
        if each.observer is not None:
            raise InputError(f"override of {each.node!r} has a range and an observer; choose one")
    if each.keep_float and (each.observer is not None or each.low is not None):
        raise InputError(f"override of {each.node!r} keeps floats and yet describes codes")
