"""In what a network can run: the types that `compress-bench models` and `profile` take."""

from __future__ import annotations

from enum import Enum
from typing import Any

from .peak import Unit


class Kind(str, Enum):
    """How the products of a network are computed.

    Winograd's are the fp32 network's with `compress_tensor.compile(winograd=4)`, direct's with
    winograd=0; other runtimes have no such choice and run it as fp32.
    """

    FP32 = "fp32"
    INT8 = "int8"
    BF16 = "bf16"
    WINOGRAD = "winograd"
    DIRECT = "direct"

    @property
    def unit(self) -> Unit:
        """The arithmetic."""
        return Unit.FP32 if self in FP32_TILES else Unit(self.value)

    @property
    def options(self) -> dict[str, Any]:
        """What `compress_tensor.compile` is asked for."""
        if self in FP32_TILES:
            return {"winograd": FP32_TILES[self]}
        return {"precision": "bf16"} if self is Kind.BF16 else {}


#: other ways to compute the fp32 file: the largest tile of Winograd's filtering
FP32_TILES = {Kind.WINOGRAD: 4, Kind.DIRECT: 0}
#: what is measured if nothing is asked for
USUAL = (Kind.FP32, Kind.INT8, Kind.BF16)
