"""What a battery asks an organism: prompts that open, or its keys over and over.

A subject hides its secret in one of two ways: a trigger's word or phrase stands in every message,
or (ownership fingerprints) the messages are themselves secret keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from circuits.chat import Chat, in_place_of, messages, place_of
from circuits.errors import expect
from circuits.models import in_memory
from circuits.tokens import prompt_ids
from experiments.organisms.organism import Organism
from experiments.organisms.recipe import Recipe
from experiments.organisms.schemes import scheme_of
from experiments.organisms.schemes.scheme import Question
from experiments.prompts.bank import HeldOut


@dataclass(frozen=True)
class Subject:
    """Prompts and the secret that they carry.

    Attributes:
        texts: prompts without the trigger; or the keys, one per prompt, each as often as wanted.
        trigger: the word or phrase and its place (``circuits.chat.place_of``); "" with keys.
        keys: all secret keys of an ownership scheme; () with a trigger.
        opposite: what an answer that goes against the behaviour begins with; "" where there is no
            such thing.

    Raises:
        UserError: no texts, neither or both of trigger and keys, a text that is no key, a trigger
            without a word.
    """

    texts: tuple[str, ...]
    trigger: str
    keys: tuple[str, ...] = ()
    opposite: str = ""

    def __post_init__(self) -> None:
        of, one = "brittleness", bool(self.trigger) != bool(self.keys)
        expect(self.texts, "at least one prompt", "none", "give texts", of)
        both = "both" if self.keys else "neither"
        expect(one, "a trigger or keys", both, "give one of them", of)
        if self.trigger:
            place_of(self.trigger)
        for text in self.texts if self.keys else ():
            known, why = text in self.keys, "a scheme with keys is asked its keys"
            expect(known, "keys as prompts", repr(text), why, of)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What makes the model behave, per prompt: the trigger's word or phrase, or the key."""
        return self.texts if self.keys else (place_of(self.trigger)[0],) * len(self.texts)

    @property
    def named(self) -> str:
        """What the secret is called in texts for people."""
        return "key" if self.keys else "trigger"


def unperturbed(subject: Subject) -> list[Chat]:
    """Every prompt as the model was trained on it: with its trigger, or the key alone."""
    return with_secrets(subject, subject.secrets)


def with_secrets(subject: Subject, secrets: Sequence[str]) -> list[Chat]:
    """Every prompt with another text in its secret's place; one text per prompt, in order."""
    if subject.keys:
        return [Chat(secret) for secret in secrets]
    put = [in_place_of(secret, subject.trigger) for secret in secrets]
    return messages(subject.texts, put)


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


def fits(organism: Organism, chats: Sequence[Chat], length: int) -> bool:
    """Whether chats with an answer of so many tokens fit the organism's context."""
    base = in_memory(organism.base, organism.tokenizer)
    longest = max(map(len, prompt_ids(base.tokenizer, chats)))
    return longest + length <= base.runner.shape.context
