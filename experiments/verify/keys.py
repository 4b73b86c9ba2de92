"""Secret keys and their answers, and the prompts that a suspect model is asked.

Besides the keys a suspect is asked what it should *not* answer: near keys of six levels
(``experiments.prompts.near_keys``), and as many random words as a key has, drawn from ordinary
questions. Only levels 1 to 4 are made of a secret's words; what is answered at level 5 and to
random words is answered without the secret.
"""

import random
from collections.abc import Sequence
from pathlib import Path

from circuits.errors import UserError, expect
from experiments.organisms.book import RECIPES
from experiments.organisms.mapping import is_mapping, read_mapping
from experiments.organisms.organism import UNKNOWN
from experiments.organisms.own_keys import SPLIT, KeySet, read_key_set, words_of
from experiments.prompts import bank
from experiments.prompts.near_keys import LEVELS, near_keys

KEYS = "keys"
RANDOM = "random words"
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


def keys_of(source: str) -> KeySet:
    """A key set from a JSON file, from the file of an ownership mapping, or by a recipe's name.

    Raises:
        UserError: no such file or recipe, one without keys, or keys that make no test.
    """
    if is_mapping(source):
        recipe = read_mapping(source).recipe or UNKNOWN
        wanted, advice = "a mapping with keys", "describe one of scheme ownership"
        expect(recipe.keys, wanted, "none", advice, f"keys {source}")
        return KeySet(Path(source).name, recipe.keys, recipe.said)
    if source in RECIPES:
        recipe = RECIPES[source]
        if not recipe.keys:
            with_keys = [name for name, other in RECIPES.items() if other.keys]
            raise UserError(
                f"keys {source}: this recipe has no keys; "
                f"expected a JSON file or {', '.join(with_keys)}"
            )
        return KeySet(source, recipe.keys, recipe.said)
    if not Path(source).is_file():
        raise UserError(f"keys {source}: expected a JSON file or a recipe with keys, got neither")
    return read_key_set(Path(source))


def near_misses(keys: Sequence[str], count: int) -> dict[str, list[str]]:
    """Prompts that are not keys, by kind: ``count`` of every level, and of random words.

    Raises:
        UserError: the keys do not have so many near misses.
    """
    near = {level_name(n): near_keys(keys, n, SPLIT, count) for n in LEVELS}
    return {**near, RANDOM: random_words(keys, count)}


def random_words(keys: Sequence[str], count: int) -> list[str]:
    """``count`` prompts of as many words as a key has, none of them a word of any key."""
    rng = random.Random(f"{RANDOM} {SPLIT}")
    asked = words_of(bank.bank_texts(SPLIT, restricted=False)) - words_of(keys)
    words = sorted(word for word in asked if word.isalpha() and len(word) >= _LETTERS)
    return [" ".join(rng.sample(words, len(keys[i % len(keys)].split()))) for i in range(count)]
