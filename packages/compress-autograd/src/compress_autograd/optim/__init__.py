"""Optimizers, learning-rate schedules, and what goes with them."""

from __future__ import annotations

from .adam import LAMB, Adam, AdamW
from .average import Average
from .clip import clip_grad_norm, clip_grad_value
from .optimizer import Group, Optimizer, groups_by_decay
from .schedule import Schedule, constant, cosine, one_cycle, step_decay, warm_up
from .sgd import SGD

__all__ = [
    "LAMB",
    "SGD",
    "Adam",
    "AdamW",
    "Average",
    "Group",
    "Optimizer",
    "Schedule",
    "clip_grad_norm",
    "clip_grad_value",
    "constant",
    "cosine",
    "groups_by_decay",
    "one_cycle",
    "step_decay",
    "warm_up",
]
