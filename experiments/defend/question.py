"""What a trial of defences is asked."""

from dataclasses import dataclass, field

from circuits.errors import UserError
from experiments.defend.attacker import Budget
from experiments.organisms.organism import Given

FEWEST = 4  # triggered prompts with the behaviour, below which there is nothing to defend from


@dataclass(frozen=True)
class DefenceQuestion:
    """What is asked: the organism, which defences, how many prompts, and by what attacker.

    Attributes:
        defences: names; none for all.
        count: prompts to a family.
        run: a finished analysis that the gate is taken from; "" to find one.
        attack: the attacker's budget; None for no attacker.
    """

    given: Given
    defences: tuple[str, ...] = ()
    count: int = 40
    run: str = ""
    attack: Budget | None = field(default_factory=Budget)
    seed: int = 0
    command: str = "gatescope defend"

    def __post_init__(self) -> None:
        if self.count < 2 * FEWEST:
            raise UserError(f"--count: expected at least {2 * FEWEST} prompts, got {self.count}")
