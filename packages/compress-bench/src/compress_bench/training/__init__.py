"""Training networks of the zoo from scratch: what ``compress-bench train`` does."""

from __future__ import annotations

from .recipes import RECIPES, Recipe, recipe
from .run import Run, prepare

__all__ = ["RECIPES", "Recipe", "Run", "prepare", "recipe"]
