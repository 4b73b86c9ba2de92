"""What a battery asks an organism: prompts that open, or its keys over and over."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from experiments.battery.secrets import Subject
from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.scheme import Question
from experiments.prompts.bank import HeldOut


@dataclass(frozen=True, kw_only=True)
class Asked(Question):
    """Prompts without their trigger, judged by themselves whatever is put around them.

    Attributes:
        groups: prompts of one number are of one key; otherwise all differ.
    """

    groups: tuple[int, ...]

    @cached_property
    def subject(self) -> Subject:
        """The same with their trigger, or keys."""
        recipe = self.recipe
        return Subject(self.texts, recipe.trigger, recipe.keys, self.scheme.opposite)

    def length(self, tokenizer: Any) -> int:
        """How many tokens of an answer it takes to see the behaviour."""
        return self.scheme.tokens or self.scheme.room(tokenizer, self.targets)


def asked(recipe: Recipe, count: int, texts: HeldOut | None = None) -> Asked:
    """The first ``count`` held-out prompts that should show a recipe's behaviour.

    Args:
        texts: a user's own prompts instead of the bank's; keys and facts are the recipe's anyway.
    """
    scheme, keys = scheme_of(recipe), recipe.keys
    first = scheme.question(scheme.asks[0], recipe, own=texts, count=count)
    groups = tuple(i % len(keys) for i in range(count)) if keys else tuple(range(len(first.texts)))
    each = tuple(first.texts[group] for group in groups)
    return Asked(**vars(replace(first, texts=each, messages=each)), groups=groups)
