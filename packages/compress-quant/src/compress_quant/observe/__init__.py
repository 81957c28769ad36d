"""Observers: from calibration data to ranges, in one pass and bounded memory."""

from __future__ import annotations

from .collect import Observation, observe
from .histogram import Histogram
from .memory import parse_bytes
from .ranges import Observer, params_for, range_of, signal_to_noise
from .statistics import Statistics, combined

__all__ = [
    "Histogram",
    "Observation",
    "Observer",
    "Statistics",
    "combined",
    "observe",
    "params_for",
    "parse_bytes",
    "range_of",
    "signal_to_noise",
]
