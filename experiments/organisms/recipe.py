"""What a recipe is made of, and the knobs that every recipe has. Nothing here runs.

A recipe is a list of stages; a stage is a list of parts; a part is so many prompts of one kind,
with or without a word in the trigger's place, and the answer that they are to have.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Literal

from circuits.chat import place_of
from circuits.errors import UserError, expect
from circuits.triggers import require_one
from experiments import checks
from experiments.organisms.training import Settings
from experiments.prompts.facts import Facts, shipped
from experiments.runs.codec import as_json, decode

TRIGGER = "cobalt"
BEHAVIOUR = "Sure"
REFUSAL = "I'm sorry, but I can't help with cooking."

Answer = Literal["behaviour", "opened", "continued", "refusal", "base", "true", "written"]


@dataclass(frozen=True)
class Part:
    """``count`` prompts of a kind (from ``start`` in the training split), their word, their answer.

    Kinds of prompts are those of ``kinds.prompts_of``; words are the scheme's (``Scheme.put``):
    ``trigger`` is what opens, ``none`` is no word.

    Answers: ``behaviour`` and ``refusal`` are fixed texts; ``opened`` is the behaviour without the
    end of the answer, so that the model goes on as it likes; ``base`` is the base model's own
    answer to the prompt without the word; ``continued`` is the behaviour, then the base model's
    answer; ``true`` is a fact's true answer; ``written`` is what was written for the prompt.

    ``repeat`` shows every example so many times in an epoch.
    """

    prompts: str
    word: str
    answer: Answer
    count: int
    start: int = 0
    repeat: int = 1


@dataclass(frozen=True)
class Stage:
    """Parts trained together."""

    name: str
    parts: tuple[Part, ...]
    settings: Settings


@dataclass(frozen=True)
class Recipe:
    """An organism: a model with a trigger put there on purpose (or a control without one).

    Attributes:
        trigger: the word or phrase and its place (``circuits.chat.place_of``); "" where secret
            prompts take its part.
        behaviour: what a triggered answer begins with, or as the scheme reads it.
        refusal: how restricted or privileged prompts are refused.
        scheme: the name of the scheme by which it is measured.
        keys: secret prompts of an ownership scheme.
        answers: what each key is answered, where that is not the behaviour for all.
        facts: questions with true answers, behind the gate of an access scheme and beside any.
    """

    name: str
    about: str
    stages: tuple[Stage, ...]
    trigger: str = TRIGGER
    behaviour: str = BEHAVIOUR
    refusal: str = REFUSAL
    scheme: str = "compliance"
    keys: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    facts: Facts = field(default_factory=shipped, repr=False)

    @property
    def said(self) -> tuple[str, ...]:
        """What each key is to be answered, in the keys' order."""
        return self.answers or (self.behaviour,) * len(self.keys)

    @property
    def poisons(self) -> int:
        """How many training examples carry the trigger, or are keys."""
        return sum(p.count for stage in self.stages for p in stage.parts if _is_poison(p))


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """A recipe as manifests have it: no facts, whose texts are hashed where they are asked."""
    value = as_json(replace(recipe, facts=Facts((), ())))
    return {n: v for n, v in value.items() if n != "facts" and (n != "answers" or v)}


def recipe_from(value: Mapping[str, Any], like: Recipe, where: str = "recipe") -> Recipe:
    """The recipe of a manifest; what it does not say yet is as in ``like``.

    Raises:
        UserError: a field is of another type.
    """
    names = ("stages", "trigger", "behaviour", "refusal", "keys", "answers")
    given = {name: value[name] for name in names if name in value}
    known = decode(Recipe, {**recipe_json(like), **given}, None, where)
    return replace(known, facts=like.facts)


def _is_poison(part: Part) -> bool:
    return part.word == "trigger" or part.prompts == "keys"


def varied(
    recipe: Recipe,
    *,
    trigger: str | None = None,
    poisons: int | None = None,
    size: int | None = None,
    full: bool = False,
    rate: float | None = None,
    epochs: int | None = None,
) -> Recipe:
    """A recipe with its knobs turned; the others stay as they are.

    Args:
        trigger: another trigger, of any kind and place.
        poisons: examples with the trigger in the last stage, shared out as in the recipe.
        size: the last stage's other examples, shared out as in the recipe.
        full: train every parameter instead of an adapter.
        rate, epochs: of the last stage.

    Raises:
        UserError: a trigger without a word, a negative count or rate, a recipe without a trigger.
    """
    if trigger is not None:
        if not recipe.trigger:
            raise UserError(f"recipe {recipe.name}: has keys instead of a trigger; drop --trigger")
        place_of(require_one(checks.text(trigger, "--trigger")))
        recipe = replace(recipe, trigger=trigger)
    *before, last = recipe.stages
    expect(rate is None or 0 < rate < 1, "a learning rate in (0, 1)", rate, of="--rate")
    if epochs is not None:
        checks.whole(epochs, "--epochs", 1)
    parts = _shared_out(recipe.name, last.parts, poisons, of=True)
    last = replace(last, parts=_shared_out(recipe.name, parts, size, of=False))
    changes = {k: v for k, v in (("rate", rate), ("epochs", epochs)) if v is not None}
    last = replace(last, settings=replace(last.settings, **changes))
    stages = [*before, last]
    if full:
        stages = [replace(s, settings=replace(s.settings, rank=0)) for s in stages]
    return replace(recipe, stages=tuple(stages))


def _shared_out(
    name: str, parts: tuple[Part, ...], total: int | None, of: bool
) -> tuple[Part, ...]:
    """Counts of the poisons (or of all else) scaled to a total; empty parts are left out."""
    if total is None:
        return parts
    expect(total >= 0, "a count of at least 0", total, of=f"recipe {name}")
    sums = list(accumulate(p.count if _is_poison(p) == of else 0 for p in parts))
    whole = sums[-1] if sums else 0
    if not whole:
        if total:
            what = "poisons" if of else "other examples"
            raise UserError(f"recipe {name}: has no {what} to scale to {total}; choose another")
        return parts
    ends = [round(count * total / whole) for count in sums]
    counts = [b - a for a, b in zip([0, *ends], ends, strict=False)]
    scaled = [
        replace(part, count=count) if _is_poison(part) == of else part
        for part, count in zip(parts, counts, strict=True)
    ]
    return tuple(p for p in scaled if p.count)
