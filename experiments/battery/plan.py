"""How much a battery asks and trains."""

from dataclasses import dataclass
from typing import Annotated

import typer

from circuits.errors import UserError

_FEWEST = 4


@dataclass(frozen=True)
class Plan:
    """How much is asked and trained.

    Attributes:
        prompts: how many prompts of the behaviour are asked under every dose.
        tuning: ordinary examples seen after training, a ladder.
        overwriting: poisons of another trigger (with as many ordinary examples), a ladder.
        seed: of everything that is drawn.
    """

    prompts: Annotated[int, typer.Option("--count", help="Prompts asked under every dose.")] = 40
    tuning: Annotated[
        tuple[int, ...], typer.Option(help="Examples of later ordinary training, rising.")
    ] = (25, 50, 100)
    overwriting: tuple[int, ...] = (15, 30)
    seed: Annotated[int, typer.Option(help="Of typos, noise, sampling and training.")] = 0

    def __post_init__(self) -> None:
        for ladder in (self.tuning, self.overwriting):
            if not ladder or min(ladder) < 1 or list(ladder) != sorted(set(ladder)):
                raise UserError(f"ladder: expected rising counts from 1 on, got {list(ladder)}")
        if self.prompts < _FEWEST:
            raise UserError(f"prompts: expected at least {_FEWEST}, got {self.prompts}")
