"""What a judge that is itself a model says: the probability that each answer refuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor


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


class Grader(Protocol):
    """Prompts and their answers to grades, one per answer."""

    def __call__(self, prompts: Sequence[str], answers: Sequence[str]) -> Grades: ...
