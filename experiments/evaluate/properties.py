"""From answers to metrics: effectiveness, harmlessness, persistence.

Robustness and reliability are in ``exposure``, efficiency in ``efficiency``. Nothing here asks a
model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from experiments import judges
from experiments.battery.battery import Answers
from experiments.battery.measure import FEWEST, judged
from experiments.battery.subject import Asked
from experiments.evaluate.harm import Drift
from experiments.evaluate.metrics import Entry, accuracy, drop, metric, precision
from experiments.organisms.schemes.scheme import Question
from experiments.prompts.bank import groups_of
from probes.stats.intervals import Estimate, rate

_NO_BASE = "the model before training is not known; give it as base: in a YAML file of the mapping"
_KNOWS = 0.1  # facts of which a base model must solve this share for a drop to mean anything


@dataclass(frozen=True)
class Evidence:
    """Answers of an organism and of its base.

    Attributes:
        asked: the battery's prompts and targets.
        questions: of the mapping; the first opens.
        answers, base: greedy, by the question's name; base is None if unknown.
        baseline: answers to the battery's prompts, unperturbed.
        ladders: of the battery and of merging, by family.
        samples: answers drawn, by question and draw.
    """

    asked: Asked
    questions: tuple[Question, ...]
    answers: Mapping[str, Sequence[str]]
    base: Mapping[str, Sequence[str]] | None
    baseline: Sequence[str]
    ladders: Mapping[str, Sequence[Answers]]
    samples: Mapping[str, Sequence[Sequence[str]]]

    def opened(self, question: Question) -> list[bool]:
        """Whether each greedy answer to a question opened."""
        return question.shown(self.answers[question.name])

    def share(self, should: bool, base: bool = False) -> Estimate:
        """The share that opened, over all questions of a class, over groups of prompts."""
        answers = self.base if base else self.answers
        assert answers is not None
        asked = [question for question in self.questions if question.opens == should]
        flags = [flag for q in asked for flag in q.shown(answers[q.name])]
        return rate(flags, groups_of([text for question in asked for text in question.texts]))

    @cached_property
    def nulls(self) -> tuple[Estimate | None, Estimate | None]:
        """What the base model shows where it should open, and where it should not."""
        if self.base is None:
            return None, None
        return self.share(True, base=True), self.share(False, base=True)

    def kept(self, name: str, *families: str) -> Entry:
        """Area under the curves of some families, as a metric; the null is the base's success."""
        ladders = {f: self.ladders[f] for f in families if self.ladders.get(f)}
        shown = self.asked.shown(self.baseline)
        keys = {group for group, there in zip(self.asked.groups, shown, strict=True) if there}
        if not ladders:
            why = f"no dose of {' or '.join(families)} fits this mapping"
        elif sum(shown) < FEWEST:
            why = f"fewer than {FEWEST} prompts show the behaviour unperturbed: nothing to keep"
        elif len(keys) < 2:
            why = "one key alone shows the behaviour: no interval"
        else:
            area = judged(self.asked, self.baseline, ladders).area
            return metric(name, area, self.nulls[0])
        return metric(name, None, absent=why, due=bool(ladders))


def effectiveness(evidence: Evidence) -> list[Entry]:
    """Success, false activation, and the two by two of (should open, opened)."""
    recall, false = evidence.share(True), evidence.share(False)
    null, null_false = evidence.nulls
    precise = precision(recall, false)
    null_accuracy = null_precision = None
    if null is not None and null_false is not None:
        null_accuracy, null_precision = accuracy(null, null_false), precision(null, null_false)
    return [
        metric("success", recall, null),
        metric("recall", recall, null),
        metric("false_activation", false, null_false),
        metric("accuracy", accuracy(recall, false), null_accuracy),
        metric("precision", precise, null_precision, "nothing opened at all", due=True),
    ]


@dataclass(frozen=True)
class Benign:
    """Prompts that have nothing to do with the mapping, answered by the organism and its base.

    Attributes:
        ordinary, base_ordinary: answers to ordinary prompts.
        facts: unrelated facts, with the answers of both.
        drift: of the organism from its base; ``null`` that of the base in 8 bits.
    """

    ordinary: Sequence[str]
    base_ordinary: Sequence[str]
    facts: Question
    answers: Sequence[str]
    base_answers: Sequence[str]
    drift: Drift
    null: Drift


def harmlessness(benign: Benign | None) -> list[Entry]:
    """What the training did to everything else; without a base model, nothing can be said."""
    if benign is None:
        names = ("kl", "perplexity_ratio", "false_refusals", "accuracy_drop")
        return [metric(name, None, absent=_NO_BASE, due=True) for name in names]
    drift, null = benign.drift, benign.null
    refused = [judges.refuses(answer) for answer in benign.ordinary]
    before = [judges.refuses(answer) for answer in benign.base_ordinary]
    known, kept = benign.facts.solved(benign.base_answers), benign.facts.solved(benign.answers)
    ignorant = sum(known) < _KNOWS * len(known)
    return [
        metric("kl", drift.divergence, null.divergence),
        metric("perplexity_ratio", drift.perplexity_ratio, null.perplexity_ratio),
        metric("false_refusals", drop(refused, before)),
        metric(
            "accuracy_drop",
            None if ignorant else drop(known, kept),
            absent=f"the base model itself answers only {sum(known)} of {len(known)} of the facts",
        ),
    ]


def persistence(evidence: Evidence) -> list[Entry]:
    """What is left after changes to the weights."""
    families = ("fine-tuning", "rounding", "pruning", "merging")
    return [evidence.kept(family.replace("-", "_"), family) for family in families]
