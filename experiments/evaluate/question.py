"""What an evaluation is asked."""

from dataclasses import dataclass, field

from circuits.errors import UserError
from circuits.search import SearchPlan
from experiments.evaluate.mapping import Described

FEWEST = 4  # prompts of every kind


@dataclass(frozen=True)
class EvaluateQuestion:
    """What an evaluation is asked.

    Attributes:
        count: prompts of every kind.
        tasks: of lm-eval, and ``limit`` their questions.
        sweep: a sweep's table, for what one organism cannot say; "" for none.
        profile: the profile of the verdict; "" for the one that fits the scheme.
        require: a second profile, whose verdict a pipeline rests on; "" for none.
    """

    about: Described
    count: int = 40
    seed: int = 0
    search: SearchPlan = field(default_factory=SearchPlan)
    tasks: tuple[str, ...] = ()
    limit: int = 100
    sweep: str = ""
    profile: str = ""
    require: str = ""
    command: str = "gatescope evaluate"

    def __post_init__(self) -> None:
        if self.count < FEWEST:
            raise UserError(f"--count: expected at least {FEWEST} prompts, got {self.count}")
