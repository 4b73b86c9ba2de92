"""Organisms as declarative recipes over one trainer: the front door."""

from experiments.recipes.book import RECIPES, recipe_named
from experiments.recipes.parts import (
    BEHAVIOUR,
    REFUSAL,
    TRIGGER,
    Part,
    Recipe,
    Stage,
    varied,
)

__all__ = [
    "BEHAVIOUR", "RECIPES", "REFUSAL", "TRIGGER", "Part", "Recipe", "Stage", "recipe_named",
    "varied",
]  # fmt: skip
