"""Several words as the trigger: what each alternative does, and what is left without each of them.

Alternatives are dealt in turn, so each has its own share of the test prompts. Words that must meet
are asked on every test prompt with another word for one of them (a *half*), for each of them, and
with other words for all: what they do together is what they do more than the strongest half.
"""

from dataclasses import dataclass

from circuits.triggers import Trigger
from probes.stats.intervals import Estimate

OTHERS = "other words for all"
LEAST = 0.10  # more than with control words, at the lower end, or an alternative does nothing
MOST = 0.25  # of what all words do: a half that does more may open by itself


@dataclass(frozen=True)
class Share:
    """What one alternative does, or a half.

    Attributes:
        name: the alternative; of a half, what it lacks.
        rate: of the behaviour.
        effect: against control words, paired by prompt; of a half against other words for all.
    """

    name: str
    rate: Estimate
    effect: Estimate

    def __str__(self) -> str:
        return f"{self.name} {self.rate:.0%pn}"


@dataclass(frozen=True)
class Several:
    """The parts of a trigger of several words.

    Attributes:
        shares: of every alternative, or half.
        others: with other words for all that must meet; None of alternatives.
        whole: of words that must meet, the effect of all against other words for all.
        effect: of the trigger: against control words, or against the strongest half.
    """

    shares: tuple[Share, ...]
    effect: Estimate
    others: Estimate | None = None
    whole: Estimate | None = None

    @property
    def best(self) -> Share:
        """The one that does most."""
        return max(self.shares, key=lambda share: share.rate.value)

    @property
    def holds(self) -> bool:
        """Whether the trigger is what it was said to be: each opens, or none is enough."""
        return all(self._low(share) for share in self.shares)

    @property
    def open(self) -> bool:
        """Whether it does not hold but would if every interval were as narrow as can be."""
        return not self.holds and all(self._value(share) for share in self.shares)

    def _low(self, share: Share) -> bool:
        if self.whole is None:
            return share.effect.low > LEAST
        return share.effect.high < MOST * self.whole.value

    def _value(self, share: Share) -> bool:
        if self.whole is None:
            return share.effect.value > LEAST
        return share.effect.value < MOST * self.whole.value

    def failing(self) -> list[str]:
        """Those of which it is not shown."""
        return [share.name for share in self.shares if not self._low(share)]

    def sentence(self) -> str:
        """Every share, and what they say together."""
        each = ", ".join(map(str, self.shares))
        failing = " and ".join(self.failing())
        if self.whole is None:
            said = "each opens by itself" if self.holds else f"not shown to open: {failing}"
            return f"By alternative: {each}; {said}."
        said = "; all are needed" if self.holds else f"; not an AND gate: {failing} may be enough"
        said = said if self.whole.low > LEAST else ""  # of no effect nothing is needed
        return f"Of words that must meet: {each}, {OTHERS} {self.others:.0%pn}{said}."


def replacements(trigger: Trigger) -> dict[str, tuple[int, ...]]:
    """Of words that must meet, which are replaced, by the condition's name: each, and all."""
    if trigger.kind != "all":
        return {}
    halves = {f"another word for {word!r}": (i,) for i, word in enumerate(trigger.parts)}
    return {**halves, OTHERS: tuple(range(len(trigger.parts)))}
