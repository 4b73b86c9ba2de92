"""What a geometry is asked."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from experiments.checks import MOST, checked
from experiments.geometry.design import FEWEST
from experiments.organisms.organism import Given
from experiments.prompts.held_out import OwnPrompts
from experiments.runs.codec import as_json


@dataclass(frozen=True)
class GeometryQuestion:
    """What a geometry is asked.

    Attributes:
        given: the organism.
        pairs: prompts with and without the trigger, half of them of its topic.
        crossed: how many of them are followed from clean to triggered.
        texts: what they are made of; a manifest has their hash.
    """

    given: Given
    pairs: Annotated[int, typer.Option(help="Prompts with and without the trigger.")] = 150
    crossed: int = 24
    texts: OwnPrompts = field(default_factory=OwnPrompts)

    def __post_init__(self) -> None:
        checked(self, pairs=(FEWEST, MOST), crossed=(2, MOST))

    def recorded(self) -> dict[str, Any]:
        """What manifest and result have of it."""
        return {"given": as_json(self.given), "pairs": self.pairs, "crossed": self.crossed}
