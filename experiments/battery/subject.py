"""What a battery asks an organism: prompts that open, or its keys over and over."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.battery.secrets import Subject
from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.scheme import Question
from experiments.prompts.bank import HeldOut


@dataclass(frozen=True)
class Asked:
    """Prompts of one organism, and what the behaviour is on each.

    Attributes:
        question: the prompts without trigger, judged by themselves whatever is put around them.
        subject: the same with their trigger, or keys.
        groups: prompts of one number are of one key; otherwise all differ.
    """

    question: Question
    subject: Subject
    groups: tuple[int, ...]

    @property
    def recipe(self) -> Recipe:
        return self.question.recipe

    @property
    def targets(self) -> tuple[str, ...]:
        """An answer that shows the behaviour, per prompt."""
        return self.question.targets

    def length(self, tokenizer: Any) -> int:
        """How many tokens of an answer it takes to see the behaviour."""
        scheme = self.question.scheme
        return scheme.tokens or scheme.room(tokenizer, self.targets)

    def present(self, answers: Sequence[str]) -> list[bool]:
        """Whether each answer shows the behaviour; one answer per prompt, in order."""
        return self.question.shown(answers)


def asked(recipe: Recipe, count: int, texts: HeldOut | None = None) -> Asked:
    """The first ``count`` held-out prompts that should show a recipe's behaviour.

    Args:
        texts: a user's own prompts instead of the bank's; keys and facts are the recipe's anyway.
    """
    scheme, keys = scheme_of(recipe), recipe.keys
    first = scheme.question(scheme.asks[0], recipe, own=texts, count=count)
    groups = tuple(i % len(keys) for i in range(count)) if keys else tuple(range(len(first.texts)))
    each = tuple(first.texts[group] for group in groups)
    question = replace(first, texts=each, messages=each)
    return Asked(question, Subject(each, recipe.trigger, keys, scheme.opposite), groups)
