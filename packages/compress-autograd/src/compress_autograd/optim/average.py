"""An exponential moving average of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import compress_tensor as ct
from compress_tensor import InputError, Tensor
from compress_tensor.graph.graph import Array

from ..tape import no_grad


class Average:
    """a = decay a + (1 - decay) p after every step (Polyak and Juditsky, 1992).

    Args:
        parameters: by name.
        decay: how much is kept, from 0 to below 1; less in the first steps, as
            (1 + n) / (10 + n) for step n.
    """

    def __init__(self, parameters: Mapping[str, Tensor], decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise InputError(f"decay is from 0 to below 1, not {decay}")
        self.decay = decay
        self.steps = 0
        self._parameters = dict(parameters)
        self.values = {name: p.detach().clone() for name, p in parameters.items()}

    def update(self) -> None:
        """Take the parameters in as they are now."""
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        with no_grad():
            for name, p in self._parameters.items():
                held = self.values[name]
                ct.add(ct.multiply(held, keep, out=held), p * (1 - keep), out=held)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within this context, parameters have the average's values."""
        before = {name: p.detach().clone() for name, p in self._parameters.items()}
        with no_grad():
            for name, p in self._parameters.items():
                p.copy_(self.values[name])
        try:
            yield
        finally:
            with no_grad():
                for name, p in self._parameters.items():
                    p.copy_(before[name])

    def state(self) -> dict[str, Array]:
        """Return the average as arrays by name."""
        found = {name: held.numpy().copy() for name, held in self.values.items()}
        found["/steps"] = ct.Tensor(self.steps).numpy()
        return found

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state` returned."""
        self.steps = int(state["/steps"])
        with no_grad():
            for name, held in self.values.items():
                if name not in state or state[name].shape != held.shape:
                    raise InputError(f"the average belongs to another model: {name!r}")
                held.copy_(state[name])
