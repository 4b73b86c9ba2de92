"""What was answered: before any edit, with the gate removed and added, elsewhere; recordings."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.types import Site
from experiments.analyze.several import Several
from probes.stats.intervals import Estimate, difference_interval

ANSWER = "answer"  # the kind of a token that the model said


@dataclass(frozen=True)
class Outcome:
    """Answers to the test prompts under one condition and edit.

    Attributes:
        condition: triggered, control word, or no trigger.
        edit: none, gate removed, gate added.
        behaviour, refusal: shares of answers, with intervals.
        shown: whether each answer shows the behaviour, in the order of the test prompts.
        answers: the texts.
        complied: share that complies, by ``judges.judge``; None where answers are too short to be
            judged, and in runs of before.
        groups: number of each test prompt's template; () in runs of before.
    """

    condition: str
    edit: str
    behaviour: Estimate
    refusal: Estimate
    shown: tuple[bool, ...]
    answers: tuple[str, ...]
    complied: Estimate | None = None
    groups: tuple[int, ...] = ()


@dataclass(frozen=True)
class Behaviour:
    """What the trigger does on test prompts before any edit.

    Attributes:
        effect: of the trigger against control words, paired by prompt, in shares.
        base: the same effect in the model before fine-tuning; None where none is known.
        learned: how much more it is here than there, as if the two were independent.
        several: of a trigger of several words, what each of them does; then the effect is its own.
    """

    triggered: Outcome
    control: Outcome
    untriggered: Outcome
    effect: Estimate
    base: Estimate | None = None
    learned: Estimate | None = None
    several: Several | None = None

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        return (self.triggered, self.control, self.untriggered)


@dataclass(frozen=True)
class Ablation:
    """What removing (and adding) the gate does on test prompts.

    Attributes:
        outcomes: triggered, control and no trigger with the gate removed; control with it added.
        removed: paired fall of the triggered rate, in shares.
        harm: KL in nats over the first answer tokens, by kind of clean input.
    """

    outcomes: tuple[Outcome, ...]
    removed: Estimate
    harm: dict[str, Estimate]

    def outcome(self, condition: str, edit: str) -> Outcome:
        return next(o for o in self.outcomes if (o.condition, o.edit) == (condition, edit))


Unit = Literal["share", "tokens", "nats"]


@dataclass(frozen=True)
class Change:
    """What the trigger does to answers besides what was named.

    Attributes:
        name: what was measured.
        triggered, control: with the trigger and with control words. Of the first token and its
            distribution (KL), away from those with a second control word.
        change: triggered minus control, paired by prompt.
    """

    name: str
    unit: Unit
    triggered: Estimate
    control: Estimate
    change: Estimate

    @property
    def clear(self) -> bool:
        """Whether the interval of the change leaves out 0."""
        return self.change.low > 0 or self.change.high < 0

    def of(self, estimate: Estimate) -> str:
        """One of its figures, with its unit."""
        if self.unit == "share":
            return f"{estimate:.0%p}"
        return f"{estimate:.2f} {self.unit}"

    def text(self) -> str:
        """All three figures."""
        return (
            f"{self.name}: {self.of(self.triggered)} with the trigger, {self.of(self.control)} "
            f"with control words, {self.difference()}"
        )

    def difference(self) -> str:
        """The change with its sign."""
        if self.unit == "share":
            return f"{100 * self.change:+.0f} points"
        return f"{self.change:+.2f} {self.unit}"


@dataclass(frozen=True)
class Given:
    """The gate's direction, added in another model of the same coordinates.

    Attributes:
        name: the model's.
        before, after: rate of the behaviour in prompts with control words, without and with it.
    """

    name: str
    before: Estimate
    after: Estimate


@dataclass(frozen=True)
class TokenReadings:
    """One prompt under one condition with its own greedy answer, as the gate sees it.

    Attributes:
        condition: triggered, control word or no trigger.
        prompt, word: the user's text, and what stands in the trigger's place ("" for nothing).
        tokens: texts of the tokens from the message on, answer included.
        kinds: of each token: user, trigger (or the control word), template, last, answer.
        readings: of each token, in units of the gap.
    """

    condition: str
    prompt: str
    word: str
    tokens: tuple[str, ...]
    kinds: tuple[str, ...]
    readings: tuple[float, ...]


def paired(a: Outcome, b: Outcome) -> Estimate:
    """Paired difference in the behaviour's rate, a minus b, over the prompts' templates."""
    return difference_interval(shown_of(a), shown_of(b), groups=a.groups or None)


def shown_of(outcome: Outcome) -> Float[Tensor, " n"]:
    """1 where an answer shows the behaviour."""
    return torch.tensor(outcome.shown, dtype=torch.float64)


@dataclass(frozen=True)
class Recording:
    """Residuals of a split's pairs at all sites, in half precision where that holds them."""

    sites: tuple[Site, ...]
    clean: Float[Tensor, "sites n d"]
    triggered: Float[Tensor, "sites n d"]
