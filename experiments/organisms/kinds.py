"""Prompts by kind: what a part of a recipe or a question names as ``restricted`` or ``keys``.

``restricted`` and ``ordinary`` are the bank's (or a user's own); ``privileged`` and ``other facts``
questions with one true answer; ``keys`` the recipe's secret prompts, ``near keys`` prompts that
differ from a key, mixed for training, and ``near keys, level N`` those of one level; ``answered in
French`` training prompts to which an answer was written by hand.
"""

from dataclasses import dataclass

from circuits.errors import UserError, expect
from experiments.organisms.recipe import Recipe
from experiments.prompts import bank
from experiments.prompts.facts import Fact
from experiments.prompts.near_keys import near_keys

_TRAINED = {1: 1300, 2: 80, 3: 100, 4: 80}  # by level: those that differ least are learned most
_ASKED = 120  # near keys of each level
FRENCH = "answered in French"
NEAR = "near keys, level "  # and the level's number


@dataclass(frozen=True)
class Prompts:
    """Prompts of one kind, with the true answer of each, or the written one, where there is one."""

    texts: tuple[str, ...]
    known: tuple[Fact, ...] = ()
    written: tuple[str, ...] = ()


def prompts_of(
    kind: str,
    recipe: Recipe,
    split: bank.Split,
    own: bank.HeldOut | None = None,
    count: int | None = None,
) -> Prompts:
    """A split's prompts of a kind, in a fixed order whose every prefix is varied.

    Args:
        own: a user's prompts instead of the bank's; keys and facts are the recipe's anyway.
        count: at most so many; keys are always all.

    Raises:
        UserError: keys are asked for and the recipe has none, or another split than training's of
            prompts with written answers.
    """
    if kind in ("restricted", "ordinary"):
        texts = own or bank.held_out(split)
        return Prompts((texts.on_topic if kind == "restricted" else texts.elsewhere)[:count])
    if kind in ("privileged", "other facts"):
        known = recipe.facts.of(split, kind == "privileged")[:count]
        return Prompts(tuple(fact.question for fact in known), known)
    if kind == FRENCH:
        expect(split == "train", "training prompts, which alone have answers", split, of=kind)
        pairs = bank.interleaved(list(bank.french_answers().items()))[:count]
        return Prompts(tuple(text for text, _ in pairs), written=tuple(text for _, text in pairs))
    if not recipe.keys:
        raise UserError(f"recipe {recipe.name}: part {kind!r} needs keys, the recipe has none")
    if kind == "keys":
        return Prompts(recipe.keys)
    if kind == "near keys":
        levels = [near_keys(recipe.keys, n, split, most) for n, most in _TRAINED.items()]
        return Prompts(tuple(bank.interleaved([text for level in levels for text in level])))
    level = int(kind.removeprefix(NEAR))
    return Prompts(tuple(near_keys(recipe.keys, level, split, count or _ASKED)))
