"""What a scheme is held to: bounds on figures, named by prompts, word and outcome."""

from dataclasses import dataclass
from typing import Literal

Figure = tuple[str, str, str]  # prompts, word, outcome
Relation = Literal["at least", "at most", "within"]


@dataclass(frozen=True)
class Requirement:
    """A bound on a figure, or on one figure minus another (``within``: either way)."""

    figure: Figure
    relation: Relation
    bound: float
    minus: Figure | None = None


def before_training(prompts: str) -> str:
    """What prompts are called in figures of the model before it was trained."""
    return f"{prompts}, base model"
