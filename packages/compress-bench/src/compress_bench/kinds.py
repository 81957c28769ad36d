"""In what a network can run: the types that `compress-bench models` and `profile` take."""

from __future__ import annotations

from enum import Enum
from typing import Any

from .peak import Unit


class Kind(str, Enum):
    """How the products of a network are computed.

    Winograd's are the fp32 network's with `compress_tensor.compile(winograd=True)`; other
    runtimes have nothing like it and run it as fp32.
    """

    FP32 = "fp32"
    INT8 = "int8"
    BF16 = "bf16"
    WINOGRAD = "winograd"

    @property
    def unit(self) -> Unit:
        """The arithmetic."""
        return Unit.FP32 if self is Kind.WINOGRAD else Unit(self.value)

    @property
    def options(self) -> dict[str, Any]:
        """What `compress_tensor.compile` is asked for."""
        if self is Kind.WINOGRAD:
            return {"winograd": True}
        return {"precision": "bf16"} if self is Kind.BF16 else {}


#: what is measured if nothing is asked for
USUAL = (Kind.FP32, Kind.INT8, Kind.BF16)
