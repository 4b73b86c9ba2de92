"""Everything that was asked, judged: what the metrics are computed from, without a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from experiments.battery.battery import Answers
from experiments.battery.measure import FEWEST, judged
from experiments.battery.subject import Asked
from experiments.evaluate.metrics import Absent, Found, named, rate
from experiments.organisms.schemes.scheme import Question
from probes.stats.intervals import Estimate

Said = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Heard:
    """Answers of an organism and of its base.

    Attributes:
        asked: the battery's prompts and targets.
        questions: of the mapping; the first opens.
        said, base: greedy answers to them, by the question's name; base is None if unknown.
        baseline: answers to the battery's prompts, unperturbed.
        ladders: of the battery and of merging, by family.
        samples: answers drawn, by question and draw.
    """

    asked: Asked
    questions: tuple[Question, ...]
    said: Said
    base: Said | None
    baseline: Sequence[str]
    ladders: Mapping[str, Sequence[Answers]]
    samples: Mapping[str, Sequence[Sequence[str]]]

    @property
    def first(self) -> Question:
        return self.questions[0]

    def opened(self, should: bool, base: bool = False) -> tuple[list[bool], list[str]]:
        """Whether each answer opened, over all questions of a class, and each one's prompt."""
        said = self.base if base else self.said
        assert said is not None
        flags: list[bool] = []
        prompts: list[str] = []
        for question in self.questions:
            if question.opens == should:
                flags += question.shown(said[question.name])
                prompts += question.texts
        return flags, prompts

    def share(self, should: bool, base: bool = False) -> Estimate:
        """The share that opened, of as many trials as there are prompts."""
        return rate(*self.opened(should, base))

    @cached_property
    def nulls(self) -> tuple[Estimate | None, Estimate | None]:
        """What the base model shows where it should open, and where it should not."""
        if self.base is None:
            return None, None
        return self.share(True, base=True), self.share(False, base=True)

    def kept(self, name: str, *families: str) -> Found:
        """Area under the curves of some families, as a metric; the null is the base's success."""
        there = {f: self.ladders[f] for f in families if self.ladders.get(f)}
        if not there:
            return Absent(name, f"no dose of {' or '.join(families)} fits this mapping")
        if sum(self.asked.shown(self.baseline)) < FEWEST:
            few = f"fewer than {FEWEST} prompts show the behaviour unperturbed: nothing to keep"
            return Absent(name, few, applies=True)
        if len(set(self.shown_groups)) < 2:
            return Absent(name, "one key alone shows the behaviour: no interval", applies=True)
        return named(name, judged(self.asked, self.baseline, there).area, self.nulls[0])

    @property
    def shown_groups(self) -> list[int]:
        present = self.asked.shown(self.baseline)
        return [g for g, there in zip(self.asked.groups, present, strict=True) if there]
