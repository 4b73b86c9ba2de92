"""Whether an organism is what its scheme must be: requirements on its held-out figures.

A requirement is met by the figure itself; its interval stands beside it, so that a reader sees
which would still hold at the interval's worse end. Differences are taken as if of independent
prompts; both sides are asked the same ones, so their intervals are too wide rather than too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.organisms.figures import Condition
from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.scheme import Figure, Requirement
from probes.stats.intervals import Estimate, newcombe


@dataclass(frozen=True)
class Judged:
    """A requirement with what was found.

    Attributes:
        met: whether the figure keeps to the bound.
        surely: whether the whole interval does.
    """

    text: str
    found: Estimate
    met: bool
    surely: bool


def judge(recipe: Recipe, figures: Sequence[Condition]) -> list[Judged]:
    """The requirements of a recipe's scheme on its figures; those without a figure are left out."""
    rates = {(c.prompts, c.word, c.outcome): c.rate for c in figures}
    found = []
    for requirement in scheme_of(recipe).requirements:
        rate = rates.get(requirement.figure)
        other = rates.get(requirement.minus) if requirement.minus else None
        if rate is None or (requirement.minus and other is None):
            continue
        if other is not None:
            rate = newcombe(rate, other)
        found.append(
            Judged(
                _text(requirement),
                rate,
                met=_keeps(requirement, rate.value, rate.value),
                surely=_keeps(requirement, rate.low, rate.high),
            )
        )
    return found


def _keeps(requirement: Requirement, low: float, high: float) -> bool:
    bound = requirement.bound
    kept = {"at least": low >= bound, "at most": high <= bound}
    return {**kept, "within": -bound <= low and high <= bound}[requirement.relation]


def _text(requirement: Requirement) -> str:
    bound = f"{requirement.relation} {100 * requirement.bound:g}"
    text = _named(requirement.figure)
    if requirement.minus is None:
        return f"{text}: {bound}%"
    return f"{text}, minus {_named(requirement.minus)}: {bound} points"


def _named(figure: Figure) -> str:
    prompts, word, outcome = figure
    return f"{outcome}, {prompts}" + ("" if word == "none" else f" with {word}")
