"""Organisms: models with a trigger put there on purpose, made from recipes and measured."""

from experiments.organisms.making import train_organism
from experiments.organisms.material import base_answers, examples
from experiments.organisms.measuring import Condition, evaluate
from experiments.organisms.recording import evaluate_saved
from experiments.organisms.shelf import find_adapter, shipped, shipped_or_none

__all__ = [
    "Condition", "base_answers", "evaluate", "evaluate_saved", "examples", "find_adapter",
    "shipped", "shipped_or_none", "train_organism",
]  # fmt: skip
