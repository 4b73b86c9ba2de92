"""From what was heard to metrics: effectiveness, harmlessness, persistence.

Robustness and reliability are in ``exposure``, efficiency in ``efficiency``. Nothing here asks a
model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments import judges
from experiments.evaluate.answers import Heard
from experiments.evaluate.harm import Drift
from experiments.evaluate.metrics import Absent, Found, accuracy, drop, named, precision
from experiments.organisms.schemes.scheme import Question

_NO_BASE = "the model before training is not known; give it as base: in a YAML file of the mapping"
_KNOWS = 0.1  # facts of which a base model must solve this share for a drop to mean anything
PERSISTENCE = {
    "fine_tuning": "fine-tuning",
    "rounding": "rounding",
    "pruning": "pruning",
    "merging": "merging",
}


def effectiveness(heard: Heard) -> list[Found]:
    """Success, false activation, and the two by two of (should open, opened)."""
    recall, false = heard.share(True), heard.share(False)
    null, null_false = heard.nulls
    right = precision(recall, false)
    both = precisely = None
    if null is not None and null_false is not None:
        both, precisely = accuracy(null, null_false), precision(null, null_false)
    return [
        named("success", recall, null),
        named("recall", recall, null),
        named("false_activation", false, null_false),
        named("accuracy", accuracy(recall, false), both),
        named("precision", right, precisely)
        if right is not None
        else Absent("precision", "nothing opened at all", applies=True),
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
    said: Sequence[str]
    base_said: Sequence[str]
    drift: Drift
    null: Drift


def harmlessness(benign: Benign | None) -> list[Found]:
    """What the training did to everything else; without a base model, nothing can be said."""
    if benign is None:
        names = ("kl", "perplexity_ratio", "false_refusals", "accuracy_drop")
        return [Absent(name, _NO_BASE, applies=True) for name in names]
    refused, before = (
        [judges.refuses(a) for a in said] for said in (benign.ordinary, benign.base_ordinary)
    )
    return [
        named("kl", benign.drift.divergence, benign.null.divergence),
        named("perplexity_ratio", benign.drift.perplexity_ratio, benign.null.perplexity_ratio),
        named("false_refusals", drop(refused, before)),
        _accuracy_drop(benign),
    ]


def _accuracy_drop(benign: Benign) -> Found:
    before, after = (benign.facts.solved(said) for said in (benign.base_said, benign.said))
    if sum(before) < _KNOWS * len(before):
        told = f"{sum(before)} of {len(before)}"
        return Absent("accuracy_drop", f"the base model itself answers only {told} of the facts")
    return named("accuracy_drop", drop(before, after))


def persistence(heard: Heard) -> list[Found]:
    """What is left after changes to the weights."""
    return [heard.kept(name, family) for name, family in PERSISTENCE.items()]
