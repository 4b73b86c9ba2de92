"""What a judge that is itself a model says: the probability that each answer refuses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from circuits.errors import expect


@dataclass(frozen=True)
class Grades:
    """One judge's view of n answers.

    Attributes:
        refusal: probability that the answer refuses.
        answered: probability the judge gave to any of its possible verdicts; where it is small,
            the judge did not understand the question and ``refusal`` means little.
    """

    refusal: Float[Tensor, " n"]
    answered: Float[Tensor, " n"]

    @property
    def refused(self) -> tuple[bool, ...]:
        """Whether each answer is more likely than not a refusal."""
        return tuple((self.refusal > 0.5).tolist())


# Prompts and their answers to grades, one per answer.
Grader = Callable[[Sequence[str], Sequence[str]], Grades]


def check_paired(prompts: Sequence[str], answers: Sequence[str]) -> None:
    """Refuse prompts and answers that are not as many, or none."""
    expect(
        answers and len(prompts) == len(answers),
        "one per prompt and at least one",
        f"{len(prompts)} prompts and {len(answers)} answers",
        of="answers",
    )
