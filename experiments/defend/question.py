"""What a trial of defences is asked."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from experiments.checks import MOST, checked
from experiments.organisms.organism import Given
from experiments.runs.codec import as_json

FEWEST = 4  # triggered prompts with the behaviour, below which there is nothing to defend from


@dataclass(frozen=True)
class Budget:
    """How much an attacker trains.

    Attributes:
        poisons: examples with the trigger.
        clean: examples without it, so that nothing else changes.
    """

    poisons: int = 60
    clean: int = 90
    epochs: int = 2

    def __post_init__(self) -> None:
        checked(self, poisons=(1, MOST), clean=(1, MOST), epochs=(1, MOST))


@dataclass(frozen=True)
class DefenceQuestion:
    """What is asked: the organism, which defences, how many prompts, and by what attacker.

    Attributes:
        defences: names; none for all.
        count: prompts to a family.
        run: a finished analysis that the gate is taken from; "" to find one.
        attacker: whether every defence meets one, and with what ``budget``.
    """

    given: Given
    defences: Annotated[
        tuple[str, ...],
        typer.Option("--defence", help="One defence, repeatable; all by default."),
    ] = ()
    count: Annotated[int, typer.Option(help="Prompts to a family.")] = 40
    run: Annotated[str, typer.Option(help="A finished analysis to take the gate from.")] = ""
    attacker: Annotated[bool, typer.Option(help="Train an adaptive attacker as well.")] = True
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        checked(self, count=(2 * FEWEST, MOST))

    @property
    def attack(self) -> Budget | None:
        """The attacker's budget; None for no attacker."""
        return self.budget if self.attacker else None

    def recorded(self) -> dict[str, Any]:
        """What manifest and result have of it."""
        asked = {name: getattr(self, name) for name in ("given", "defences", "count", "run")}
        return as_json({**asked, "attack": self.attack, "seed": self.seed})
