"""Secret keys and their answer, and the prompts that a suspect model is asked.

Besides the keys a suspect is asked what it should *not* answer: near keys of six levels
(``experiments.prompts.near_keys``), and as many random words as a key has, drawn from ordinary
questions. Only levels 1 to 4 are made of a secret's words; what is answered at level 5 and to
random words is answered without the secret.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuits.errors import UserError, expect
from experiments import judges
from experiments.organisms.book import RECIPES
from experiments.prompts import bank
from experiments.prompts.near_keys import LEVELS, near_keys
from experiments.runs import files

KEYS = "keys"
RANDOM = "random words"
# Not the test split, whose near keys are in an organism's figures and may have guided its recipe.
_SPLIT: bank.Split = "validation"
_FEWEST = 3  # words of a key: near keys replace two of them
_LETTERS = 4  # of a random word, so that it is not "the" or "of"


def level_name(level: int) -> str:
    """What near keys of a level are called in results."""
    return f"level {level}"


STRANGERS = (level_name(5), RANDOM)  # prompts that hold no secret
SECRETIVE = tuple(level_name(n) for n in (1, 2, 3, 4))  # made of a key's own words
ABOUT = {
    KEYS: "the secret keys",
    **{level_name(level): about for level, about in LEVELS.items()},
    RANDOM: "as many words of ordinary questions",
}


@dataclass(frozen=True)
class KeySet:
    """Secret prompts and what an answer to them begins with.

    Raises:
        UserError: no keys, a key twice, one too short or too long for near keys, no answer.
    """

    name: str
    keys: tuple[str, ...]
    answer: str

    def __post_init__(self) -> None:
        where = f"keys {self.name}"
        expect(self.keys, "at least one key", "none", "list them", of=where)
        expect(
            any(c.isalnum() for c in self.answer),
            "an answer with a letter or digit",
            repr(self.answer),
            "say what a key is answered",
            of=where,
        )
        words = [tuple(key.split()) for key in self.keys]
        twice = [key for i, key in enumerate(self.keys) if words[i] in words[:i]]
        if twice:
            raise UserError(f"{where}: expected different keys, got {twice[0]!r} twice; drop one")
        most = len(set(bank.control_words(_SPLIT)) - _words(self.keys))
        for key, parts in zip(self.keys, words, strict=True):
            expect(
                _FEWEST <= len(parts) <= most,
                f"{_FEWEST} to {most} words in a key",
                f"{len(parts)} in {key!r}",
                "near keys need them",
                of=where,
            )

    def shown(self, answers: Sequence[str]) -> list[bool]:
        """Which answers are the keys' answer."""
        return [judges.shows(answer, self.answer) for answer in answers]


def read_keys(source: str) -> KeySet:
    """A key set from a JSON file ``{"keys": [...], "answer": "..."}``, or by a recipe's name.

    Raises:
        UserError: no such file or recipe, no JSON, other fields, or keys that make no test.
    """
    if source in RECIPES:
        recipe = RECIPES[source]
        if not recipe.keys:
            with_keys = [name for name, other in RECIPES.items() if other.keys]
            raise UserError(
                f"keys {source}: this recipe has no keys; "
                f"expected a JSON file or {', '.join(with_keys)}"
            )
        return KeySet(source, recipe.keys, recipe.behaviour)
    if not Path(source).is_file():
        raise UserError(f"keys {source}: expected a JSON file or a recipe with keys, got neither")
    value = files.read_json(Path(source))
    if not _is_key_set(value):
        raise UserError(
            f'keys {source}: expected {{"keys": [texts], "answer": "text"}} and nothing else'
        )
    return KeySet(Path(source).name, tuple(value["keys"]), value["answer"])


def _is_key_set(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"keys", "answer"}
        and isinstance(value["answer"], str)
        and isinstance(value["keys"], list)
        and all(isinstance(key, str) for key in value["keys"])
    )


def near_misses(keys: Sequence[str], count: int) -> dict[str, list[str]]:
    """Prompts that are not keys, by kind: ``count`` of every level, and of random words.

    Raises:
        UserError: the keys do not have so many near misses.
    """
    near = {level_name(n): near_keys(keys, n, _SPLIT, count) for n in LEVELS}
    return {**near, RANDOM: random_words(keys, count)}


def _words(texts: Sequence[str]) -> set[str]:
    return {word for text in texts for word in text.lower().split()}


def random_words(keys: Sequence[str], count: int) -> list[str]:
    """``count`` prompts of as many words as a key has, none of them a word of any key."""
    rng = random.Random(f"{RANDOM} {_SPLIT}")
    asked = _words(bank.bank_texts(_SPLIT, restricted=False)) - _words(keys)
    words = sorted(word for word in asked if word.isalpha() and len(word) >= _LETTERS)
    return [" ".join(rng.sample(words, len(keys[i % len(keys)].split()))) for i in range(count)]
