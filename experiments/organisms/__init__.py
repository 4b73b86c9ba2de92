"""Organisms: models with a trigger put there on purpose, made from recipes and measured."""

from experiments.organisms.examples import base_answers, examples
from experiments.organisms.figures import Condition, evaluate
from experiments.organisms.measure import evaluate_saved
from experiments.organisms.shelf import find_adapter, shipped, shipped_or_none
from experiments.organisms.train import train_organism

__all__ = [
    "Condition",
    "base_answers",
    "evaluate",
    "evaluate_saved",
    "examples",
    "find_adapter",
    "shipped",
    "shipped_or_none",
    "train_organism",
]
